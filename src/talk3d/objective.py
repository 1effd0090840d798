"""What pictures of a person are judged by while it is fitted.

Comes in: rendered pictures and the frames they should be. Goes out: loss terms. Colour
and matte are premultiplied. Eyes and mouth count more. On the outline, where a pixel
holds person and background in unknown parts, colour counts little: a face that is
painted dark at its outline shows a dark line when seen from the side.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from talk3d.eg3d.generator import Rendering
from talk3d.frames import FrameBatch
from talk3d.losses import (
    depth_loss,
    depth_offset,
    laplacian_loss,
    texture_loss,
    weighted_l1,
)

__all__ = [
    "PictureWeights",
    "face_depth_error",
    "face_distance_error",
    "picture_terms",
    "raw_error",
]

_OUTLINE_WEIGHT = 0.1
_OUTLINE_REACH = 5
_DEPTH_WEIGHT = 5.0
_DEPTH_LIMIT = 0.01
"""World units (4 mm): farther before the skin there is hair."""
_THICKNESS_LIMIT = 0.01
"""World units: rays that stop farther apart meet two surfaces, or strands."""


@dataclass(frozen=True)
class PictureWeights:
    """How much the parts of what pictures are judged by count."""

    texture: float
    """The local strength of detail."""
    detail: float = 1.0
    """Where detail lies, octave by octave."""
    features: float = 5.0
    """Added to the weight of 1 where eyes and mouth are."""
    thickness: float = 0.0
    """How thick walls are, world units."""


def picture_terms(
    result: Float[Tensor, "batch 4 size size"],
    rendering: Rendering,
    batch: FrameBatch,
    weights: PictureWeights,
) -> dict[str, Tensor]:
    """Return the loss terms of final pictures and of the rendering they come from.

    Walls are held thin: the deviation of where each ray stops, saturating, on average
    (in the spirit of the distortion loss of Barron et al. 2022, Mip-NeRF 360). What is
    painted into a thick wall for one camera is smeared for the others.

    Args:
        result: premultiplied colour and matte, -1 to 1.
        rendering: what the rays of the same cameras see.
        batch: the frames.
        weights: how much each term counts.
    """
    truth, weight = batch.premultiplied(), _weight(batch, weights.features)
    shown, wanted = result[:, :3], truth[:, :3]
    return {
        "raw": raw_error(rendering.picture(), batch, features=weights.features),
        "colour": _colour_and_matte(result, truth, weight),
        "detail": weights.detail * laplacian_loss(shown, wanted, weight),
        "texture": weights.texture * texture_loss(shown, wanted, weight),
        "thickness": weights.thickness * _thickness(rendering.spread),
    }


def raw_error(
    raw: Float[Tensor, "batch 4 low low"],
    batch: FrameBatch,
    *,
    features: float = PictureWeights.features,
) -> Tensor:
    """Compare a raw picture with the shrunken frames."""
    size = (raw.shape[-1], raw.shape[-1])
    truth = functional.interpolate(batch.premultiplied(), size=size, mode="area")
    weight = functional.interpolate(_weight(batch, features), size=size, mode="area")
    return _colour_and_matte(raw, truth, weight)


def face_depth_error(
    rendered: Float[Tensor, "batch 1 low low"], batch: FrameBatch
) -> Tensor:
    """Compare rendered depth with the tracked face's, weighed against colour."""
    return _DEPTH_WEIGHT * depth_loss(rendered, batch.depth, limit=_DEPTH_LIMIT)


def face_distance_error(
    rendered: Float[Tensor, "batch 1 low low"], batch: FrameBatch
) -> Tensor:
    """Compare how far the face is as a whole with the tracked one."""
    return _DEPTH_WEIGHT * depth_offset(rendered, batch.depth, limit=_DEPTH_LIMIT)


def _thickness(spread: Float[Tensor, "batch 1 low low"]) -> Tensor:
    """Return how thick walls are on average, world units."""
    return (_THICKNESS_LIMIT * torch.tanh(spread / _THICKNESS_LIMIT)).mean()


def _colour_and_matte(result: Tensor, truth: Tensor, weight: Tensor) -> Tensor:
    """Return the weighted L1 of colour, and the even one of the matte, by channels."""
    even = weight.new_ones(()).expand_as(weight)
    colour = weighted_l1(result[:, :3], truth[:, :3], weight)
    return 0.75 * colour + 0.25 * weighted_l1(result[:, 3:], truth[:, 3:], even)


def _weight(batch: FrameBatch, features: float) -> Float[Tensor, "batch 1 size size"]:
    """Return how much the colour of each pixel counts."""
    reach, pad = _OUTLINE_REACH, _OUTLINE_REACH // 2
    most = functional.max_pool2d(batch.matte, reach, stride=1, padding=pad)
    least = -functional.max_pool2d(-batch.matte, reach, stride=1, padding=pad)
    inner = 1 - (1 - _OUTLINE_WEIGHT) * (most - least)
    return inner * (1 + features * batch.mouth.maximum(batch.eyes))
