"""Point stage: the field is taught at points, by exact depth, without ray marching.

A picture with depth says of every pixel: empty up to the surface, occupied just
behind it, and this colour on it. Four points a pixel replace dozens of samples along
a ray, and the gradient says where the surface is. Random points of the whole box are
checked against all given views of the person, so space beside and behind the head is
taught to be empty.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional

from talk3d.camera import image_rays, project
from talk3d.eg3d.corpus import CorpusBatch
from talk3d.neck import posed_points, rest_points

__all__ = ["PointTargets", "point_loss", "sample_points"]

HALF_BOX = 0.5
_FEATURE_PARTS = (2, 3, 4, 5)
_FEATURE_WEIGHT = 6.0
_NOTHING_WEIGHT = 0.35
_FAR = 1.2
_THICKNESS = 0.01
_MARGIN = 0.02
_HAIR = 6
_OUTSIDE_FACTOR = 0.5


@dataclass(frozen=True)
class PointTargets:
    """What the field should be at points of each image."""

    points: Float[Tensor, "batch points 3"]
    """Where the points lie at rest, world units; the surface points come first."""
    occupied: Float[Tensor, "batch points"]
    """1 inside the person, 0 outside."""
    weight: Float[Tensor, "batch points"]
    """0 where nothing is known."""
    colour: Float[Tensor, "batch pixels 3"]
    """Colour of the surface points, -1 to 1."""
    surface: Float[Tensor, "batch pixels"]
    """Weight of the surface points' colour."""


def sample_points(
    batch: CorpusBatch, pixels: int, *, generator: torch.Generator
) -> PointTargets:
    """Draw training points for every image.

    Args:
        batch: images; views of one person must stand side by side in pairs, which
            check each other's random points.
        pixels: pixels drawn per image. Eyes and mouth are drawn more often.
        generator: source of chance.

    Returns:
        Per pixel a point on the surface, just in front, just behind and in free
        space, and one random point of the box.
    """
    count, size = batch.colour.shape[0], batch.colour.shape[-1]
    chosen = _draw_pixels(batch, pixels, generator)
    grid = torch.stack([chosen % size, chosen // size], dim=-1)
    centres = (grid.float() + 0.5) / size
    origins, directions = image_rays(batch.camera, centres)
    depth = batch.depth.flatten(1).gather(1, chosen)
    part = batch.part.flatten(1).gather(1, chosen)
    known = (depth > 0).float()
    middle = origins.norm(dim=-1)
    depth = torch.where(depth > 0, depth, middle + 0.6)

    def uniform() -> Tensor:
        return torch.rand(count, pixels, generator=generator)

    near = middle - 0.75
    free = near + (depth - _MARGIN - near).clamp(min=0.01) * uniform().sqrt()
    offsets = [
        depth + 0.004 * uniform(),
        depth - 0.010 - 0.02 * uniform(),
        depth + 0.006 + 0.02 * uniform(),
        free,
    ]
    rays = [origins + directions * t[..., None] for t in offsets]
    box = 2 * HALF_BOX * torch.rand(count, pixels, 3, generator=generator) - HALF_BOX
    empty = _seen_empty(batch, box)
    points = torch.cat([rest_points(torch.cat(rays, dim=1), batch.neck), box], dim=1)
    zero, one = torch.zeros_like(known), torch.ones_like(known)
    solid = known * torch.where(part == _HAIR, _OUTSIDE_FACTOR, 1.0)
    inside = (points.abs().amax(-1) < HALF_BOX).float()
    weight = torch.cat([known, one, solid, one, empty.float()], dim=1) * inside
    colour = batch.colour.flatten(2).gather(2, chosen[:, None].expand(-1, 3, -1))
    return PointTargets(
        points=points,
        occupied=torch.cat([known, zero, known, zero, zero], dim=1),
        weight=weight,
        colour=colour.transpose(1, 2),
        surface=known * inside[:, :pixels],
    )


def point_loss(
    targets: PointTargets,
    density: Float[Tensor, "batch points"],
    colour: Float[Tensor, "batch pixels 3"],
) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
    """Return the colour error and the occupancy error of the field.

    Args:
        targets: what the field should be.
        density: optical density per world unit at all points.
        colour: colour at the surface points, -1 to 1.

    Returns:
        Mean absolute colour error on the surface, and the cross-entropy of
        occupancy, where the probability of being occupied is the opacity of 4 mm:
        ``1 - exp(-density * 0.01)``.
    """
    opacity = (1 - torch.exp(-density * _THICKNESS)).clamp(1e-5, 1 - 1e-5)
    entropy = functional.binary_cross_entropy(
        opacity, targets.occupied, weight=targets.weight, reduction="sum"
    )
    error = (colour - targets.colour).abs().mean(-1) * targets.surface
    return (
        error.sum() / targets.surface.sum().clamp(min=1),
        entropy / targets.weight.sum().clamp(min=1),
    )


def _draw_pixels(batch: CorpusBatch, pixels: int, generator: torch.Generator) -> Tensor:
    part = batch.part.flatten(1)
    weight = torch.where(part == 0, _NOTHING_WEIGHT, 1.0)
    for feature in _FEATURE_PARTS:
        weight = torch.where(part == feature, _FEATURE_WEIGHT, weight)
    return torch.multinomial(weight, pixels, replacement=True, generator=generator)


def _seen_empty(
    batch: CorpusBatch, points: Float[Tensor, "batch points 3"]
) -> Bool[Tensor, "batch points"]:
    """Tell which points at rest some view of the pair sees to be before the surface."""
    order = torch.arange(len(points)) ^ 1
    order = torch.where(order < len(points), order, torch.arange(len(points)))
    same = (batch.person == batch.person[order])[:, None]
    here, there = posed_points(points, batch.neck), batch.neck[order]
    own = _empty_in_view(here, batch.camera, batch.depth)
    turned = posed_points(points, there)
    other = _empty_in_view(turned, batch.camera[order], batch.depth[order])
    return own | (other & same)


def _empty_in_view(
    points: Float[Tensor, "batch points 3"],
    camera: Float[Tensor, "batch 25"],
    depth: Float[Tensor, "batch 1 size size"],
) -> Bool[Tensor, "batch points"]:
    image, distance = project(points, camera)
    size = depth.shape[-1]
    pixel = (image * size).floor().long()
    visible = ((pixel >= 0) & (pixel < size)).all(-1) & (distance > 0)
    pixel = pixel.clamp(0, size - 1)
    seen = depth.flatten(1).gather(1, pixel[..., 1] * size + pixel[..., 0])
    return visible & ((seen == 0) | (distance < seen - _MARGIN))
