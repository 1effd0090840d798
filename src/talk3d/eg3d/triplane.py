"""Sampling of tri-planes at points: a readable reference and a fast CPU engine.

Comes in: three planes of features and world points. Goes out: the mean of the three
bilinear samples; outside a plane the feature is zero. Pixel centres lie at
half-integers (``align_corners=False``).

The engine sums 12 rows (4 corners x 3 planes) of the table of plane pixels, weighted,
for every point. Its gradient is the product with the transposed sparse matrix of these
weights. It is several times faster than ``grid_sample`` on CPUs and gives no gradient
to the points.
"""

from typing import Any

import numpy as np
import scipy.sparse
import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional

from talk3d.eg3d.volume import PLANE_AXES, PlaneAxes, plane_coordinates

__all__ = ["sample_planes", "sample_planes_fast", "sample_planes_reference"]

_CORNERS = 12


def sample_planes(
    planes: Float[Tensor, "batch 3 c height width"],
    points: Float[Tensor, "batch n 3"],
    *,
    axes: PlaneAxes,
    box: float,
) -> Float[Tensor, "batch n c"]:
    """Sample by the fast engine where it serves, else by the reference.

    Args:
        planes: features.
        points: world units.
        axes: which world axes the planes span.
        box: side of the box the planes cover, world units.
    """
    square = planes.shape[-1] == planes.shape[-2]
    if square and planes.device.type == "cpu" and not points.requires_grad:
        return sample_planes_fast(planes, points, axes=axes, box=box)
    return sample_planes_reference(planes, points, axes=axes, box=box)


def sample_planes_reference(
    planes: Float[Tensor, "batch 3 c height width"],
    points: Float[Tensor, "batch n 3"],
    *,
    axes: PlaneAxes,
    box: float,
) -> Float[Tensor, "batch n c"]:
    """Sample with ``grid_sample``; differentiable in planes and points."""
    grid = plane_coordinates(points, axes, box=box).flatten(0, 1)[:, None]
    sampled = functional.grid_sample(
        planes.flatten(0, 1), grid.to(planes.dtype), align_corners=False
    )
    return sampled[:, :, 0].unflatten(0, planes.shape[:2]).mean(1).transpose(1, 2)


def sample_planes_fast(
    planes: Float[Tensor, "batch 3 c size size"],
    points: Float[Tensor, "batch n 3"],
    *,
    axes: PlaneAxes,
    box: float,
) -> Float[Tensor, "batch n c"]:
    """Sample by weighted sums of rows; differentiable in the planes only.

    Free of copies when the planes come from channels-last memory.
    """
    batch, _, channels, size, _ = planes.shape
    with torch.no_grad():
        scaled = (points.detach() * (2.0 / box)).to(planes.dtype)
        index, weight = _corners(scaled, axes, size)
    table = planes.permute(0, 3, 4, 1, 2).reshape(-1, channels)
    sampled = _WeightedRows.apply(table, index, weight)
    return sampled.view(batch, -1, channels)


class _WeightedRows(torch.autograd.Function):
    """Weighted sums of 12 rows of a table; the gradient is a sparse product."""

    @staticmethod
    def forward(
        ctx: Any,  # noqa: ANN401
        table: Float[Tensor, "pixels c"],
        index: Int[Tensor, "n 12"],
        weight: Float[Tensor, "n 12"],
    ) -> Float[Tensor, "n c"]:
        ctx.save_for_backward(index, weight)
        ctx.pixels = table.shape[0]
        return functional.embedding_bag(
            index, table, mode="sum", per_sample_weights=weight
        )

    @staticmethod
    @once_differentiable
    def backward(
        ctx: Any,  # noqa: ANN401
        gradient: Float[Tensor, "n c"],
    ) -> tuple[Float[Tensor, "pixels c"], None, None]:
        index, weight = ctx.saved_tensors
        starts = np.arange(0, index.numel() + 1, _CORNERS, dtype=np.int32)
        matrix = scipy.sparse.csr_array(
            (weight.flatten().numpy(), index.flatten().numpy(), starts),
            shape=(index.shape[0], ctx.pixels),
        )
        summed = matrix.T @ gradient.contiguous().numpy()
        return torch.from_numpy(np.asarray(summed)), None, None


def _corners(
    points: Float[Tensor, "batch n 3"], axes: PlaneAxes, size: int
) -> tuple[Int[Tensor, "rows 12"], Float[Tensor, "rows 12"]]:
    """Return table rows and bilinear weights of the corners around each point.

    The table has one row per (item, pixel row, pixel column, plane). Corners outside
    get weight zero. The mean over planes is in the weights. Everything is computed
    once per world axis, with the points contiguous.

    Args:
        points: -1 to 1 inside the box.
        axes: which world axes the planes span.
        size: pixels per side of a plane.
    """
    place = points.flatten(0, 1).T.contiguous()
    place.mul_(size / 2).add_((size - 1) / 2).clamp_(-2.0, size + 1.0)
    low = place.floor()
    part = place - low
    weights = (
        (1 - part).mul_((low >= 0) & (low <= size - 1)),
        part.mul_((low >= -1) & (low < size - 1)),
    )
    pixels = tuple((low + i).clamp_(0, size - 1).to(torch.int32) for i in (0, 1))
    count = place.shape[1]
    index = torch.empty(count, _CORNERS, dtype=torch.int32)
    weight = torch.empty(count, _CORNERS, dtype=points.dtype)
    start = torch.arange(len(points), dtype=torch.int32) * (3 * size * size)
    start = start.repeat_interleave(points.shape[1])
    columns = iter(range(_CORNERS))
    for plane, (across, down) in enumerate(PLANE_AXES[axes]):
        for below in (0, 1):
            row = start + plane + pixels[below][down] * (3 * size)
            row_weight = weights[below][down] / 3
            for right in (0, 1):
                k = next(columns)
                torch.add(row, pixels[right][across], alpha=3, out=index[:, k])
                torch.mul(row_weight, weights[right][across], out=weight[:, k])
    return index, weight
