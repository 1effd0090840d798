"""Find which moment of a result belongs to which moment of the truth.

Two steps, both reported. First the *place*: where in the result the judged part should
begin by the clock. A result shows the judged part alone (place 0) or the whole
recording (the part's own place in it): its sound tells which, else its length; when its
sound is found more than half a second from both, the sound's place counts. Then the
*lag*: by how much the pictures come later than that, found by correlating the pictures
over time. A lag of half a frame or more is taken out before measuring, and is named in
the report, where the numbers of the result as delivered stand beside the aligned ones.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float
from scipy.signal import fftconvolve

__all__ = ["Lag", "Place", "find_lag", "find_place"]

Wave = Float[np.ndarray, " _"]
Thumbnails = Float[np.ndarray, "frames side side"]

_SAME_SOUND = 0.5
_NEAR = 0.5
_CLOSE = 2
_REACH = 12
_GAIN = 0.02
_ALIKE = 0.3
_STILL = 1e-4


@dataclass(frozen=True)
class Place:
    """Where the judged part lies in a result."""

    start: int
    """The result's frame that shows the first judged moment; may be negative."""
    count: int
    """Frames of the result."""
    how: str
    """How the place was found, in words."""
    sound_late: float = float("nan")
    """Seconds by which the sound comes late against this place; NaN when unknown."""

    def frame(self, k: int) -> int:
        """Return the result's frame of moment k."""
        return self.start + k

    def common(self, count: int) -> range:
        """Return the judged moments, of `count`, that the result shows."""
        return range(max(0, -self.start), min(count, self.count - self.start))

    def moved(self, frames: int) -> Place:
        """Return the place for pictures that come so many frames later."""
        return replace(self, start=self.start + frames)


@dataclass(frozen=True)
class Lag:
    """By how much the result's pictures come late."""

    seconds: float
    """+ when the result is late; NaN when nothing moves."""
    correlation: float
    """Correlation over time at this lag, -1 to 1."""
    removed: int
    """Whole frames taken out before measuring."""


def find_place(
    result: Wave | None,
    truth: Wave | None,
    *,
    counts: tuple[int, int, int],
    first: int,
    fps: float,
) -> Place:
    """Find the judged part in a result.

    Args:
        result: The result's sound at 16 kHz.
        truth: The sound of the judged part at 16 kHz.
        counts: Frames of the result, of the judged part, of the whole recording.
        first: The recording's frame where the judged part begins.
        fps: Frames per second of all of them.
    """
    count, judged, total = counts
    heard = _place_by_sound(result, truth)
    if heard is not None:
        nominal = min((0, first), key=lambda start: abs(start / fps - heard))
        late = heard - nominal / fps
        if abs(late) <= _NEAR:
            return Place(nominal, count, "by its sound", late)
        return Place(round(heard * fps), count, "by its sound alone", 0.0)
    if first and abs(count - total) <= _CLOSE:
        return Place(first, count, "as long as the whole recording")
    if abs(count - judged) <= _CLOSE:
        return Place(0, count, "as long as the judged part")
    return Place(0, count, "from its beginning, for want of a better sign")


def find_lag(result: Thumbnails, truth: Thumbnails, *, fps: float) -> Lag:
    """Find by how much the result's pictures come late.

    Both are freed of their mean over time, so that only what changes counts. The lag of
    the best correlation within 12 frames is refined by a parabola. It is taken out when
    it is at least half a frame, the correlation at least 0.3, and 0.02 above no lag's.
    """
    result = result - result.mean(axis=0)
    truth = truth - truth.mean(axis=0)
    reach = min(_REACH, len(truth) // 3)
    if reach < 1 or min(result.std(), truth.std()) < _STILL:
        return Lag(float("nan"), 0.0, 0)
    lags = np.arange(-reach, reach + 1)
    curve = np.array([_correlation(result, truth, int(lag)) for lag in lags])
    best = int(np.argmax(curve))
    place = float(lags[best])
    if 0 < best < len(curve) - 1:
        left, middle, right = curve[best - 1 : best + 2]
        bend = left - 2 * middle + right
        place += 0.5 * (left - right) / bend if bend < 0 else 0.0
    better = curve[best] >= _ALIKE and curve[best] - curve[reach] >= _GAIN
    removed = int(lags[best]) if better else 0
    return Lag(float(place) / fps, float(curve[best]), removed)


def _correlation(result: np.ndarray, truth: np.ndarray, lag: int) -> float:
    """Correlate result(t + lag) with truth(t) over the frames both have."""
    first = result[max(0, lag) : len(result) + min(0, lag)]
    second = truth[max(0, -lag) : len(truth) + min(0, -lag)]
    scale = np.sqrt((first**2).sum() * (second**2).sum())
    return float((first * second).sum() / scale) if scale > 0 else 0.0


def _place_by_sound(result: Wave | None, truth: Wave | None) -> float | None:
    """Return the second of the result at which the truth's sound begins, if it does."""
    if result is None or truth is None or len(truth) == 0:
        return None
    pad = len(truth) // 2
    padded = np.pad(result.astype(np.float64), pad)
    if len(padded) < len(truth):
        return None
    match = fftconvolve(padded, truth[::-1].astype(np.float64), "valid")
    energy = fftconvolve(padded**2, np.ones(len(truth)), "valid")
    floor = 0.25 * energy.max()
    score = match / np.sqrt(
        np.maximum(energy, floor) * (truth.astype(np.float64) ** 2).sum()
    )
    best = int(np.argmax(score))
    if score[best] < _SAME_SOUND:
        return None
    return (best - pad) / 16_000
