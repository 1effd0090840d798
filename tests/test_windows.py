"""Windows show what the pictures show there."""

import torch

from talk3d.camera import camera_rays, orbit_label
from talk3d.windows import Windows


def _draw(features, seed):
    chance = torch.Generator().manual_seed(seed)
    return Windows.draw(features, 2, 8, chance=chance)


def test_every_other_window_holds_a_feature():
    features = torch.zeros(4, 1, 32, 32, dtype=torch.bool)
    features[:, :, 3, 29] = True
    for seed in range(20):
        held = _draw(features, seed).cut(features).flatten(1).any(1)
        assert held[0]
        assert held[2]


def test_windows_begin_on_the_grid_and_stay_inside():
    features = torch.ones(3, 1, 32, 32, dtype=torch.bool)
    for seed in range(20):
        corner = _draw(features, seed).corner
        assert (corner % 4 == 0).all()
        assert (corner >= 0).all()
        assert (corner <= 16).all()


def test_the_camera_of_a_window_sees_its_pixels():
    windows = _draw(torch.zeros(1, 1, 16, 16, dtype=torch.bool), 1)
    label = orbit_label(0.4, -0.2)[None]
    whole = camera_rays(label, 16)[1].unflatten(1, (16, 16)).permute(0, 3, 1, 2)
    part = camera_rays(windows.camera(label), 8)[1].unflatten(1, (8, 8))
    torch.testing.assert_close(part.permute(0, 3, 1, 2), windows.cut(whole))


def test_the_rim_is_shown_as_well():
    features = torch.zeros(1, 1, 32, 32, dtype=torch.bool)
    shown, count = torch.zeros(32, 32), 600
    for seed in range(count):
        row, column = _draw(features, seed).corner[0].tolist()
        shown[row : row + 16, column : column + 16] += 1 / count
    assert shown[16].min() > 0.1
    assert shown[:, 16].min() > 0.1
    assert shown.min() > 0.015
    assert shown.max() < 0.85
