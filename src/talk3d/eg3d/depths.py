"""Depths along rays: where the field is evaluated.

Comes in: rays with the depths between which they run, and what is known of where
matter is. Goes out: distances from the camera. Without a source of chance everything
is deterministic.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

__all__ = [
    "Rays",
    "Sampling",
    "importance_depths",
    "importance_edges",
    "inclusive_depths",
    "midpoint_importance_depths",
    "stratified_depths",
]

_FLOOR = 0.01


@dataclass(frozen=True)
class Sampling:
    """Where along the rays the field is evaluated."""

    coarse: int
    """Evenly spread samples."""
    fine: int
    """Samples placed where the coarse ones saw matter; 0 for none."""
    generator: torch.Generator | None = None
    """Draws jitter and fine positions; none: deterministic."""

    def drawn(
        self, like: Float[Tensor, "batch rays"], count: int
    ) -> Float[Tensor, "batch rays count"] | None:
        """Draw uniform numbers from 0 to 1, or nothing when deterministic."""
        if self.generator is None:
            return None
        shape, device = (*like.shape, count), self.generator.device
        numbers = torch.rand(shape, generator=self.generator, device=device)
        return numbers.to(like)


@dataclass(frozen=True)
class Rays:
    """Rays and the depths between which they are sampled, world units."""

    origins: Float[Tensor, "batch rays 3"]
    """Where they start."""
    directions: Float[Tensor, "batch rays 3"]
    """Unit vectors."""
    near: Float[Tensor, "batch rays"]
    """First depth."""
    far: Float[Tensor, "batch rays"]
    """Last depth."""

    def parts(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return origins, directions, first and last depths."""
        return self.origins, self.directions, self.near, self.far

    def items(self) -> "list[Rays]":
        """Return the rays of each item by itself."""
        split = zip(*(part.split(1) for part in self.parts()), strict=True)
        return [Rays(*item) for item in split]


def inclusive_depths(
    near: Float[Tensor, "batch rays"],
    far: Float[Tensor, "batch rays"],
    sampling: Sampling,
) -> Float[Tensor, "batch rays coarse"]:
    """Spread depths from near to far inclusive, as the published networks do.

    Jitter pushes a depth by up to one step, the last one beyond ``far``.
    """
    count = sampling.coarse
    steps = torch.arange(count, device=near.device, dtype=near.dtype)
    jitter = sampling.drawn(near, count)
    if jitter is not None:
        steps = steps + jitter
    return near[..., None] + (far - near)[..., None] * steps / (count - 1)


def stratified_depths(
    near: Float[Tensor, "batch rays"],
    far: Float[Tensor, "batch rays"],
    sampling: Sampling,
) -> Float[Tensor, "batch rays coarse"]:
    """Place one depth in each of equal bins, in the middle unless jittered."""
    count = sampling.coarse
    steps = torch.arange(count, device=near.device, dtype=near.dtype)
    jitter = sampling.drawn(near, count)
    offset = 0.5 if jitter is None else jitter
    return near[..., None] + (far - near)[..., None] * (steps + offset) / count


def importance_depths(
    edges: Float[Tensor, "batch rays edges"],
    weights: Float[Tensor, "batch rays cells"],
    sampling: Sampling,
) -> Float[Tensor, "batch rays fine"]:
    """Place depths where the weights are, by inverting their cumulated sum.

    Weights are widened to the neighbours and get a floor, so a surface between two
    samples is not missed. One depth lies in each of ``fine`` parts of equal weight.
    """
    padded = functional.pad(weights, (1, 1))
    wide = torch.maximum(padded[..., 1:], padded[..., :-1])
    wide = (wide[..., 1:] + wide[..., :-1]) / 2 + _FLOOR
    total = functional.pad(wide.cumsum(-1), (1, 0))
    total = total / total[..., -1:]
    zero = torch.zeros_like(weights[..., 0])
    parts = Sampling(sampling.fine, 0, generator=sampling.generator)
    positions = stratified_depths(zero, zero + 1, parts)
    return _inverted(total, edges, positions)


def midpoint_importance_depths(
    t: Float[Tensor, "batch rays samples"],
    weights: Float[Tensor, "batch rays samples-1"],
    sampling: Sampling,
) -> Float[Tensor, "batch rays fine"]:
    """Place depths as the published networks do, with their half-sample shift.

    The weights sit half a sample nearer to the camera than their intervals, and the
    far end gets no samples. Even positions include 0 and 1.
    """
    rows = weights.flatten(0, 1)[:, None]
    rows = functional.max_pool1d(rows, 2, stride=1, padding=1)
    rows = functional.avg_pool1d(rows, 2, stride=1)[:, 0] + _FLOOR
    inner = rows.unflatten(0, weights.shape[:2])[..., 1:-1] + 1e-5
    share = inner / inner.sum(-1, keepdim=True)
    total = functional.pad(share.cumsum(-1), (1, 0))
    middle = (t[..., 1:] + t[..., :-1]) / 2
    positions = sampling.drawn(t[..., 0], sampling.fine)
    if positions is None:
        even = torch.linspace(0, 1, sampling.fine, device=t.device, dtype=t.dtype)
        positions = even.expand(*t.shape[:-1], -1)
    return _inverted(total, middle[..., : total.shape[-1]], positions)


def importance_edges(
    weights: Float[Tensor, "batch rays bins"], sampling: Sampling
) -> tuple[Float[Tensor, "batch rays edges"], Float[Tensor, "batch rays fine"]]:
    """Divide rays into cells of equal weight, from 0 (near) to 1 (far).

    Args:
        weights: how much each of equal bins counts; a floor is added.
        sampling: its fine samples are the cells.

    Returns:
        The bounds of the cells, and a position inside each.
    """
    total = functional.pad((weights + _FLOOR).cumsum(-1), (1, 0))
    total = total / total[..., -1:]
    bins, fine = weights.shape[-1], sampling.fine
    device, shape = weights.device, weights.shape[:-1]
    places = torch.linspace(0, 1, bins + 1, device=device).expand(*shape, -1)
    zero = torch.zeros_like(weights[..., 0])
    draws = Sampling(fine, 0, generator=sampling.generator)
    inside = stratified_depths(zero, zero + 1, draws)
    bounds = torch.linspace(0, 1, fine + 1, device=device).expand(*shape, -1)
    return _inverted(total, places, bounds), _inverted(total, places, inside)


def _inverted(total: Tensor, places: Tensor, positions: Tensor) -> Tensor:
    """Interpolate the places at which the cumulated ``total`` reaches positions."""
    last = total.shape[-1] - 1
    index = torch.searchsorted(total.contiguous(), positions.contiguous(), right=True)
    below, above = (index - 1).clamp(min=0), index.clamp(max=last)
    low, high = total.gather(-1, below), total.gather(-1, above)
    start, stop = places.gather(-1, below), places.gather(-1, above)
    step = high - low
    step = torch.where(step < 1e-5, 1.0, step)
    return start + (positions - low) / step * (stop - start)
