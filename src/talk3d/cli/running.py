"""The options that say where networks run, what listens, and for how long.

Nothing heavy is imported before a command runs, so help answers at once.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import torch

    from talk3d.speech_model import SpeechModel

__all__ = ["ANYWHERE", "UNAIDED", "UNHURRIED", "Listening", "Making", "Running"]


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
class Listening(Running):
    """Where networks run, and what turns sound into lips."""

    speech_model: str | None = None
    """A wav2vec 2.0 or HuBERT model that listens, too: a folder, or its id on the hub.
    Give the same one whenever the avatar is used."""

    def listener(self, *, offline: bool = False) -> "SpeechModel | None":
        """Return the speech model, if one is given."""
        if self.speech_model is None:
            return None
        from talk3d.speech_model import load_speech_model

        return load_speech_model(self.speech_model, offline=offline)


@dataclass(frozen=True)
class Making(Listening):
    """Where an avatar is made, what listens, and how long that may take."""

    max_minutes: float | None = None
    """Time limit of the training; a short one costs quality."""


ANYWHERE, UNAIDED, UNHURRIED = Running(), Listening(), Making()
