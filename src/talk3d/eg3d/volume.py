"""Volume rendering of tri-planes: depths, marching and importance sampling.

Pure functions. Two ways to march: ``midpoint`` is that of the published networks
(EG3D section 4.2, midpoint rule, shared by all rays of a call); ``cells`` gives every
sample the cell between its neighbours' midpoints and clips rays to the box, no ray
depends on another.

Symbols: ``t`` depths, distance along the ray in world units, ascending; ``raw`` the
decoder's density before its activation; ``density`` per world unit; ``alpha`` opacity
of a cell; ``weight`` alpha times transmittance; ``edges`` bounds of cells.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from talk3d.eg3d.depths import (
    Rays,
    Sampling,
    importance_depths,
    inclusive_depths,
    midpoint_importance_depths,
    stratified_depths,
)

__all__ = [
    "PLANE_AXES",
    "Field",
    "March",
    "Marched",
    "PlaneAxes",
    "RawField",
    "VolumeConfig",
    "box_interval",
    "cell_edges",
    "cell_weights",
    "march_cells",
    "march_given",
    "march_midpoint",
    "midpoint_weights",
    "nothing",
    "plane_coordinates",
    "positive_density",
]

PlaneAxes = Literal["official", "xy_xz_zy", "xy_yz_zx"]
March = Literal["midpoint", "cells"]
Field = Callable[[Tensor], tuple[Tensor, Tensor]]
"""World points (batch n 3) to raw density (batch n) and features (batch n c)."""
RawField = Callable[[Tensor], Tensor]
"""World points (batch n 3) to raw density (batch n) alone."""
_THINNEST = 1e-3
"""World units: deviations far below it count as this much."""


class Marched(NamedTuple):
    """What rays see."""

    features: Float[Tensor, "batch rays c"]
    """Over the background."""
    depth: Float[Tensor, "batch rays"]
    """Mean distance at which the ray stops; the far end where nothing is."""
    alpha: Float[Tensor, "batch rays"]
    """Opacity, 0 to 1."""
    spread: Float[Tensor, "batch rays"]
    """Deviation of that distance, world units: how thick the wall is."""


PLANE_AXES: dict[str, tuple[tuple[int, int], ...]] = {
    "official": ((0, 1), (0, 2), (2, 0)),
    "xy_xz_zy": ((0, 1), (0, 2), (2, 1)),
    "xy_yz_zx": ((0, 1), (1, 2), (2, 0)),
}
"""World axes (columns, rows) of the three planes, by convention."""

_NOTHING = 1e-6
_THIN, _OPAQUE = 0.03, 50.0
"""Optical lengths beyond which limits stand for what rounding would spoil."""


@dataclass(frozen=True)
class VolumeConfig:
    """How planes become rays."""

    axes: PlaneAxes = "xy_xz_zy"
    """Which world axes the three planes span; weights work with one only."""
    box: float = 1.0
    """Side of the box the planes cover, world units, centred on the origin."""
    march: March = "cells"
    """How samples along a ray are combined."""
    background: Literal["black", "white"] = "black"
    """What all features are composited over: -1 or 1."""
    interval: tuple[float, float] | None = None
    """First and last depth, world units; none: where the ray crosses the box."""
    sharpness: float = 30.0
    """Factor on densities: published networks 1."""
    train_samples: tuple[int, int] = (24, 24)
    """Coarse and fine samples of a ray in training."""
    samples: tuple[int, int] = (12, 12)
    """Coarse and fine samples of a ray otherwise."""
    proposal_size: int | None = None
    """Pixels per side of the coarser image whose rays take the coarse samples for
    all; none: every ray takes its own."""

    def __post_init__(self) -> None:
        """Check the ranges."""
        if self.axes not in PLANE_AXES:
            message = f"axes is {self.axes!r}: give one of {', '.join(PLANE_AXES)}"
            raise ValueError(message)
        if self.march not in ("midpoint", "cells"):
            message = f"march is {self.march!r}: give midpoint or cells"
            raise ValueError(message)
        for name, (coarse, fine) in (
            ("train_samples", self.train_samples),
            ("samples", self.samples),
        ):
            if coarse < 3 or fine < 0:
                message = (
                    f"{name} is ({coarse}, {fine}): give at least 3 coarse samples"
                    " and no negative number of fine ones"
                )
                raise ValueError(message)
            if self.proposal_size is not None and fine == 0:
                message = (
                    f"{name} is ({coarse}, 0) and proposal_size {self.proposal_size}:"
                    " give fine samples, the coarse ones only tell where they belong"
                )
                raise ValueError(message)


def plane_coordinates(
    points: Float[Tensor, "batch n 3"], axes: PlaneAxes, *, box: float
) -> Float[Tensor, "batch 3 n 2"]:
    """Project world points to the planes: (column, row), -1 to 1 inside the box."""
    order = [axis for pair in PLANE_AXES[axes] for axis in pair]
    return (points * (2.0 / box))[..., order].unflatten(-1, (3, 2)).transpose(1, 2)


def positive_density(
    raw: Float[Tensor, "..."], sharpness: float
) -> Float[Tensor, "..."]:
    """Return density per world unit: ``sharpness * softplus(raw - 1)``."""
    return functional.softplus(raw - 1.0) * sharpness


def box_interval(
    origins: Float[Tensor, "batch rays 3"],
    directions: Float[Tensor, "batch rays 3"],
    *,
    box: float,
) -> tuple[Float[Tensor, "batch rays"], Float[Tensor, "batch rays"]]:
    """Return the depths at which each ray enters and leaves the box.

    A ray that misses the box gets an empty interval at the depth nearest to the
    origin of the world.
    """
    tiny = torch.finfo(directions.dtype).tiny ** 0.5
    slope = torch.where(directions.abs() < tiny, tiny, directions)
    first = (-box / 2 - origins) / slope
    second = (box / 2 - origins) / slope
    near = torch.minimum(first, second).amax(-1).clamp(min=0.0)
    far = torch.maximum(first, second).amin(-1)
    nearest = -(origins * directions).sum(-1).clamp(max=0.0)
    hit = far > near
    return torch.where(hit, near, nearest), torch.where(hit, far, nearest)


def cell_edges(
    t: Float[Tensor, "batch rays samples"],
    near: Float[Tensor, "batch rays"],
    far: Float[Tensor, "batch rays"],
) -> Float[Tensor, "batch rays samples+1"]:
    """Return the bounds of the samples' cells: neighbours' midpoints, near and far."""
    middle = (t[..., 1:] + t[..., :-1]) / 2
    return torch.cat([near[..., None], middle, far[..., None]], dim=-1)


def cell_weights(
    density: Float[Tensor, "batch rays samples"],
    edges: Float[Tensor, "batch rays samples+1"],
) -> Float[Tensor, "batch rays samples"]:
    """Return ``exp(-sum of earlier density*length) * (1 - exp(-density*length))``.

    Exact when the density is constant in each cell.
    """
    optical = density * (edges[..., 1:] - edges[..., :-1])
    before = optical.cumsum(-1) - optical
    return torch.exp(-before) * -torch.expm1(-optical)


def stopping_place(
    density: Float[Tensor, "batch rays cells"],
    lengths: Float[Tensor, "batch rays cells"],
    t: Float[Tensor, "batch rays cells"],
) -> Float[Tensor, "batch rays cells"]:
    """Return where in each cell rays that stop there stop on average, 0 near to 1 far.

    Opaque cells stop rays at their front, but in a wall that thickens later than even
    density says. So each half of a cell has an even density of its own, by the slope
    between the neighbours.

    Args:
        density: of the cells.
        lengths: of the cells.
        t: rising depths of the samples.
    """
    left = [torch.cat([v[..., :1], v[..., :-1]], dim=-1) for v in (density, t)]
    right = [torch.cat([v[..., 1:], v[..., -1:]], dim=-1) for v in (density, t)]
    slope = (right[0] - left[0]) / (right[1] - left[1]).clamp(min=_NOTHING)
    tilt = (slope * lengths / 4).clamp(-density, density)
    first, second = (density - tilt) * lengths / 2, (density + tilt) * lengths / 2
    near, far = -torch.expm1(-first), torch.exp(-first) * -torch.expm1(-second)
    places = near * _even_place(first) / 2 + far * (0.5 + _even_place(second) / 2)
    total = near + far
    return torch.where(total > _NOTHING, places / total.clamp(min=_NOTHING), 0.5)


def _even_place(optical: Float[Tensor, "*cells"]) -> Float[Tensor, "*cells"]:
    """Return it for even density of this optical length, density * length."""
    some = optical.clamp(min=_THIN)
    place = 1 / some - 1 / torch.expm1(some.clamp(max=_OPAQUE))
    return torch.where(optical < _THIN, 0.5 - optical / 12, place)


def midpoint_weights(
    raw: Float[Tensor, "batch rays samples"],
    t: Float[Tensor, "batch rays samples"],
    sharpness: float,
) -> Float[Tensor, "batch rays samples-1"]:
    """Return the weights of the intervals between samples, midpoint rule.

    Rounded as published: where almost nothing is seen, the mean depth hangs on it.
    """
    density = positive_density((raw[..., 1:] + raw[..., :-1]) / 2, sharpness)
    alpha = 1.0 - torch.exp(-density * (t[..., 1:] - t[..., :-1]))
    through = torch.cumprod(1.0 - alpha + 1e-10, dim=-1)
    before = torch.cat([torch.ones_like(alpha[..., :1]), through[..., :-1]], dim=-1)
    return alpha * before


def march_cells(
    field: Field,
    rays: Rays,
    samples: Sampling | Float[Tensor, "batch rays samples"],
    *,
    rules: VolumeConfig,
) -> Marched:
    """Render rays with one cell per sample.

    Args:
        field: evaluates raw density and features (0 to 1) at points.
        rays: where to look.
        samples: how to spread the depths, or the depths themselves.
        rules: factor on densities and background.

    """
    given = isinstance(samples, Tensor)
    t = samples if given else stratified_depths(rays.near, rays.far, samples)
    raw, features = _evaluated(field, rays, t)
    density, parts = positive_density(raw, rules.sharpness), [features]
    if not given and samples.fine:
        with torch.no_grad():
            edges = cell_edges(t, rays.near, rays.far)
            fine = importance_depths(edges, cell_weights(density, edges), samples)
        raw, features = _evaluated(field, rays, fine)
        density = torch.cat([density, positive_density(raw, rules.sharpness)], dim=-1)
        t, parts = torch.cat([t, fine], dim=-1), [*parts, features]
    ordered, order = t.sort(dim=-1)
    edges = cell_edges(ordered, rays.near, rays.far)
    lengths = edges[..., 1:] - edges[..., :-1]
    dense = density.gather(-1, order)
    weights = cell_weights(dense, edges)
    alpha = weights.sum(-1)
    stops = edges[..., :-1] + lengths * stopping_place(dense, lengths, ordered)
    seen = (weights * stops).sum(-1) / alpha.clamp(min=_NOTHING)
    depth = torch.where(alpha > _NOTHING, seen, rays.far)
    mixed = _mixed(torch.zeros_like(weights).scatter(-1, order, weights), parts)
    spread = _spread(weights, stops, seen)
    return Marched(_over(rules.background, mixed, alpha), depth, alpha, spread)


def march_given(
    field: Field,
    rays: Rays,
    t: Float[Tensor, "batch rays samples"],
    lengths: Float[Tensor, "batch rays samples"],
    *,
    rules: VolumeConfig,
) -> Marched:
    """Render rays with one cell of known length around each of given rising depths."""
    raw, features = _evaluated(field, rays, t)
    density = positive_density(raw, rules.sharpness)
    optical = density * lengths
    before = optical.cumsum(-1) - optical
    weights = torch.exp(-before) * -torch.expm1(-optical)
    alpha = weights.sum(-1)
    stops = t + lengths * (stopping_place(density, lengths, t) - 0.5)
    seen = (weights * stops).sum(-1) / alpha.clamp(min=_NOTHING)
    depth = torch.where(alpha > _NOTHING, seen, rays.far)
    shown = _over(rules.background, _mixed(weights, [features]), alpha)
    return Marched(shown, depth, alpha, _spread(weights, stops, seen))


def nothing(rays: Rays, channels: int, *, rules: VolumeConfig) -> Marched:
    """Return what rays see where there is nothing."""
    alpha = torch.zeros_like(rays.near)
    dark = alpha[..., None].repeat(1, 1, channels)
    shown = _over(rules.background, dark, alpha)
    return Marched(shown, rays.far.clone(), alpha, alpha + _THINNEST)


def march_midpoint(
    field: Field, rays: Rays, sampling: Sampling, *, rules: VolumeConfig
) -> Marched:
    """Render rays as the published networks do, by the midpoint rule.

    Arguments and results as in ``march_cells``, but depth is bounded by the smallest
    and largest sample depth of the whole call, which couples its rays.
    """
    t = inclusive_depths(rays.near, rays.far, sampling)
    raw, features = _evaluated(field, rays, t)
    parts = [features]
    if sampling.fine:
        with torch.no_grad():
            weights = midpoint_weights(raw, t, rules.sharpness)
            fine = midpoint_importance_depths(t, weights, sampling)
        fine_raw, features = _evaluated(field, rays, fine)
        raw = torch.cat([raw, fine_raw], dim=-1)
        t, parts = torch.cat([t, fine], dim=-1), [*parts, features]
    ordered, order = t.sort(dim=-1)
    weights = midpoint_weights(raw.gather(-1, order), ordered, rules.sharpness)
    alpha = weights.sum(-1)
    middle = (ordered[..., 1:] + ordered[..., :-1]) / 2
    depth = ((weights * middle).sum(-1) / alpha).nan_to_num(float("inf"))
    depth = depth.clamp(ordered.min(), ordered.max())
    spread = _spread(weights, middle, depth)
    shared = functional.pad(weights, (0, 1)) + functional.pad(weights, (1, 0))
    mixed = _mixed(torch.zeros_like(shared).scatter(-1, order, shared / 2), parts)
    return Marched(_over(rules.background, mixed, alpha), depth, alpha, spread)


def _spread(
    weights: Float[Tensor, "batch rays cells"],
    places: Float[Tensor, "batch rays cells"],
    mean: Float[Tensor, "batch rays"],
) -> Float[Tensor, "batch rays"]:
    """Return the deviation of where rays stop, of those that do."""
    variance = (weights * (places - mean[..., None]).square()).sum(-1)
    return (variance + _THINNEST**2).sqrt()


def _over(background: str, mixed: Tensor, alpha: Tensor) -> Tensor:
    white = (1 - alpha)[..., None] if background == "white" else 0.0
    return 2 * (mixed + white) - 1


def _evaluated(field: Field, rays: Rays, t: Tensor) -> tuple[Tensor, Tensor]:
    points = rays.origins[..., None, :] + t[..., None] * rays.directions[..., None, :]
    raw, features = field(points.flatten(1, 2))
    return raw.unflatten(1, t.shape[1:]), features.unflatten(1, t.shape[1:])


def _mixed(weights: Tensor, parts: list[Tensor]) -> Tensor:
    """Sum features by weight, without joining or sorting the features."""
    sizes = [part.shape[2] for part in parts]
    shares = weights.split(sizes, dim=-1)
    mixed = [
        torch.matmul(share[..., None, :], part)[..., 0, :]
        for share, part in zip(shares, parts, strict=True)
    ]
    return mixed[0] if len(mixed) == 1 else mixed[0] + mixed[1]
