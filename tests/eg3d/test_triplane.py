"""Tri-plane sampling: the engine against the reference against bilinear by hand."""

import math

import pytest
import torch

from talk3d.eg3d import triplane
from talk3d.eg3d.volume import PLANE_AXES

AXES = list(PLANE_AXES)


def _inputs(*, dtype=torch.float64, batch=2, n=300, spread=1.3):
    chance = torch.Generator().manual_seed(0)
    planes = torch.randn(batch, 3, 5, 8, 8, generator=chance, dtype=dtype)
    points = torch.rand(batch, n, 3, generator=chance, dtype=dtype) - 0.5
    return planes, points * spread


def _by_hand(plane, column, row):
    """Bilinear value at (column, row) in -1..1, zeros outside."""
    size = plane.shape[-1]
    x, y = (column + 1) * size / 2 - 0.5, (row + 1) * size / 2 - 0.5
    x0, y0 = math.floor(x), math.floor(y)
    total = torch.zeros(plane.shape[0], dtype=plane.dtype)
    for i, j in ((0, 0), (0, 1), (1, 0), (1, 1)):
        xi, yj = x0 + i, y0 + j
        if 0 <= xi < size and 0 <= yj < size:
            total += (1 - abs(x - xi)) * (1 - abs(y - yj)) * plane[:, yj, xi]
    return total


@pytest.mark.parametrize("axes", AXES)
@pytest.mark.parametrize(
    "sample", [triplane.sample_planes_fast, triplane.sample_planes_reference]
)
def test_samples_equal_bilinear_by_hand(sample, axes):
    planes, points = _inputs(n=30)
    found = sample(planes, points, axes=axes, box=1.0)
    for item in range(2):
        for k, point in enumerate(points[item].tolist()):
            parts = [
                _by_hand(planes[item, plane], 2 * point[a], 2 * point[b])
                for plane, (a, b) in enumerate(PLANE_AXES[axes])
            ]
            wanted = torch.stack(parts).mean(0)
            torch.testing.assert_close(found[item, k], wanted, atol=1e-12, rtol=0)


@pytest.mark.parametrize("axes", AXES)
@pytest.mark.parametrize("box", [1.0, 1.6])
def test_the_engine_equals_the_reference(axes, box):
    planes, points = _inputs(dtype=torch.float32)
    fast = triplane.sample_planes_fast(planes, points, axes=axes, box=box)
    slow = triplane.sample_planes_reference(planes, points, axes=axes, box=box)
    # Both sum twelve float32 products of order one.
    torch.testing.assert_close(fast, slow, atol=2e-6, rtol=0)


@pytest.mark.parametrize("axes", AXES)
def test_the_engine_has_the_gradient_of_the_reference(axes):
    planes, points = _inputs()
    seed = torch.randn(2, 300, 5, dtype=torch.float64)
    gradients = []
    for sample in (triplane.sample_planes_fast, triplane.sample_planes_reference):
        leaf = planes.clone().requires_grad_()
        (sample(leaf, points, axes=axes, box=1.0) * seed).sum().backward()
        gradients.append(leaf.grad)
    torch.testing.assert_close(*gradients, atol=1e-12, rtol=0)


def test_the_engine_passes_gradcheck():
    planes, points = _inputs(n=6)
    assert torch.autograd.gradcheck(
        lambda p: triplane.sample_planes_fast(p, points, axes="xy_xz_zy", box=1.0),
        (planes[:, :, :1].clone().requires_grad_(),),
    )


def test_points_get_their_gradient_from_the_reference():
    planes, points = _inputs(n=5, spread=0.8)
    points.requires_grad_()
    assert torch.autograd.gradcheck(
        lambda x: triplane.sample_planes(planes, x, axes="xy_xz_zy", box=1.0),
        (points,),
    )


def test_points_on_pixel_centres_and_on_the_rim():
    planes, _ = _inputs(batch=1)
    edge = torch.tensor([-0.5, -0.4375, 0.4375, 0.5, 40.0, -40.0], dtype=torch.float64)
    points = torch.cartesian_prod(edge, edge, edge)[None]
    fast = triplane.sample_planes_fast(planes, points, axes="official", box=1.0)
    slow = triplane.sample_planes_reference(planes, points, axes="official", box=1.0)
    torch.testing.assert_close(fast, slow, atol=1e-12, rtol=0)


def test_channels_last_planes_are_read_alike():
    planes, points = _inputs()
    last = planes.flatten(1, 2).contiguous(memory_format=torch.channels_last)
    last = last.unflatten(1, (3, 5))
    a = triplane.sample_planes_fast(planes, points, axes="official", box=1.0)
    b = triplane.sample_planes_fast(last, points, axes="official", box=1.0)
    assert torch.equal(a, b)


def test_autocast_leaves_samples_exact():
    planes, points = _inputs(dtype=torch.float32)
    plain = triplane.sample_planes(planes, points, axes="official", box=1.0)
    with torch.autocast("cpu", torch.bfloat16):
        cast = triplane.sample_planes(planes, points, axes="official", box=1.0)
    assert torch.equal(plain, cast)


def test_the_third_axes_of_ours_are_all_three():
    for name in ("xy_xz_zy", "xy_yz_zx"):
        assert {frozenset(pair) for pair in PLANE_AXES[name]} == {
            frozenset(pair) for pair in ((0, 1), (0, 2), (1, 2))
        }
    assert PLANE_AXES["official"][2] == PLANE_AXES["official"][1][::-1]
