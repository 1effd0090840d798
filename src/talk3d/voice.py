"""A person's voice: which lips go with which sound.

Comes in: the sound of a recording and the lip shapes of its frames. Goes out: a linear
map from what is heard around a moment to the lips, with which other sound is turned
into lips. Two listeners are mixed: one hears the embedding and the mouth of a network
that knows speech (``talk3d.speech``), and cepstra; the other bare log-mel bands, which
know this microphone and this throat only. A speech model (wav2vec 2.0, HuBERT) may be
a third.

Where a person's own sound says little (a short or noisy recording), the lips move as
anybody's would: the network's mouth, on the average face, is a part of the answer, and
only what it leaves is fitted.

Lips that do not quite meet are seen at once, and a linear map seldom shuts them. So
where the network hears p, b or m, the gap goes down to what it is then in the
recording, and the lips change as they do when this person's gap changes.

Seconds of a person are few, and faces smile and turn while they talk. So slow changes
of the lips (over a second) are taken out before the fit, frames that fit badly count
little, lips rest where they are most often, not halfway to a grimace, and the ridges,
the mixture and the delay of the sound are chosen by cross-validation over stretches of
time.
"""

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Bool, Float
from scipy.ndimage import gaussian_filter1d
from torch import Tensor

from talk3d.heard import (
    excerpt,
    heard,
    heard_mouth,
    lip_contact,
    listeners,
    mean_and_divisor,
    mouth_numbers,
)
from talk3d.speech_model import SpeechModel

__all__ = ["Voice", "fit_voice", "told_share"]

_BARE_SHARES = (0.0, 0.25, 0.5)
"""How much the bare listener may have to say,"""
_MODEL_SHARES = (0.0, 0.5, 1.0)
"""and a speech model against both."""
_MIX_GAIN = 0.005
"""They say nothing if they do not explain this share more."""
_COMMON_SHARES = (0.0, 0.5, 1.0)
"""How much of the average face's movement may be taken over,"""
_COMMON_COST = 0.01
"""and what share may be explained less for it: lips that hardly move do not talk."""
_SHUT_COST = 0.01
"""What share may be explained less for shut lips,"""
_SHUT_FRAMES = 5
"""and how many frames must show them."""
_RIDGES = 10.0 ** np.arange(-2.0, 3.1, 0.5)
_DELAYS = tuple(np.arange(-4, 9) / 50)
_DELAY_GAIN = 0.01
"""A delay is believed if it explains this share more than none,"""
_DELAY_SURE = 0.03
"""and at least this share."""
_SLOW_SECONDS = 1.0
_FOLDS = 4
_GAP_SECONDS = 0.5
_ROUNDS = 3
_FREEDOM = 3.0
"""Degrees of freedom of the t distribution that weighs the frames."""
_SHIFTS = 50
_STILL = 1e-9
"""Less is rounding."""
_PIECE = 1500
"""Frames that are heard at once: features of an hour would take gigabytes."""

Shapes = Float[np.ndarray, "frames numbers"]
Features = Float[np.ndarray, "frames features"]
Weights = Float[np.ndarray, " frames"]


