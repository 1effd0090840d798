"""Objectives: zero at the truth, sensitive to what they are for."""

import torch

from talk3d import losses


def _picture(seed=0, size=32):
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(2, 3, size, size, generator=generator) * 2 - 1


def test_equal_pictures_cost_nothing():
    picture, weight = _picture(), torch.ones(2, 1, 32, 32)
    assert losses.weighted_l1(picture, picture, weight) == 0
    assert losses.laplacian_loss(picture, picture, weight) == 0


def test_only_weighted_pixels_count():
    truth, weight = _picture(), torch.zeros(2, 1, 32, 32)
    weight[..., :16] = 1
    result = truth.clone()
    result[..., 16:] += 1
    assert losses.weighted_l1(result, truth, weight) == 0
    result[..., :16] += 0.25
    torch.testing.assert_close(
        losses.weighted_l1(result, truth, weight), torch.tensor(0.25)
    )


def test_a_constant_shift_is_seen_by_the_coarsest_level_only():
    truth, weight = _picture(), torch.ones(2, 1, 32, 32)
    loss = losses.laplacian_loss(truth + 0.5, truth, weight, levels=3)
    torch.testing.assert_close(loss, torch.tensor(0.5))


def test_fine_errors_cost_more_than_under_l1():
    truth, weight = torch.zeros(1, 3, 32, 32), torch.ones(1, 1, 32, 32)
    checks = (torch.arange(32)[:, None] + torch.arange(32)) % 2 * 2.0 - 1
    fine = truth + 0.1 * checks
    loss = losses.laplacian_loss(fine, truth, weight)
    torch.testing.assert_close(loss, torch.tensor(0.1))
    smooth = torch.nn.functional.avg_pool2d(fine, 2)
    assert smooth.abs().max() < 1e-6


def test_texture_asks_for_strength_of_detail_not_for_its_place():
    chance = torch.Generator().manual_seed(0)
    truth = torch.rand(1, 3, 64, 64, generator=chance)
    weight = torch.ones(1, 1, 64, 64)
    shifted = truth.roll(3, dims=3)
    blurred = torch.nn.functional.avg_pool2d(truth, 3, stride=1, padding=1)
    assert losses.texture_loss(truth, truth, weight) == 0
    moved = losses.texture_loss(shifted, truth, weight)
    dull = losses.texture_loss(blurred, truth, weight)
    assert dull > 4 * moved


def test_a_surface_as_a_whole_keeps_its_distance_whatever_its_shape():
    truth = torch.full((2, 1, 32, 32), 2.7)
    truth[:, :, :8] = 0
    bumps = 0.004 * (torch.arange(8) % 2 * 2.0 - 1).expand(2, 1, 8, 8)
    near = torch.full((2, 1, 8, 8), 2.7)
    near[:, :, :2] = 1.0
    assert losses.depth_loss(near + bumps, truth) > 0.003
    assert losses.depth_offset(near + bumps, truth, limit=0.05) < 1e-5
    moved = near + bumps + torch.tensor([0.01, -0.01])[:, None, None, None]
    found = losses.depth_offset(moved, truth, limit=1.0)
    torch.testing.assert_close(found, torch.tensor(0.01), atol=1e-5, rtol=0)
    nothing = losses.depth_offset(near, torch.zeros_like(truth), limit=0.05)
    assert nothing == 0
