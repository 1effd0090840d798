"""Count blinks and tell motion apart from speech: steadiness of a clip.

In: eye openings or landmarks per frame, NaN where no face was found. Out: one number
for the clip.

| function         | range  | unit           | better          |
|------------------|--------|----------------|-----------------|
| `blink_frames`   |        | frame numbers  |                 |
| `blink_rate`     | 0..inf | per minute     | like the truth  |
| `blink_error`    | 0..1   | share          | lower           |
| `silence_motion` | 0..inf | ratio to truth | at most 1       |
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from jaxtyping import Bool, Float, Int

__all__ = [
    "blink_error",
    "blink_frames",
    "blink_rate",
    "quiet_frames",
    "silence_motion",
]

PerFrame = Float[np.ndarray, " frames"]

_SHUT = 0.5
"""Lids count as shut below this share of the clip's open eye."""
_OPEN = 0.75
"""A blink is over when the eye is open this far again."""
_LONGEST = 0.5
_NEAR = 0.2
_QUIET = 0.05
_QUIET_SECONDS = 0.2


def blink_frames(opening: PerFrame, *, fps: float) -> Int[np.ndarray, " blinks"]:
    """Return the most shut frame of every blink.

    The open eye is the 90th percentile of the clip. A blink falls below half of it,
    rises above three quarters of it, and is shut for at most 0.5 s; longer is a look
    down or a wink.
    """
    known = np.isfinite(opening)
    if known.sum() < 3:
        return np.zeros(0, np.int64)
    filled = np.interp(np.arange(len(opening)), np.flatnonzero(known), opening[known])
    level = filled / max(float(np.percentile(filled, 90)), 1e-9)
    found, start = [], None
    for frame, value in enumerate(level):
        if start is None and value < _SHUT:
            start = frame
        elif start is not None and value > _OPEN:
            shut = int((level[start:frame] < _SHUT).sum())
            if shut <= _LONGEST * fps:
                found.append(start + int(np.argmin(level[start:frame])))
            start = None
    return np.array(found, np.int64)


def blink_rate(opening: PerFrame, *, fps: float) -> float:
    """Return blinks per minute of the clip."""
    return len(blink_frames(opening, fps=fps)) * 60 * fps / max(len(opening), 1)


def blink_error(opening: PerFrame, truth: PerFrame, *, fps: float) -> float:
    """Return the share of blinks, of both clips, without a partner within 0.2 s.

    Each blink pairs once, the nearest first. 0 when both have none.
    """
    own, other = blink_frames(opening, fps=fps), blink_frames(truth, fps=fps)
    total = len(own) + len(other)
    if total == 0:
        return 0.0
    gaps = np.abs(own[:, None] - other[None]) / fps
    pairs = 0
    while gaps.size and gaps.min() <= _NEAR:
        row, column = np.unravel_index(np.argmin(gaps), gaps.shape)
        gaps = np.delete(np.delete(gaps, row, 0), column, 1)
        pairs += 1
    return 1 - 2 * pairs / total


def quiet_frames(
    wave: Float[np.ndarray, " samples"], count: int, *, fps: float, rate: int
) -> Bool[np.ndarray, " frames"]:
    """Mark frames in pauses: for 0.2 s to both sides below 5 % of the loud level.

    Loudness is the root mean square of a frame; the loud level its 95th percentile.
    """
    edges = (np.arange(count + 1) / fps * rate).round().astype(int)
    loud = np.array(
        [
            float(np.sqrt(np.mean(np.square(wave[a:b])))) if b <= len(wave) else 0.0
            for a, b in pairwise(edges.tolist())
        ]
    )
    low = loud < _QUIET * max(float(np.percentile(loud, 95)), 1e-9)
    reach = round(_QUIET_SECONDS * fps)
    padded = np.pad(low, reach, constant_values=True)
    windows = np.lib.stride_tricks.sliding_window_view(padded, 2 * reach + 1)
    return np.asarray(windows.all(axis=1))


def silence_motion(
    gap: PerFrame, truth_gap: PerFrame, quiet: Bool[np.ndarray, " frames"]
) -> float:
    """Divide how fast the lip gap moves in pauses by how fast the truth's does.

    Mean absolute change between frames that are both quiet. NaN without pauses, or
    when the truth does not move in them.
    """
    both = quiet[1:] & quiet[:-1]

    def speed(values: np.ndarray) -> float:
        change = np.abs(np.diff(values))[both]
        known = change[np.isfinite(change)]
        return float(known.mean()) if len(known) else float("nan")

    truth = speed(truth_gap)
    return speed(gap) / truth if truth > 0 else float("nan")
