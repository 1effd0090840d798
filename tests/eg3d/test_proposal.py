"""Few scouting rays find what many rays look at: against dense marching."""

import torch
from torch.nn import functional

from talk3d.camera import camera_rays, orbit_label
from talk3d.eg3d.depths import Rays, Sampling
from talk3d.eg3d.presets import small
from talk3d.eg3d.proposal import march_proposed
from talk3d.eg3d.volume import VolumeConfig, box_interval, march_cells

RULES = VolumeConfig()


def _two_balls(points):
    """A large ball and a small one before it, each of its own colour."""
    far = 0.3 - points.norm(dim=-1)
    near = 0.08 - (points - torch.tensor([0.1, 0.0, 0.4])).norm(dim=-1)
    raw = 400 * torch.maximum(far, near)
    colour = (near > far).float()
    return raw, torch.stack([colour, 1 - colour], dim=-1)


def _shell(points):
    """A ball's wall of 0.03, coloured by its height."""
    radius = points.norm(dim=-1)
    raw = 400 * (0.015 - (radius - 0.3).abs())
    height = (points[..., 1:2] + 0.5).clamp(0, 1)
    return raw, torch.cat([height, 1 - height], dim=-1)


def _rays(size):
    origins, directions = camera_rays(orbit_label(0.2, 0.1)[None], size)
    return Rays(origins, directions, *box_interval(origins, directions, box=1.0))


def test_proposed_rays_see_what_dense_ones_see():
    rays = _rays(48)
    dense, depth, alpha, _ = march_cells(
        _two_balls, rays, Sampling(400, 0), rules=RULES
    )
    found = march_proposed(_two_balls, rays, _rays(24), Sampling(16, 12), rules=RULES)
    inside = alpha > 0.99
    assert (found[2] - alpha).abs().mean() < 0.02
    assert ((found[2] > 0.5) == (alpha > 0.5)).float().mean() > 0.97
    assert (found[1] - depth)[inside].abs().median() < 0.01
    assert (found[0] - dense)[inside].abs().mean() < 0.05


def test_a_hollow_ball_with_a_thin_wall_has_no_seams():
    rays, sampling = _rays(128), Sampling(*small().volume.samples)
    depth = march_cells(_shell, rays, Sampling(400, 0), rules=RULES)[1]
    found = march_proposed(_shell, rays, _rays(64), sampling, rules=RULES)
    middle = depth < depth.min() + 0.1
    assert (found[1] - depth)[middle].abs().max() < 0.08
    assert found[2][middle].min() > 0.8


def test_four_rays_smooth_outlines_and_leave_the_rest():
    many = march_proposed(
        _two_balls, _rays(96), _rays(24), Sampling(16, 12), rules=RULES
    )
    plain, smooth = (
        march_proposed(
            _two_balls, _rays(48), _rays(24), Sampling(16, 12), rules=RULES, closer=c
        )
        for c in (None, _rays(96))
    )
    for name in ("features", "alpha"):
        whole = getattr(many, name).reshape(24 * 2, 2, 24 * 2, 2, -1)
        wanted = whole.mean((1, 3)).flatten(0, 1)
        errors = []
        for found in (plain, smooth):
            shown = getattr(found, name).reshape(48 * 48, -1)
            errors.append((shown - wanted).abs().mean())
        assert errors[1] < 0.3 * errors[0]
    same = ((smooth.alpha - plain.alpha).abs() < 1e-6)[0]
    assert 0.5 < same.float().mean() < 1
    ground = functional.max_pool2d(plain.alpha.view(1, 48, 48), 3, 1, 1) < 0.01
    assert same[ground.flatten()].all()
    assert torch.equal(smooth.depth, plain.depth)


def test_shown_rays_go_only_where_something_is_proposed():
    asked = []

    def field(points):
        asked.append(len(points[0]))
        return _two_balls(points)

    march_proposed(
        field, _rays(48), _rays(24), Sampling(16, 12), rules=RULES, closer=_rays(96)
    )
    scouts, ones, fours = asked
    assert scouts == 24 * 24 * 16
    # Corners of the picture show nothing.
    assert 0.5 < ones / (48 * 48 * 12) < 0.9
    assert 0 < fours < ones


def test_where_nothing_is_seen_there_is_nothing():
    def empty(points):
        return torch.full_like(points[..., 0], -400.0), torch.zeros_like(points)

    rays = _rays(16)
    found, plain = (
        march_proposed(empty, rays, _rays(8), Sampling(8, 4), rules=RULES, closer=c)
        for c in (_rays(32), None)
    )
    assert found.alpha.max() == 0
    for shown, wanted in zip(found, plain, strict=True):
        assert torch.allclose(shown, wanted)


def test_gradients_reach_the_fine_samples_only():
    asked = []

    def field(points):
        raw, features = _two_balls(points)
        asked.append((len(points[0]), torch.is_grad_enabled()))
        return raw, features

    march_proposed(field, _rays(16), _rays(8), Sampling(10, 6), rules=RULES)
    assert asked == [(8 * 8 * 10, False), (16 * 16 * 6, True)]


def test_without_chance_it_is_deterministic_and_with_it_jittered():
    def once(generator):
        sampling = Sampling(10, 6, generator=generator)
        return march_proposed(_two_balls, _rays(16), _rays(8), sampling, rules=RULES)[1]

    assert torch.equal(once(None), once(None))
    drawn = once(torch.Generator().manual_seed(1))
    assert not torch.equal(drawn, once(None))
    assert torch.equal(drawn, once(torch.Generator().manual_seed(1)))
