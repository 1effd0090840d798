"""The guard of the unseen sides: what the recording does not show stays as it was.

Comes in: tri-planes before they are fitted to pictures, and cameras the pictures are
taken with. Goes out: points that none of these cameras sees, on the surface of the
other sides and behind, with their opacity and colour; and a loss that holds other
planes to them. Planes are shared by all points that project to a texel, so what is
painted on the face would otherwise show on the ear. What the prior got wrong in sight,
such as the tone of hair or cloth, is mended out of sight, too, by what is near and
looks alike.
"""

import math
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from talk3d.camera import camera_rays, orbit_label, project
from talk3d.eg3d.generator import Generator
from talk3d.neck import posed_points

__all__ = ["GUARD_POINTS", "Guard"]

GUARD_POINTS = 4000
"""Points looked at per step."""
_YAWS = (-150, -110, -80, -55, 55, 80, 110, 150, 180)
_PITCHES = (-25, 10)
_SIDE = 64
_HIDDEN = 0.08
_JITTER = 0.015
_THICKNESS = 0.01
_EVEN = 30_000
_NEAR, _ALIKE = 0.25, 0.15
"""Deviations of the kernel that carries changes of colour: world units, colour."""
_CHUNK = 4096


@dataclass(frozen=True)
class Guard:
    """Points beyond the recording's sight, and what is there."""

    points: Float[Tensor, "n 3"]
    """World units."""
    opacity: Float[Tensor, " n"]
    """Of 4 mm."""
    colour: Float[Tensor, "n 3"]
    """0 to 1."""

    @classmethod
    @torch.no_grad()
    def of(
        cls,
        generator: Generator,
        planes: Float[Tensor, "1 3 c height width"],
        cameras: Float[Tensor, "views 25"],
        necks: Float[Tensor, "views 4 4"],
        *,
        chance: torch.Generator,
    ) -> "Guard":
        """Collect hidden points of planes.

        Args:
            generator: decodes the planes.
            planes: what to hold to.
            cameras: from where the recording shows the person.
            necks: how the head stands against the torso then, see ``talk3d.neck``.
            chance: places the points.
        """
        sides = [
            orbit_label(math.radians(yaw), pitch / 57.3).to(planes)
            for yaw in _YAWS
            for pitch in _PITCHES
        ]
        surfaces = [_surface(generator, planes, label) for label in sides]
        surface = torch.cat(surfaces)
        shift = _JITTER * torch.randn(surface.shape, generator=chance).to(surface)
        even = torch.rand(_EVEN, 3, generator=chance).to(surface) - 0.5
        points = torch.cat([surface + shift, even])
        points = points[points.abs().amax(-1) < 0.5]
        for label, neck in zip(cameras.split(1), necks.split(1), strict=True):
            points = points[_hidden(generator, planes, points, label, neck)]
        opacity, colour = _evaluate(generator, planes, points[None])
        return cls(points, opacity[0], colour[0])

    @torch.no_grad()
    def recoloured(
        self,
        points: Float[Tensor, "seen 3"],
        shown: Float[Tensor, "seen 3"],
        wanted: Float[Tensor, "seen 3"],
    ) -> "Guard":
        """Return the guard with colours changed as those of points in sight are.

        Each colour changes by the mean change of points in sight, weighted by how near
        they are and how like its own their colour was (a bilateral kernel, Tomasi and
        Manduchi 1998); where none is, it stays.

        Args:
            points: in sight, world units.
            shown: their colour as the guard's planes have it, 0 to 1.
            wanted: their colour in the recording, 0 to 1.
        """
        here = torch.cat([points / _NEAR, shown / _ALIKE], dim=1)
        there = torch.cat([self.points / _NEAR, self.colour / _ALIKE], dim=1)
        changes = []
        for part in there.split(_CHUNK):
            weight = torch.exp(-0.5 * torch.cdist(part, here).square())
            total = weight.sum(1, keepdim=True) + 1
            changes.append(weight @ (wanted - shown) / total)
        colour = (self.colour + torch.cat(changes)).clamp(0, 1)
        return replace(self, colour=colour)

    def loss(
        self,
        generator: Generator,
        planes: Float[Tensor, "1 3 c height width"],
        count: int,
        *,
        chance: torch.Generator,
    ) -> Float[Tensor, ""]:
        """Return how far planes stray at ``count`` of the points.

        The mean change of opacity plus that of colour where matter is.
        """
        rows = torch.randint(len(self.points), (count,), generator=chance)
        rows = rows.to(self.points.device)
        opacity, colour = _evaluate(generator, planes, self.points[rows][None])
        wanted = self.opacity[rows]
        change = (colour[0] - self.colour[rows]).abs().mean(-1)
        return (opacity[0] - wanted).abs().mean() + (change * wanted).mean()


def _evaluate(
    generator: Generator, planes: Tensor, points: Tensor
) -> tuple[Tensor, Tensor]:
    raw, features = generator.query(planes, points)
    opacity = 1 - torch.exp(-_THICKNESS * generator.density(raw))
    return opacity, features[..., :3]


def _hidden(
    generator: Generator,
    planes: Tensor,
    points: Float[Tensor, "n 3"],
    label: Float[Tensor, "1 25"],
    neck: Float[Tensor, "1 4 4"],
) -> Bool[Tensor, " n"]:
    """Tell which points (at rest) a camera does not see."""
    side = 2 * _SIDE
    view = generator.render(planes, label, generator.sampling(), neck=neck, size=side)
    place, distance = project(posed_points(points[None], neck), label)
    pixel = (place[0] * side).long().clamp(0, side - 1)
    seen = view.depth[0, 0][pixel[:, 1], pixel[:, 0]]
    solid = view.alpha[0, 0][pixel[:, 1], pixel[:, 0]] > 0.5
    outside = ((place[0] < 0) | (place[0] > 1)).any(-1)
    return outside | (solid & (distance[0] > seen + _HIDDEN))


def _surface(generator: Generator, planes: Tensor, label: Tensor) -> Tensor:
    """Return the points that a camera sees of a person."""
    view = generator.render(planes, label[None], generator.sampling(), size=_SIDE)
    origins, directions = camera_rays(label[None], _SIDE)
    points = origins + directions * view.depth.flatten(2).transpose(1, 2)
    return points[0][view.alpha.flatten() > 0.5]
