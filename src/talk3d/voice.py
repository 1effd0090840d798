"""A person's voice: which lips go with which sound.

Comes in: the sound of a recording and the lip shapes of its frames. Goes out: a linear
map from windows of cepstra to lip shapes, with which other sound is turned into lips.
The ridge is chosen by cross-validation over stretches of time.
"""

import itertools
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from scipy.fft import dct
from torch import Tensor

from talk3d.audio import MelConfig, log_mel

__all__ = ["Voice", "fit_voice"]

_CEPSTRA = 13
_OFFSETS = np.arange(-0.28, 0.281, 0.04)
_RIDGES = 10.0 ** np.arange(0.0, 6.1, 0.5)
_FOLDS = 4
_GAP_FRAMES = 12
_FRAME_RATE = 100


@dataclass(frozen=True)
class Voice:
    """Sound to lip shapes of one person."""

    mean: Float[Tensor, " features"]
    """Mean of the features of the recording."""
    spread: Float[Tensor, " features"]
    """Their deviation."""
    weight: Float[Tensor, "features numbers"]
    """Standardised features to lips."""
    bias: Float[Tensor, " numbers"]
    """Mean lips."""

    def lips(
        self, wave: Float[np.ndarray, " samples"], times: Float[np.ndarray, " frames"]
    ) -> Float[Tensor, "frames numbers"]:
        """Return the lips at moments (seconds) of a 16 kHz sound."""
        features = torch.from_numpy(_windows(wave, times)).float()
        return (features - self.mean) / self.spread @ self.weight + self.bias

    def state(self) -> dict[str, Tensor]:
        """Return all numbers by name."""
        names = ("mean", "spread", "weight", "bias")
        return {name: getattr(self, name) for name in names}


def fit_voice(
    wave: Float[np.ndarray, " samples"],
    times: Float[np.ndarray, " frames"],
    lips: Float[np.ndarray, "frames numbers"],
) -> tuple[Voice, Float[np.ndarray, "frames numbers"]]:
    """Fit a voice to the frames of a recording.

    Args:
        wave: 16 kHz mono sound of the recording.
        times: moments of the frames, seconds, rising.
        lips: lips of the frames.

    Returns:
        The voice, and the lips of the same frames as told by voices that were fitted
        without them, which are as wrong as those of new sound.
    """
    features = _windows(wave, times)
    mean, spread = features.mean(0), features.std(0) + 1e-3
    standard, bias = (features - mean) / spread, lips.mean(0)
    told = _held_out(standard, lips)
    errors = ((told - lips) ** 2).sum((1, 2))
    best = int(errors.argmin())
    weight = _ridge(standard, lips - bias, _RIDGES[best : best + 1])[0]
    parts = (mean, spread, weight, bias)
    voice = Voice(*(torch.from_numpy(np.asarray(p, np.float32)) for p in parts))
    return voice, told[best].astype(np.float32)


def _held_out(features: np.ndarray, lips: np.ndarray) -> np.ndarray:
    """Return for every ridge the lips told by fits on the other stretches of time."""
    count = len(lips)
    told = np.zeros((len(_RIDGES), *lips.shape))
    edges = np.linspace(0, count, _FOLDS + 1).astype(int)
    index = np.arange(count)
    for start, stop in itertools.pairwise(edges):
        far = (index < start - _GAP_FRAMES) | (index >= stop + _GAP_FRAMES)
        if not far.any():
            far = (index < start) | (index >= stop)
        bias = lips[far].mean(0)
        weights = _ridge(features[far], lips[far] - bias, _RIDGES)
        told[:, start:stop] = features[start:stop] @ weights + bias
    return told


def _ridge(features: np.ndarray, lips: np.ndarray, ridges: np.ndarray) -> np.ndarray:
    """Return the ridge regression for every ridge, in the dual form."""
    values, vectors = np.linalg.eigh(features @ features.T)
    inner = vectors.T @ lips
    return np.stack(
        [
            features.T @ (vectors @ (inner / (np.maximum(values, 0) + r)[:, None]))
            for r in ridges
        ]
    )


def _windows(wave: np.ndarray, times: np.ndarray) -> np.ndarray:
    """Return cepstra and their slopes around moments: frames x features."""
    mels = log_mel(torch.from_numpy(np.asarray(wave, np.float32)), MelConfig()).numpy()
    cepstra = np.asarray(dct(mels, axis=1, norm="ortho"))[:, :_CEPSTRA]
    sound = np.concatenate([cepstra, np.gradient(cepstra, axis=0)], axis=1)
    place = (np.asarray(times)[:, None] + _OFFSETS) * _FRAME_RATE
    low = np.clip(np.floor(place).astype(int), 0, len(sound) - 2)
    share = np.clip(place - low, 0, 1)[..., None]
    picked = sound[low] * (1 - share) + sound[low + 1] * share
    return picked.reshape(len(picked), -1)
