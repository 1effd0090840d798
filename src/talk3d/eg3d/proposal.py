"""Rendering with proposals: few rays find where matter is, many rays look there.

A coarse grid of rays evaluates the density in equal bins, without gradients. Each
fine ray takes the bins its neighbours on the coarse grid found, and evaluates the
field at a few depths in them. The cost of a fine ray is its fine samples alone.

Symbols: ``t`` distance along a ray, ``u`` the same from 0 (near) to 1 (far).
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from talk3d.eg3d.depths import (
    Rays,
    Sampling,
    importance_edges,
    stratified_depths,
)
from talk3d.eg3d.volume import Field, Marched, VolumeConfig, cell_weights, march_given

__all__ = ["march_proposed", "propose"]

_BESIDE = 0.3


def march_proposed(
    field: Field,
    rays: Rays,
    scouts: Rays,
    sampling: Sampling,
    *,
    rules: VolumeConfig,
) -> Marched:
    """Render a square image of rays with the depths that a coarser image proposes.

    Args:
        field: evaluates raw density and features (0 to 1) at points.
        rays: the rays of the image, row by row.
        scouts: the rays of the coarser image; its side divides the image's.
        sampling: bins of a scout and samples of a ray.
        rules: factor on densities and background.
    """
    proposed = propose(field, scouts, sampling, rules=rules)
    sides = [math.isqrt(r.near.shape[1]) for r in (rays, scouts)]
    factor = sides[0] // sides[1]
    near = proposed.unflatten(1, (sides[1], sides[1]))
    near = near.repeat_interleave(factor, 1).repeat_interleave(factor, 2).flatten(1, 2)
    edges, inside = importance_edges(near, sampling)
    length = (rays.far - rays.near)[..., None]
    widest = 1.0 / sampling.coarse
    width = (edges[..., 1:] - edges[..., :-1]).clamp(max=widest)
    return march_given(
        field,
        rays,
        rays.near[..., None] + length * inside,
        length * width,
        rules=rules,
    )


@torch.no_grad()
def propose(
    field: Field, scouts: Rays, sampling: Sampling, *, rules: VolumeConfig
) -> Float[Tensor, "batch rays bins"]:
    """Return how much each bin of a ray, or of a neighbour, is seen.

    A surface just before the middle of a bin is seen in the next one only, so a bin
    counts for a part as much as the bins before and behind it.
    """
    t = stratified_depths(scouts.near, scouts.far, sampling)
    points = (
        scouts.origins[..., None, :] + t[..., None] * (scouts.directions[..., None, :])
    )
    raw = field(points.flatten(1, 2))[0].unflatten(1, t.shape[1:])
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
