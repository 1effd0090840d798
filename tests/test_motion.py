"""Motion goes on past the end of a recording without a jump."""

import torch

from talk3d.camera import orbit_label, unpack_label
from talk3d.motion import continued


def _recording(frames=200):
    time = torch.arange(frames) / 25
    yaw = 0.1 * torch.sin(1.3 * time) + 0.05 * torch.sin(3.1 * time)
    rotation = torch.stack([yaw, 0.5 * yaw, 0 * yaw], dim=1)
    return rotation, torch.cat([rotation, rotation], dim=1)


def test_the_recording_comes_first():
    rotation, landmark = _recording()
    motion = continued(rotation, landmark, 150, seed=0)
    torch.testing.assert_close(motion.mix(rotation), rotation[:150])


def test_it_never_jumps():
    rotation, landmark = _recording()
    shown = continued(rotation, landmark, 900, seed=0).mix(rotation)
    fastest = (rotation[1:] - rotation[:-1]).abs().max()
    # a cross-fade of 15 frames may add a little to the recorded speed
    assert (shown[1:] - shown[:-1]).abs().max() < 2 * fastest


def test_another_seed_goes_on_differently():
    rotation, landmark = _recording()
    first, second = (
        continued(rotation, landmark, 900, seed=seed).mix(rotation) for seed in (0, 1)
    )
    torch.testing.assert_close(first[:180], second[:180])
    assert not torch.equal(first, second)


def test_a_very_short_recording_goes_to_and_fro():
    rotation, landmark = _recording(10)
    motion = continued(rotation, landmark, 25, seed=0)
    expected = [*range(10), *range(9, -1, -1), *range(5)]
    assert motion.first.tolist() == expected


def test_mixed_cameras_stay_rigid():
    rotation, landmark = _recording()
    cameras = torch.stack([orbit_label(float(r[0]), float(r[1])) for r in rotation])
    pose, _ = unpack_label(
        continued(rotation, landmark, 500, seed=0).mix_cameras(cameras)
    )
    turn = pose[:, :3, :3]
    eye = torch.eye(3).expand(500, 3, 3)
    torch.testing.assert_close(turn @ turn.mT, eye, atol=1e-5, rtol=0)
