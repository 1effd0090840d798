"""Speech models that need no library: what they say is set by hand."""

from dataclasses import dataclass, field

import numpy as np
from torch import nn

from talk3d.speech_model import SpeechModel


@dataclass(frozen=True)
class Telling(SpeechModel):
    """Says what a signal is at each moment, in one sound only."""

    signal: np.ndarray = field(default_factory=lambda: np.zeros((1, 1)))
    """Rows, 25 a second."""

    @classmethod
    def of(cls, signal: np.ndarray, name: str = "telling") -> "Telling":
        """Return the model that says a signal."""
        return cls(name, 64 * "a", nn.Identity(), False, signal.shape[1], signal)

    @property
    def numbers(self) -> int:
        """How many features a moment has."""
        return self.width

    def heard(self, wave: np.ndarray, times: np.ndarray) -> np.ndarray:
        """Return the signal at moments."""
        del wave
        place = np.clip(times * 25 - 0.5, 0, len(self.signal) - 1)
        rows = np.arange(len(self.signal))
        return np.stack([np.interp(place, rows, s) for s in self.signal.T], 1)
