"""Square windows of pictures: parts of an image at its own scale.

A window of half the side costs a quarter of the rays. Many are laid around eyes or
mouth, where people look.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor

from talk3d.camera import window_label

__all__ = ["WINDOW", "Windows"]

WINDOW = 2
"""Side of a picture over that of a window in training."""


@dataclass(frozen=True)
class Windows:
    """A window of each picture of a batch."""

    corner: Int[Tensor, "batch 2"]
    """Upper row and left column, pixels."""
    side: int
    """Pixels."""
    size: int
    """Side of the pictures, pixels."""

    @classmethod
    def draw(
        cls,
        features: Bool[Tensor, "batch kinds size size"],
        times: int,
        cells: int,
        *,
        chance: torch.Generator,
    ) -> "Windows":
        """Lay every other window around a feature, the others anywhere.

        Args:
            features: pixels of each kind of feature (eyes, mouth); kinds are taken
                equally often.
            times: side of a picture over that of a window.
            cells: windows begin at multiples of the side of a picture over this.
            chance: places them.
        """
        count, kinds = features.shape[:2]
        kind = torch.randint(kinds, (count,), generator=chance)
        wanted = features[torch.arange(count), kind, None].clone()
        wanted[1::2] = False
        return cls.around(wanted, times, cells, chance=chance)

    @classmethod
    def around(
        cls,
        wanted: Bool[Tensor, "batch 1 size size"],
        times: int,
        cells: int,
        *,
        chance: torch.Generator,
    ) -> "Windows":
        """Lay each window around a wanted pixel; anywhere if there is none.

        Places up to a quarter of a window beyond the picture are drawn, too, and drawn
        in: else pixels at its rim would hardly ever be shown.

        Args:
            wanted: of these, one lies within the window.
            times: side of a picture over that of a window.
            cells: windows begin at multiples of the side of a picture over this.
            chance: places them.
        """
        size = wanted.shape[-1]
        side, cell = size // times, size // cells
        corners = []
        for pixels in wanted[:, 0]:
            shown = pixels.nonzero()
            if len(shown):
                pick = torch.randint(len(shown), (1,), generator=chance)
                shift = torch.randint(-side // 4, side // 4, (2,), generator=chance)
                corner = shown[pick[0]] - side // 2 + shift
            else:
                beyond = side // 4
                span = (-beyond, size - side + beyond + 1)
                corner = torch.randint(*span, (2,), generator=chance)
            corners.append(corner.clamp(0, size - side) // cell * cell)
        return cls(torch.stack(corners), side, size)

    def cut(
        self, pictures: Shaped[Tensor, "batch c size size"]
    ) -> Shaped[Tensor, "batch c side side"]:
        """Return the windows of pictures."""
        return torch.stack(
            [
                picture[:, row : row + self.side, column : column + self.side]
                for picture, (row, column) in zip(
                    pictures, self.corner.tolist(), strict=True
                )
            ]
        )

    def camera(self, label: Float[Tensor, "batch 25"]) -> Float[Tensor, "batch 25"]:
        """Return the cameras that see the windows alone."""
        return window_label(
            label, self.corner.flip(-1) / self.size, self.side / self.size
        )
