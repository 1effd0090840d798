"""Differentiable objectives on pictures.

Pictures are ``batch 3 height width``, sRGB, -1 to 1, in float32. Weights are maps of
one channel that say how much a pixel counts. Every function returns one number.
"""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

__all__ = [
    "depth_loss",
    "depth_offset",
    "depth_range",
    "laplacian_loss",
    "octave",
    "texture_loss",
    "weighted_l1",
]

_LEAST_POWER = 1e-5
_NOTHING = 1e3
_STEP = 0.03

Picture = Float[Tensor, "batch 3 height width"]
WeightMap = Float[Tensor, "batch 1 height width"]
DepthMap = Float[Tensor, "batch 1 size size"]


def weighted_l1(
    result: Float[Tensor, "batch channels height width"],
    truth: Float[Tensor, "batch channels height width"],
    weight: WeightMap,
) -> Float[Tensor, ""]:
    """Return the weighted mean of absolute differences."""
    error = (result - truth).abs().mean(1, keepdim=True)
    return (error * weight).sum() / weight.sum().clamp(min=1e-6)


def depth_range(
    depth: DepthMap, factor: int
) -> tuple[Float[Tensor, "batch 1 low low"], Float[Tensor, "batch 1 low low"]]:
    """Return the first and the last depth in each square of pixels.

    Args:
        depth: Distance along the ray, 0 where there is nothing.
        factor: Side of the squares, pixels.

    Returns:
        The same units; 1000 where a square (or some of it) shows nothing.
    """
    away = torch.where(depth > 0, depth, torch.full_like(depth, _NOTHING))
    front = -functional.max_pool2d(-away, factor)
    return front, functional.max_pool2d(away, factor)


def depth_loss(
    rendered: Float[Tensor, "batch 1 low low"],
    truth: DepthMap,
    *,
    limit: float | None = None,
) -> Float[Tensor, ""]:
    """Return the mean depth error where a pixel's whole area lies on one surface.

    Args:
        rendered: Distance along the ray, world units.
        truth: The same, larger; 0 where it is not known.
        limit: World units at which errors saturate: what is farther off than that is
            another surface, as hair before skin is. None: they never do.
    """
    error, smooth = _off_surface(rendered, truth, limit)
    return (error.abs() * smooth).sum() / smooth.sum().clamp(min=1.0)


def depth_offset(
    rendered: Float[Tensor, "batch 1 low low"], truth: DepthMap, *, limit: float
) -> Float[Tensor, ""]:
    """Return by how much whole surfaces lie before or behind the true ones.

    Of each picture the absolute value of the mean error, over the pixels that
    ``depth_loss`` compares; so shapes are free, and distances are not.

    Args:
        rendered: Distance along the ray, world units.
        truth: The same, larger; 0 where it is not known.
        limit: World units at which errors saturate.
    """
    error, smooth = _off_surface(rendered, truth, limit)
    count = smooth.sum((1, 2, 3))
    return ((error * smooth).sum((1, 2, 3)) / count.clamp(min=1.0)).abs().mean()


def _off_surface(
    rendered: Float[Tensor, "batch 1 low low"], truth: DepthMap, limit: float | None
) -> tuple[Float[Tensor, "batch 1 low low"], Float[Tensor, "batch 1 low low"]]:
    """Return signed errors, and 1 where a pixel's whole area lies on one surface."""
    front, back = depth_range(truth, truth.shape[-1] // rendered.shape[-1])
    smooth = ((back < _NOTHING) & (back - front < _STEP)).float()
    error = rendered - (front + back) / 2
    if limit is not None:
        error = limit * torch.tanh(error / limit)
    return error, smooth


def octave(
    picture: Picture,
) -> tuple[Picture, Float[Tensor, "batch 3 half_height half_width"]]:
    """Return the finest octave of a picture, and the rest at half its size.

    The first level of a Laplacian pyramid (Burt and Adelson 1983).
    """
    low = functional.avg_pool2d(picture, 2)
    grown = functional.interpolate(
        low, scale_factor=2.0, mode="bilinear", align_corners=False
    )
    return picture - grown, low


def laplacian_loss(
    result: Picture, truth: Picture, weight: WeightMap, *, levels: int = 4
) -> Float[Tensor, ""]:
    """Return the mean absolute difference of the Laplacian pyramids.

    Each level holds one octave of detail, so fine detail counts as much as the broad
    tones that dominate a plain L1 (Bojanowski et al. 2018, Lap-1, with equal weights).
    """
    total = result.new_zeros(())
    difference = result - truth
    for _ in range(levels):
        band, coarse = octave(difference)
        error = band.abs().mean(1, keepdim=True)
        total = total + (error * weight).sum() / weight.sum().clamp(min=1e-6)
        difference, weight = coarse, functional.avg_pool2d(weight, 2)
    error = difference.abs().mean(1, keepdim=True)
    return total + (error * weight).sum() / weight.sum().clamp(min=1e-6)


def texture_loss(
    result: Picture, truth: Picture, weight: WeightMap, *, levels: int = 2
) -> Float[Tensor, ""]:
    """Return how much the local strength of fine detail differs.

    Of each of the finest Laplacian bands, the deviation over windows of eight pixels
    is compared (the subband statistics of Portilla and Simoncelli 2000). A picture
    that is blurred because it cannot know where a hair lies pays here; the other
    losses say where things are.
    """
    total = result.new_zeros(())
    for _ in range(levels):
        sizes, coarse = [], []
        for picture in (result, truth):
            band, low = octave(picture)
            power = functional.avg_pool2d(band.square(), 8, stride=4)
            sizes.append((power + _LEAST_POWER).sqrt())
            coarse.append(low)
        here = functional.avg_pool2d(weight, 8, stride=4)
        error = (sizes[0] - sizes[1]).abs().mean(1, keepdim=True)
        total = total + (error * here).sum() / here.sum().clamp(min=1e-6)
        (result, truth), weight = coarse, functional.avg_pool2d(weight, 2)
    return total
