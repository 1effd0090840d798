"""Differentiable objectives on pictures.

Pictures are ``batch 3 height width``, sRGB, -1 to 1, in float32. Weights are maps of
one channel that say how much a pixel counts. Every function returns one number.
"""

from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

__all__ = [
    "laplacian_loss",
    "texture_loss",
    "weighted_l1",
]

_LEAST_POWER = 1e-5

Picture = Float[Tensor, "batch 3 height width"]
WeightMap = Float[Tensor, "batch 1 height width"]


def weighted_l1(
    result: Float[Tensor, "batch channels height width"],
    truth: Float[Tensor, "batch channels height width"],
    weight: WeightMap,
) -> Float[Tensor, ""]:
    """Return the weighted mean of absolute differences."""
    error = (result - truth).abs().mean(1, keepdim=True)
    return (error * weight).sum() / weight.sum().clamp(min=1e-6)


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
        coarse = functional.avg_pool2d(difference, 2)
        band = difference - functional.interpolate(
            coarse, scale_factor=2.0, mode="bilinear", align_corners=False
        )
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
            low = functional.avg_pool2d(picture, 2)
            band = picture - functional.interpolate(
                low, scale_factor=2.0, mode="bilinear", align_corners=False
            )
            power = functional.avg_pool2d(band.square(), 8, stride=4)
            sizes.append((power + _LEAST_POWER).sqrt())
            coarse.append(low)
        here = functional.avg_pool2d(weight, 8, stride=4)
        error = (sizes[0] - sizes[1]).abs().mean(1, keepdim=True)
        total = total + (error * here).sum() / here.sum().clamp(min=1e-6)
        (result, truth), weight = coarse, functional.avg_pool2d(weight, 2)
    return total
