"""Image stage: pictures through the volume and the super-resolution.

Each picture gives three small windows at full scale: around an eye, around the mouth,
and anywhere. Eyes and mouth are where people look, and they are a small part of a
picture: shown whole, they would be learned last. The exact depth of the corpus tells
where along a ray the samples matter: half of them are laid around the surface, the
others over the whole range, so few are enough.
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from talk3d.camera import camera_rays
from talk3d.eg3d.corpus import CorpusBatch
from talk3d.eg3d.generator import Generator, Rendering
from talk3d.eg3d.volume import box_interval
from talk3d.losses import (
    depth_loss,
    depth_range,
    laplacian_loss,
    texture_loss,
    weighted_l1,
)
from talk3d.precision import body_precision
from talk3d.windows import Windows

__all__ = [
    "WINDOWS",
    "Shown",
    "draw_windows",
    "guided_depths",
    "picture_losses",
    "premultiplied",
    "render_windows",
    "upsample_windows",
]

WINDOWS = 3
"""Windows of a picture: an eye, the mouth, anywhere."""

_GUIDED = 8
_SPREAD = 8
_BEFORE, _BEHIND = 0.04, 0.06
_EYES, _MOUTH = (5,), (2, 3, 4)
_FEATURE_WEIGHT = 4.0
_AROUND = 8
"""Pixels around eyes and mouth that count as they do: lids, stubble, folds."""
_DEPTH_WEIGHT = 5.0
_PICTURES = ("colour", "alpha", "depth", "part")


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


@dataclass(frozen=True)
class Shown:
    """Rendered windows."""

    picture: Float[Tensor, "batch 4 height width"]
    """Premultiplied colour and matte, -1 to 1."""
    rendering: Rendering
    """What the super-resolution was given."""


def draw_windows(
    batch: CorpusBatch, times: int, cells: int, *, chance: torch.Generator
) -> CorpusBatch:
    """Return windows of pictures, those of a picture side by side.

    Args:
        batch: whole pictures.
        times: side of a picture over that of a window.
        cells: windows begin at multiples of the side of a picture over this.
        chance: places them.
    """
    shown = [_contains(batch.part, kinds) for kinds in (_EYES, _MOUTH, ())]
    windows = Windows.around(
        torch.stack(shown, dim=1).flatten(0, 1), times, cells, chance=chance
    )
    many = {
        name: value.repeat_interleave(WINDOWS, dim=0)
        for name, value in vars(batch).items()
    }
    many |= {name: windows.cut(many[name]) for name in _PICTURES}
    many["camera"] = windows.camera(many["camera"])
    return CorpusBatch(**many)


def render_windows(
    generator: Generator,
    planes: Float[Tensor, "people 3 channels height width"],
    windows: CorpusBatch,
    *,
    size: int,
    known: bool,
    chance: torch.Generator,
) -> Rendering:
    """Render windows.

    Args:
        generator: the network.
        planes: whose.
        windows: their cameras, and their depth if it is known.
        size: rays per side of a window.
        known: whether the depth is that of the people shown.
        chance: places samples.
    """
    if known:
        origins, directions = camera_rays(windows.camera, size)
        near, far = box_interval(origins, directions, box=generator.config.volume.box)
        depths = guided_depths(windows.depth, near, far, generator=chance)
        return generator.march(planes, origins, directions, depths, neck=windows.neck)
    return generator.render(
        planes,
        windows.camera,
        generator.sampling(chance),
        neck=windows.neck,
        size=size,
    )


def upsample_windows(
    generator: Generator,
    rendering: Rendering,
    w: Float[Tensor, "people layers features"],
    times: int,
    *,
    half: bool,
) -> Shown:
    """Bring rendered windows to the size of the final picture's.

    Args:
        generator: the network.
        rendering: windows, those of a person side by side.
        w: style vectors.
        times: side of a picture over that of a window.
        half: whether to run convolutions in bfloat16.
    """
    with body_precision(w.device, half):
        styles = w.repeat_interleave(len(rendering.features) // len(w), dim=0)
        size = generator.config.superres.input_size // times
        picture = generator.upsample(rendering, styles, patch=size)
    return Shown(picture.float(), rendering)


def picture_losses(
    shown: Shown, windows: CorpusBatch, *, texture: float
) -> dict[str, Float[Tensor, ""]]:
    """Compare colour, alpha, depth, detail and its local strength.

    Pictures are compared premultiplied, so nothing is asked where nothing is seen.
    Depth is compared where a pixel's whole area lies on one surface.

    Args:
        shown: rendered windows.
        windows: what they should be.
        texture: weight of the local strength of detail.
    """
    image, raw = shown.picture, shown.rendering.picture()
    truth = premultiplied(windows, image.shape[-1])
    part = _contains(windows.part, _EYES + _MOUTH).float()
    part = functional.max_pool2d(part, 2 * _AROUND + 1, stride=1, padding=_AROUND)
    part = functional.interpolate(part, size=image.shape[-1], mode="area") > 0.5
    low = functional.interpolate(
        truth, size=(raw.shape[-1], raw.shape[-1]), mode="area"
    )
    weight = torch.where(part, _FEATURE_WEIGHT, 1.0)
    return {
        "raw": weighted_l1(raw, low, torch.ones_like(low[:, :1])),
        "depth": _DEPTH_WEIGHT * depth_loss(shown.rendering.depth, windows.depth),
        "colour": weighted_l1(image, truth, weight),
        "detail": laplacian_loss(image[:, :3], truth[:, :3], weight),
        "texture": texture * texture_loss(image[:, :3], truth[:, :3], weight),
    }


def premultiplied(
    batch: CorpusBatch, size: int
) -> Float[Tensor, "batch 4 {size} {size}"]:
    """Return premultiplied colour and alpha at a size, all from -1 to 1."""
    colour = (batch.colour + 1) / 2 * batch.alpha
    picture = torch.cat([colour, batch.alpha], dim=1) * 2 - 1
    return functional.interpolate(picture, size=size, mode="area")


def _contains(part: Tensor, kinds: tuple[int, ...]) -> Tensor:
    return torch.isin(part, torch.tensor(kinds, dtype=part.dtype))


def _stratified(
    start: Tensor, end: Tensor, samples: int, generator: torch.Generator
) -> Tensor:
    jitter = torch.rand(*start.shape, samples, generator=generator)
    steps = (torch.arange(samples) + jitter) / samples
    return start[..., None] + (end - start)[..., None] * steps
