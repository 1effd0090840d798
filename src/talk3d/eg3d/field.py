"""What is at points of the head frame: tri-planes, read by the decoder."""

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from talk3d.eg3d.backbone import Decoder
from talk3d.eg3d.triplane import sample_planes
from talk3d.eg3d.volume import VolumeConfig
from talk3d.neck import rest_points
from talk3d.precision import body_precision

__all__ = ["TriplaneField"]

_OUTSIDE = -30.0


@dataclass(frozen=True)
class TriplaneField:
    """Raw density and features at points."""

    decoder: Decoder
    """Mean plane feature to raw density and features."""
    rules: VolumeConfig
    """Where the planes lie; with cells marching, nothing is outside the box."""
    planes: Float[Tensor, "batch 3 c height width"]
    """The tri-planes."""
    neck: Float[Tensor, "batch 4 4"] | None = None
    """Motion of the head against the torso, see ``talk3d.neck``; none: at rest."""
    half: bool = False
    """Decode in bfloat16 where the device has it in hardware."""

    def __call__(
        self, points: Float[Tensor, "batch n 3"]
    ) -> tuple[Float[Tensor, "batch n"], Float[Tensor, "batch n c"]]:
        """Return raw density and features (0 to 1) in float32."""
        rest = self._rest(points)
        sampled = self._sampled(rest)
        with self._precision():
            raw, features = self.decoder(sampled)
        return self._inside(raw, rest), features

    def raw(self, points: Float[Tensor, "batch n 3"]) -> Float[Tensor, "batch n"]:
        """Return the raw density alone, for less."""
        rest = self._rest(points)
        sampled = self._sampled(rest)
        with self._precision():
            raw = self.decoder.density(sampled)
        return self._inside(raw, rest)

    def _precision(self) -> AbstractContextManager:
        return body_precision(self.planes.device) if self.half else nullcontext()

    def _rest(self, points: Float[Tensor, "batch n 3"]) -> Float[Tensor, "batch n 3"]:
        return points if self.neck is None else rest_points(points, self.neck)

    def _sampled(self, points: Tensor) -> Float[Tensor, "batch n c"]:
        rules = self.rules
        return sample_planes(self.planes, points, axes=rules.axes, box=rules.box)

    def _inside(
        self, raw: Float[Tensor, "batch n"], points: Float[Tensor, "batch n 3"]
    ) -> Float[Tensor, "batch n"]:
        """Drop what is outside the box, where cells are marched."""
        if self.rules.march != "cells":
            return raw
        outside = points.detach().abs().amax(-1) > self.rules.box / 2
        return raw.masked_fill(outside, _OUTSIDE)
