"""Write the strips of an evaluation: talking moments and evenly spaced ones.

In: rows of frames and the truth's landmarks. Out: six PNG sheets with their titles.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float

from talk3d.evaluate import strips
from talk3d.evaluate.controls import Row
from talk3d.evaluate.material import Truth
from talk3d.evaluate.points import face_scale, lip_gap

__all__ = ["write_sheets"]

_TITLES = {
    "talking/mouths": "Talking mouths, from shut to open",
    "talking/eyes": "Eyes at the same moments",
    "evenly/mouths": "Mouths, evenly over time",
    "evenly/eyes": "Eyes, evenly over time",
    "evenly/frames": "Whole frames, evenly over time",
    "talking/frames": "Whole frames, from shut to open mouth",
}


def write_sheets(
    rows: Sequence[Row],
    truth: Truth,
    landmarks: Float[np.ndarray, "frames 478 2"],
    *,
    folder: Path,
    moments: int,
) -> dict[str, Path]:
    """Save mouths, eyes and whole frames of all rows.

    Args:
        rows: Label and frames of each, the truth first.
        truth: The reference.
        landmarks: Its landmarks, [0, 1] of the picture; NaN where no face was found.
        folder: Where `talking` and `evenly` are made.
        moments: Columns of each sheet.

    Returns:
        The sheets by title; none when no frame has landmarks.
    """
    seen = np.flatnonzero(np.isfinite(landmarks).all(axis=(1, 2)))
    if len(seen) == 0:
        return {}
    pixels = landmarks * np.asarray(truth.size, np.float32)
    gap = lip_gap(pixels, scale=face_scale(pixels))
    even = strips.pick_evenly(range(len(seen)), moments)
    picks = {
        "talking": strips.pick_talking(gap, moments),
        "evenly": [int(seen[place]) for place in even],
    }
    sheets = {}
    for name, pick in picks.items():
        videos = {label: [shots(k) for k in pick] for label, shots in rows}
        columns = [f"{(truth.first + k) / truth.fps:.2f} s" for k in pick]
        paths = strips.face_strips(
            videos, landmarks[pick], folder / name, columns=columns
        )
        sheets |= {_TITLES[f"{name}/{path.stem}"]: path for path in paths}
    return {title: sheets[title] for title in _TITLES.values()}