@dataclass(frozen=True)
class Voice:
    """Sound to lip shapes of one person."""

    mean: Float[Tensor, " features"]
    """Mean of the features of the recording."""
    spread: Float[Tensor, " features"]
    """Their deviation, over the share they are given."""
    weight: Float[Tensor, "features numbers"]
    """Standardised features to lips."""
    bias: Float[Tensor, " numbers"]
    """The most common lips, for mean features."""
    delay: Float[Tensor, ""]
    """By how many seconds the sound of the recording comes late."""
    rim: Float[Tensor, " numbers"]
    """Lips times this is the gap between them."""
    part: Float[Tensor, " numbers"]
    """How the lips change when the gap grows by one; 0: no sound shuts them."""
    least: Float[Tensor, ""]
    """The gap where p, b or m is heard."""
    model: SpeechModel | None = None
    """The speech model that listens, too."""

    def lips(
        self, wave: Float[np.ndarray, " samples"], times: Float[np.ndarray, " frames"]
    ) -> Float[Tensor, "frames numbers"]:
        """Return the lips at moments (seconds) of a 16 kHz sound.

        The sound is taken to be as late as in the recording: that is right for its own
        sound; see `in_time`. The lips of a moment depend on less than 0.6 s of sound
        after it, with a speech model on up to 3.1 s.
        """
        moments = np.asarray(times) + float(self.delay)
        pieces = np.array_split(moments, math.ceil(len(moments) / _PIECE) or 1)
        return torch.cat([self._told(wave, piece) for piece in pieces])

    def _told(
        self, wave: Float[np.ndarray, " samples"], moments: Float[np.ndarray, " frames"]
    ) -> Float[Tensor, "frames numbers"]:
        features = torch.from_numpy(heard(wave, moments, self.model)).float()
        told = (features - self.mean) / self.spread @ self.weight + self.bias
        contact = torch.from_numpy(lip_contact(*excerpt(wave, moments))).float()
        over = contact * (told @ self.rim - self.least).clamp(min=0)
        return told - over[:, None] * self.part

    def in_time(self) -> "Voice":
        """Return the voice for sound that is to be in time with the lips."""
        return replace(self, delay=torch.zeros_like(self.delay))

    def articulated(self, gain: float) -> "Voice":
        """Return the voice whose lips move so many times as far from their rest."""
        return replace(self, weight=gain * self.weight)

    def state(self) -> dict[str, Tensor]:
        """Return all numbers by name."""
        names = ("mean", "spread", "weight", "bias", "delay")
        names += ("rim", "part", "least")
        return {name: getattr(self, name) for name in names}


def fit_voice(
    wave: Float[np.ndarray, " samples"],
    times: Float[np.ndarray, " frames"],
    lips: Shapes,
    *,
    common: Float[np.ndarray, "mouth numbers"] | None = None,
    rim: Float[np.ndarray, " numbers"] | None = None,
    model: SpeechModel | None = None,
) -> tuple[Voice, Shapes]:
    """Fit a voice to the frames of a recording.

    Args:
        wave: 16 kHz mono sound of the recording.
        times: moments of the frames, seconds, rising.
        lips: lips of the frames.
        common: how anybody's lips move with the mouth that is heard, see
            ``talk3d.lips.common_lips``; none: only what the recording tells.
        rim: lips times this is the gap between them; none: no sound shuts them.
        model: a speech model that listens, too.

    Returns:
        The voice, and the lips of the same frames as told by voices that were fitted
        without them, which are as wrong as those of new sound.
    """
    lips = np.asarray(lips, np.float64)
    delay = _delay(wave, times, lips)
    features = heard(wave, times + delay, model)
    if not wave.any():
        # Silence says nothing of these lips; they belong to the middle of any speech.
        features = np.zeros_like(features)
    mean, spread = mean_and_divisor(features)
    standard, slow = (features - mean) / spread, _slow_frames(times)
    every = np.zeros((features.shape[1], lips.shape[1]))
    if common is not None:
        every[mouth_numbers()] = common
    moved = (features - mean) @ every
    shares = (0.0,) if common is None else _COMMON_SHARES
    fits = [_fit_rest(standard, lips - share * moved, slow) for share in shares]
    tolds = [fit.told + s * moved for fit, s in zip(fits, shares, strict=True)]
    gains = np.array([_gain(told, lips, slow) for told in tolds])
    chosen = int(np.flatnonzero(gains >= gains.max() - _COMMON_COST)[-1])
    weight = fits[chosen].weight + shares[chosen] * every * spread[:, None]
    told = tolds[chosen]
    rim = np.zeros(lips.shape[1]) if rim is None else rim
    contact = lip_contact(wave, times + delay)
    part, least = _shutting(lips, rim, contact)
    over = contact * np.maximum(told @ rim - least, 0)
    pressed = told - over[:, None] * part
    if _gain(pressed, lips, slow) < gains[chosen] - _SHUT_COST:
        pressed, part = told, 0 * part
    parts = (mean, spread, weight, fits[chosen].bias, delay, rim, part, least)
    voice = Voice(*(torch.tensor(p, dtype=torch.float32) for p in parts), model=model)
    return voice, pressed.astype(np.float32)


