"""The options that say where networks run, and for how long.

Nothing heavy is imported before a command runs, so help answers at once.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import torch

__all__ = ["ANYWHERE", "UNHURRIED", "Making", "Running"]


@dataclass(frozen=True)
class Running:
    """Where networks run."""

    device: Literal["auto", "cpu", "cuda"] = "auto"
    """cpu, cuda, or auto: a CUDA card if there is one, else the CPU."""

    def place(self) -> "torch.device":
        """Return the device.

        Raises:
            ValueError: if CUDA is asked for and not there.
        """
        from talk3d.device import chosen_device

        return chosen_device(self.device)


@dataclass(frozen=True)
class Making(Running):
    """Where an avatar is made, and how long that may take."""

    max_minutes: float | None = None
    """Time limit of the training; a short one costs quality."""


ANYWHERE, UNHURRIED = Running(), Making()
