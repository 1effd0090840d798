"""The field that tri-planes span: what is at points of the head frame."""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from talk3d.eg3d.backbone import Decoder
from talk3d.eg3d.triplane import sample_planes
from talk3d.eg3d.volume import VolumeConfig
from talk3d.neck import rest_points

__all__ = ["PlaneField"]

_OUTSIDE = -30.0

Points = Float[Tensor, "batch n 3"]


@dataclass(frozen=True)
class PlaneField:
    """Planes, and what reads them."""

    planes: Float[Tensor, "batch 3 c height width"]
    """Features."""
    decoder: Decoder
    """Features to raw density and features."""
    rules: VolumeConfig
    """The box and the planes' axes. With cells marching, nothing is outside the box."""
    neck: Float[Tensor, "batch 4 4"] | None = None
    """Motion of the head against the torso, see ``talk3d.neck``; none: at rest."""

    def __call__(
        self, points: Points
    ) -> tuple[Float[Tensor, "batch n"], Float[Tensor, "batch n c"]]:
        """Return raw density and features (0 to 1) at world points."""
        rest = self._rest(points)
        raw, features = self.decoder(self._sampled(rest))
        return self._inside(raw, rest), features

    def raw(self, points: Points) -> Float[Tensor, "batch n"]:
        """Return the raw density alone, for less."""
        rest = self._rest(points)
        return self._inside(self.decoder.density(self._sampled(rest)), rest)

    def _rest(self, points: Points) -> Points:
        return points if self.neck is None else rest_points(points, self.neck)

    def _sampled(self, rest: Points) -> Float[Tensor, "batch n c"]:
        rules = self.rules
        return sample_planes(self.planes, rest, axes=rules.axes, box=rules.box)

    def _inside(
        self, raw: Float[Tensor, "batch n"], rest: Points
    ) -> Float[Tensor, "batch n"]:
        if self.rules.march != "cells":
            return raw
        outside = rest.detach().abs().amax(-1) > self.rules.box / 2
        return raw.masked_fill(outside, _OUTSIDE)
