"""Rendering with proposals: few rays find where matter is, many rays look there.

A coarse grid of rays evaluates the density in equal bins, without gradients. Each
fine ray takes the bins its neighbours on the coarse grid found, and evaluates the
field at a few depths in them. The cost of a fine ray is its fine samples alone.
Pictures that are shown take four rays instead of one where pixels differ much from
their neighbours (adaptive supersampling; Whitted 1980), and none where nothing is
proposed.

Symbols: ``t`` distance along a ray, ``u`` the same from 0 (near) to 1 (far).
"""

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

from talk3d.eg3d.depths import (
    Rays,
    Sampling,
    importance_edges,
    stratified_depths,
)
from talk3d.eg3d.volume import (
    Field,
    Marched,
    RawField,
    VolumeConfig,
    cell_weights,
    march_given,
    nothing,
)

__all__ = ["march_proposed", "propose"]

_BESIDE = 0.3
_EMPTY = 0.01
"""Opacity of a ray and its neighbours below which there is nothing to show."""
_ROUGH = 0.6
"""How much raw colour or opacity (-1 to 1) differ around pixels that take four rays."""


def march_proposed(
    field: Field,
    rays: Rays,
    scouts: Rays,
    sampling: Sampling,
    *,
    rules: VolumeConfig,
    closer: Rays | None = None,
    scouted: RawField | None = None,
) -> Marched:
    """Render a square image of rays with the depths that a coarser image proposes.

    Args:
        field: evaluates raw density and features (0 to 1) at points.
        rays: the rays of the image, row by row.
        scouts: the rays of the coarser image; its side divides the image's.
        sampling: bins of a scout and samples of a ray.
        rules: factor on densities and background.
        closer: the rays of an image of twice the side, of one item, for a picture that
            is shown; none: every pixel is one ray.
        scouted: the raw density of the field alone, if it is had for less.
    """
    scouted = scouted or (lambda points: field(points)[0])
    proposed = propose(scouted, scouts, sampling, rules=rules)
    sides = [math.isqrt(r.near.shape[1]) for r in (rays, scouts)]
    factor = sides[0] // sides[1]
    near = proposed.unflatten(1, (sides[1], sides[1]))
    near = near.repeat_interleave(factor, 1).repeat_interleave(factor, 2).flatten(1, 2)
    if closer is None:
        return _marched(field, rays, *_cells(near, sampling), rules)
    some = (near[0].sum(-1) > _EMPTY).nonzero()[:, 0]
    if not len(some):
        some = torch.zeros_like(near[0, :1, 0], dtype=torch.long)
    inside, width = _cells(near[:, some], sampling)
    few = Rays(*(part[:, some] for part in rays.parts()))
    found = _marched(field, few, inside, width, rules)
    seen = nothing(rays, found.features.shape[-1], rules=rules)
    for whole, part in zip(seen, found, strict=True):
        whole[:, some] = part
    place = torch.full_like(near[0, :, 0], -1, dtype=torch.long)
    place[some] = torch.arange(len(some), device=some.device)
    rough = _rough_pixels(seen)
    rough = rough[place[rough] >= 0]
    if not len(rough):
        return seen
    four = Rays(*(_inside(part, sides[0], rough) for part in closer.parts()))
    inside, width = (
        part[:, place[rough]].repeat_interleave(4, dim=1) for part in (inside, width)
    )
    found = _marched(field, four, inside, width, rules)
    seen.features[:, rough] = found.features.unflatten(1, (-1, 4)).mean(2)
    seen.alpha[:, rough] = found.alpha.unflatten(1, (-1, 4)).mean(2)
    return seen


def _cells(
    near: Float[Tensor, "batch rays bins"], sampling: Sampling
) -> tuple[Float[Tensor, "batch rays samples"], Float[Tensor, "batch rays samples"]]:
    """Return where proposed bins are looked at, from 0 to 1, and in cells how wide."""
    edges, inside = importance_edges(near, sampling)
    return inside, (edges[..., 1:] - edges[..., :-1]).clamp(max=1.0 / sampling.coarse)


def _marched(
    field: Field,
    rays: Rays,
    inside: Float[Tensor, "batch rays samples"],
    width: Float[Tensor, "batch rays samples"],
    rules: VolumeConfig,
) -> Marched:
    """Render rays with samples given from 0 (near) to 1 (far)."""
    length = (rays.far - rays.near)[..., None]
    t = rays.near[..., None] + length * inside
    return march_given(field, rays, t, length * width, rules=rules)


def _rough_pixels(seen: Marched) -> Int[Tensor, " rough"]:
    """Return which pixels of an image differ much from their neighbours."""
    side = math.isqrt(seen.alpha.shape[1])
    shown = torch.cat([seen.features[0, :, :3], 2 * seen.alpha[0, :, None] - 1], dim=1)
    image = shown.T.unflatten(1, (side, side))
    most, least = (functional.max_pool2d(x, 3, 1, 1) for x in (image, -image))
    return ((most + least).amax(0).flatten() > _ROUGH).nonzero()[:, 0]


def _inside(
    values: Float[Tensor, "1 many *numbers"], side: int, pixels: Int[Tensor, " some"]
) -> Float[Tensor, "1 few *numbers"]:
    """Return the four values in each of some pixels, of an image of twice the side."""
    blocks = values.unflatten(1, (side, 2, side, 2)).transpose(2, 3)
    return blocks.flatten(3, 4).flatten(1, 2)[:, pixels].flatten(1, 2)


@torch.no_grad()
def propose(
    field: RawField, scouts: Rays, sampling: Sampling, *, rules: VolumeConfig
) -> Float[Tensor, "batch rays bins"]:
    """Return how much each bin of a ray, or of a neighbour, is seen.

    A surface just before the middle of a bin is seen in the next one only, so a bin
    counts for a part as much as the bins before and behind it.
    """
    t = stratified_depths(scouts.near, scouts.far, sampling)
    points = (
        scouts.origins[..., None, :] + t[..., None] * (scouts.directions[..., None, :])
    )
    raw = field(points.flatten(1, 2)).unflatten(1, t.shape[1:])
    density = functional.softplus(raw - 1.0) * rules.sharpness
    steps = torch.linspace(0, 1, sampling.coarse + 1, device=t.device)
    edges = scouts.near[..., None] + (scouts.far - scouts.near)[..., None] * steps
    seen = cell_weights(density, edges)
    side = math.isqrt(seen.shape[1])
    image = seen.transpose(1, 2).unflatten(2, (side, side))
    wide = functional.max_pool2d(image, 3, stride=1, padding=1).flatten(2)
    beside = functional.max_pool1d(wide.transpose(1, 2).flatten(0, 1), 3, 1, 1)
    return torch.maximum(
        wide.transpose(1, 2), _BESIDE * beside.unflatten(0, (len(wide), -1))
    )