def told_share(
    told: Shapes, lips: Shapes, times: Float[np.ndarray, " frames"]
) -> float:
    """Return how far told lips move, over how far the true ones do.

    Changes of less than a second, root mean square; 1 where neither moves.
    """
    slow, every = _slow_frames(times), np.ones(len(lips), bool)
    far, true = (np.square(_fast(x, slow, every)).sum() for x in (told, lips))
    return math.sqrt(float(far) / float(true)) if true > _STILL else 1.0


def _shutting(
    lips: Shapes, rim: Float[np.ndarray, " numbers"], contact: Weights
) -> tuple[Float[np.ndarray, " numbers"], float]:
    """Return how the lips part, and the gap where they are heard to be shut."""
    gap = lips @ rim
    off = gap - gap.mean()
    if (contact > 0.5).sum() < _SHUT_FRAMES or not off.any():
        return np.zeros(len(rim)), 0.0
    part = off @ (lips - lips.mean(0)) / (off @ off)
    return part, float(np.median(gap[contact > 0.5]))


@dataclass(frozen=True)
class _Fit:
    """Lips from standardised features."""

    weight: Float[np.ndarray, "features numbers"]
    bias: Float[np.ndarray, " numbers"]
    told: Shapes
    """Lips of the frames as told without them."""


def _fit_rest(standard: Features, lips: Shapes, slow: float) -> _Fit:
    """Fit the listeners and mix them."""
    fits, tolds = [], []
    for part in listeners(standard):
        told, gains = _held_out(part, lips, slow)
        best = int(gains.argmax())
        fits.append(_robust(part, lips, slow, _RIDGES[best]))
        tolds.append(told[best])
    mixtures = _mixtures(len(fits))
    mixed = [sum(s * told for s, told in zip(m, tolds, strict=True)) for m in mixtures]
    gained = np.array([_gain(np.asarray(told), lips, slow) for told in mixed])
    chosen = int(gained.argmax()) if gained.max() > gained[0] + _MIX_GAIN else 0
    shares = mixtures[chosen]
    weight = np.concatenate([s * w for s, (w, _) in zip(shares, fits, strict=True)])
    bias = np.sum([s * b for s, (_, b) in zip(shares, fits, strict=True)], axis=0)
    return _Fit(weight, bias, np.asarray(mixed[chosen]))


def _mixtures(count: int) -> list[tuple[float, ...]]:
    """Return the shares that two or three listeners may have, the first alone first."""
    pairs: list[tuple[float, ...]] = [(1 - bare, bare) for bare in _BARE_SHARES]
    if count == 2:
        return pairs
    return [(*((1 - m) * x for x in pair), m) for m in _MODEL_SHARES for pair in pairs]


def _slow_frames(times: np.ndarray) -> float:
    """Return how many frames a slow change takes."""
    return max(1.0, _SLOW_SECONDS / float(np.median(np.diff(times))))


def _delay(wave: np.ndarray, times: np.ndarray, lips: Shapes) -> float:
    """Return by how much the sound is late, judged by the network's mouth alone."""
    slow = _slow_frames(times)
    gains = {}
    for delay in _DELAYS:
        features = heard_mouth(wave, times + delay)
        mean, spread = features.mean(0), features.std(0) + 1e-3
        gains[delay] = _held_out((features - mean) / spread, lips, slow)[1].max()
    best = max(gains, key=lambda delay: (gains[delay], -abs(delay)))
    return best if gains[best] > max(gains[0.0] + _DELAY_GAIN, _DELAY_SURE) else 0.0


def _held_out(
    features: Features, lips: Shapes, slow: float
) -> tuple[Float[np.ndarray, "ridges frames numbers"], Float[np.ndarray, " ridges"]]:
    """Return for every ridge the lips told by fits on the other stretches of time.

    And the gain of each.
    """
    count = len(lips)
    told = np.zeros((len(_RIDGES), *lips.shape))
    edges = _edges(count)
    gap = round(_GAP_SECONDS * slow / _SLOW_SECONDS)
    index = np.arange(count)
    for start, stop in itertools.pairwise(edges):
        far = (index < start - gap) | (index >= stop + gap)
        if not far.any():
            far = (index < start) | (index >= stop)
        fits = _fits(features, lips, slow, far)
        told[:, start:stop] = [features[start:stop] @ w + b for w, b in fits]
    return told, np.array([_gain(np.asarray(row), lips, slow) for row in told])


