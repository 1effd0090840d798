"""What the rays of a camera see, as images."""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from talk3d.eg3d.volume import Marched

__all__ = ["Rendering", "squared"]


@dataclass(frozen=True)
class Rendering:
    """What the rays of a camera see."""

    features: Float[Tensor, "batch c height width"]
    """-1 to 1, over a background of -1 unless the configuration says white; the first
    three channels are the raw colour."""
    depth: Float[Tensor, "batch 1 height width"]
    """Mean distance along the ray, world units."""
    alpha: Float[Tensor, "batch 1 height width"]
    """Opacity, 0 to 1."""
    spread: Float[Tensor, "batch 1 height width"]
    """Deviation of the distance, world units: how thick what is seen there is."""

    def picture(self) -> Float[Tensor, "batch 4 height width"]:
        """Return the raw premultiplied colour and the matte, all from -1 to 1."""
        return torch.cat([self.features[:, :3], 2 * self.alpha - 1], dim=1)


def squared(seen: Marched) -> Rendering:
    """Return what the rays of square images saw, row by row, as images."""
    square = (math.isqrt(seen.depth.shape[1]),) * 2
    ones = (part[:, None] for part in seen[1:])
    maps = (seen.features.transpose(1, 2), *ones)
    return Rendering(*(part.unflatten(2, square) for part in maps))
