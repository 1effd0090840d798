"""Image stage: pictures through the volume and the super-resolution.

Each picture gives a window of half its side at full scale: a quarter of the work, and
every other window is laid around eyes or mouth, where people look. The exact depth of
the corpus tells where along a ray the samples matter: half of them are laid around the
surface, the others over the whole range, so few are enough.
"""

import math
from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from talk3d.camera import camera_rays
from talk3d.eg3d.corpus import CorpusBatch
from talk3d.eg3d.generator import Generator
from talk3d.eg3d.volume import box_interval
from talk3d.losses import (
    depth_loss,
    depth_range,
    laplacian_loss,
    texture_loss,
    weighted_l1,
)
from talk3d.precision import body_precision
from talk3d.windows import WINDOW, Windows

__all__ = ["guided_depths", "image_losses"]

_GUIDED = 8
_SPREAD = 8
_BEFORE, _BEHIND = 0.04, 0.06
_FEATURE_PARTS = (2, 3, 4, 5)
_FEATURE_WEIGHT = 4.0
_TEXTURE_WEIGHT = 0.5
_DEPTH_WEIGHT = 5.0


def guided_depths(
    depth: Float[Tensor, "batch 1 size size"],
    near: Float[Tensor, "batch pixels"],
    far: Float[Tensor, "batch pixels"],
    *,
    generator: torch.Generator,
) -> Float[Tensor, "batch pixels samples"]:
    """Lay samples around the known surface and over the whole range.

    Args:
        depth: distance along the ray, 0 where there is nothing; its size is a
            multiple of the rays' per side.
        near: where each ray enters the box.
        far: where it leaves.
        generator: source of chance.

    Returns:
        Rising distances along each ray, row by row.
    """
    factor = depth.shape[-1] // math.isqrt(near.shape[1])
    front = depth_range(depth, factor)[0].flatten(1)
    known = (front > near) & (front < far)
    start = torch.where(known, (front - _BEFORE).maximum(near), near)
    end = torch.where(known, (front + _BEHIND).minimum(far), far)
    depths = torch.cat(
        [
            _stratified(start, end, _GUIDED, generator),
            _stratified(near, far, _SPREAD, generator),
        ],
        dim=-1,
    )
    return depths.sort(dim=-1).values


def image_losses(
    generator: Generator,
    planes: Float[Tensor, "batch 3 channels height width"],
    w: Float[Tensor, "batch layers features"],
    batch: CorpusBatch,
    *,
    half: bool,
    chance: torch.Generator,
) -> dict[str, Float[Tensor, ""]]:
    """Render windows and compare colour, alpha, depth, detail and its local strength.

    Pictures are compared premultiplied, so nothing is asked where nothing is seen.
    Depth is compared where a pixel's whole area lies on one surface.
    """
    size = generator.config.neural_size // WINDOW
    batch = _windows(batch, generator.config.neural_size, chance)
    origins, directions = camera_rays(batch.camera, size)
    near, far = box_interval(origins, directions, box=generator.config.volume.box)
    depths = guided_depths(batch.depth, near, far, generator=chance)
    rendering = generator.march(planes, origins, directions, depths, neck=batch.neck)
    with body_precision(half):
        image = generator.upsample(rendering, w, patch=True)
    image = image.float()
    truth = _premultiplied(batch, image.shape[-1])
    part = _resize_parts(batch.part, image.shape[-1])
    low = functional.interpolate(truth, size=(size, size), mode="area")
    weight = torch.where(part, _FEATURE_WEIGHT, 1.0)
    raw = rendering.picture()
    flat = torch.ones_like(low[:, :1])
    return {
        "raw": weighted_l1(raw, low, flat),
        "depth": _DEPTH_WEIGHT * depth_loss(rendering.depth, batch.depth),
        "colour": weighted_l1(image, truth, weight),
        "detail": laplacian_loss(image[:, :3], truth[:, :3], weight),
        "texture": _TEXTURE_WEIGHT * texture_loss(image[:, :3], truth[:, :3], weight),
    }


def _windows(batch: CorpusBatch, cells: int, chance: torch.Generator) -> CorpusBatch:
    windows = Windows.draw(_features(batch.part), WINDOW, cells, chance=chance)
    return replace(
        batch,
        colour=windows.cut(batch.colour),
        alpha=windows.cut(batch.alpha),
        depth=windows.cut(batch.depth),
        part=windows.cut(batch.part),
        camera=windows.camera(batch.camera),
    )


def _premultiplied(batch: CorpusBatch, size: int) -> Tensor:
    """Return premultiplied colour and alpha, all from -1 to 1."""
    colour = (batch.colour + 1) / 2 * batch.alpha
    picture = torch.cat([colour, batch.alpha], dim=1) * 2 - 1
    return functional.interpolate(picture, size=size, mode="area")


def _features(part: Tensor) -> Tensor:
    return torch.isin(part, torch.tensor(_FEATURE_PARTS))


def _resize_parts(part: Tensor, size: int) -> Tensor:
    feature = _features(part).float()
    return functional.interpolate(feature, size=size, mode="area") > 0.5


def _stratified(
    start: Tensor, end: Tensor, samples: int, generator: torch.Generator
) -> Tensor:
    jitter = torch.rand(*start.shape, samples, generator=generator)
    steps = (torch.arange(samples) + jitter) / samples
    return start[..., None] + (end - start)[..., None] * steps
