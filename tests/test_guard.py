"""The guard: it watches the sides, not the face, and notices what strays."""

import torch

from talk3d.camera import orbit_label
from talk3d.eg3d.config import GeneratorConfig
from talk3d.eg3d.field import TriplaneField
from talk3d.eg3d.generator import Generator
from talk3d.guard import Guard


class _BallField(TriplaneField):
    """A ball; the planes only tint it."""

    def raw(self, points):
        return 400 * (0.3 - points.norm(dim=-1))

    def __call__(self, points):
        tint = self.planes.mean().expand(*points.shape[:2], 8)
        return self.raw(points), tint


class _Ball(Generator):
    """A generator whose field is a ball."""

    def field(self, planes, neck=None, *, half=False):
        del neck, half
        return _BallField(self.decoder, self.config.volume, planes)


def _guard(generator, planes, labels):
    chance = torch.Generator().manual_seed(0)
    necks = torch.eye(4).expand(len(labels), 4, 4)
    return Guard.of(generator, planes, torch.stack(labels), necks, chance=chance)


def _setup():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        generator = _Ball(GeneratorConfig.tiny())
    planes = torch.full((1, 3, 8, 32, 32), 0.25)
    label = orbit_label(0.0, 0.0)
    return generator, planes, _guard(generator, planes, [label])


def test_points_are_hidden_from_the_recording():
    _, _, guard = _setup()
    x, y, z = guard.points.T
    front = (x.hypot(y) < 0.25) & (z > 0.0) & (guard.points.norm(dim=1) > 0.29)
    assert front.float().mean() < 0.01
    assert (guard.points[:, 2] < -0.1).float().mean() > 0.3
    assert ((guard.opacity > 0.9).float().mean() - 0.5).abs() < 0.4


def test_what_any_camera_of_the_recording_sees_is_not_held():
    generator, planes, front = _setup()
    middle = (0.0, 0.0, 0.0)
    labels = [orbit_label(yaw, 0.0, pivot=middle) for yaw in (-0.7, 0.0, 0.7)]
    held = []
    for guard in (front, _guard(generator, planes, labels)):
        shell = (guard.points.norm(dim=1) - 0.3).abs() < 0.02
        x, y, z = guard.points[shell].T
        angle = torch.atan2(x.abs(), z)[y.abs() < 0.1]
        held.append(((angle - 1.9).abs() < 0.15).sum())
        assert (angle > 2.6).sum() > 100
    assert held[0] > 100
    assert held[1] < held[0] / 10


def test_nothing_strays_from_itself_and_another_tint_does():
    generator, planes, guard = _setup()
    chance = torch.Generator().manual_seed(1)
    assert guard.loss(generator, planes, 500, chance=chance) == 0
    strayed = guard.loss(generator, planes + 0.5, 500, chance=chance)
    assert strayed > 0.05


def test_what_is_wrong_in_sight_is_mended_where_it_looks_alike():
    points = torch.tensor([[0.0, 0.0, -0.2], [0.05, 0.0, -0.2], [0.0, 0.0, -3.0]])
    colour = torch.tensor([[0.4, 0.5, 0.6], [0.9, 0.1, 0.1], [0.4, 0.5, 0.6]])
    guard = Guard(points, torch.ones(3), colour)
    seen = torch.zeros(50, 3)
    shown = torch.tensor([0.4, 0.5, 0.6]).expand(50, 3)
    wanted = torch.tensor([0.8, 0.8, 0.8]).expand(50, 3)
    moved = guard.recoloured(seen, shown, wanted).colour
    torch.testing.assert_close(moved[0], wanted[0], atol=0.03, rtol=0)
    torch.testing.assert_close(moved[1], colour[1], atol=0.03, rtol=0)
    torch.testing.assert_close(moved[2], colour[2])
    same = guard.recoloured(seen, shown, shown).colour
    torch.testing.assert_close(same, colour)