def _edges(count: int) -> np.ndarray:
    return np.linspace(0, count, _FOLDS + 1).astype(int)


def _gain(told: np.ndarray, lips: np.ndarray, slow: float) -> float:
    """Return by which share of the fast movement told lips are nearer than still ones.

    Each held-out stretch is judged by itself.
    """
    missed = moved = 0.0
    for start, stop in itertools.pairwise(_edges(len(lips))):
        truth = lips[start:stop]
        rest = truth - told[start:stop]
        moved += _length(truth - gaussian_filter1d(truth, slow, axis=0)).sum()
        missed += _length(rest - gaussian_filter1d(rest, slow, axis=0)).sum()
    return 1 - missed / max(moved, 1e-9)


def _fits(
    features: Features, lips: Shapes, slow: float, used: Bool[np.ndarray, " frames"]
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return weight and bias for every ridge, fitted to some of the frames."""
    own, shapes = features[used], lips[used]
    fast, moving = _fast(own, slow, used), _fast(shapes, slow, used)
    weights = _trust(fast, moving, 1.0)
    solve = _ridge(fast, moving, weights)
    results = []
    for ridge in _RIDGES:
        weight = solve(ridge)
        results.append((weight, _most_common(shapes - own @ weight)))
    return results


def _robust(
    features: Features, lips: Shapes, slow: float, ridge: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return weight and bias for one ridge, fitted to all frames."""
    every = np.ones(len(lips), bool)
    fast, moving = _fast(features, slow, every), _fast(lips, slow, every)
    weight = _ridge(fast, moving, _trust(fast, moving, ridge))(ridge)
    return weight, _most_common(lips - features @ weight)


def _most_common(shapes: Shapes) -> Float[np.ndarray, " numbers"]:
    """Return where shapes are densest, by mean shift from their median.

    The kernel is a bell as wide as half of the shapes are far from the median.
    """
    place = np.median(shapes, axis=0)
    width = np.median(np.linalg.norm(shapes - place, axis=1))
    for _ in range(_SHIFTS if width > 0 else 0):
        near = np.exp(-0.5 * (np.linalg.norm(shapes - place, axis=1) / width) ** 2)
        place = near @ shapes / near.sum()
    return place


def _fast(
    values: np.ndarray, slow: float, used: Bool[np.ndarray, " frames"]
) -> np.ndarray:
    """Take slow changes out of frames, stretch by stretch."""
    breaks = np.flatnonzero(np.diff(np.flatnonzero(used)) > 1) + 1
    return np.concatenate(
        [
            part - gaussian_filter1d(part, slow, axis=0)
            for part in np.split(values, breaks)
        ]
    )


def _trust(features: Features, lips: Shapes, ridge: float) -> Weights:
    """Weigh the frames by how well they are told: the t distribution's weights."""
    weights = np.ones(len(lips))
    for _ in range(_ROUNDS):
        rest = _length(lips - features @ _ridge(features, lips, weights)(ridge))
        scale = max(float(np.median(rest)), 1e-9)
        weights = (_FREEDOM + 1) / (_FREEDOM + (rest / scale) ** 2)
    return weights


def _ridge(
    features: Features, lips: Shapes, weights: Weights
) -> Callable[[float], np.ndarray]:
    """Return the weighted ridge regression as a function of the ridge.

    A ridge of 1 is the mean variance of the features.
    """
    share = np.sqrt(weights / weights.sum())[:, None]
    rows, targets = features * share, lips * share
    # In the space of the frames or of the features, whichever is smaller.
    if len(rows) < rows.shape[1]:
        values, vectors = np.linalg.eigh(rows @ rows.T)
        inner, outer = vectors.T @ targets, rows.T @ vectors
    else:
        values, vectors = np.linalg.eigh(rows.T @ rows)
        inner, outer = vectors.T @ (rows.T @ targets), vectors
    values = np.maximum(values, 0)
    unit = max(float(values.sum()) / features.shape[1], 1e-12)
    return lambda ridge: outer @ (inner / (values + ridge * unit)[:, None])


def _length(rest: Shapes) -> Weights:
    return np.linalg.norm(rest, axis=1)
