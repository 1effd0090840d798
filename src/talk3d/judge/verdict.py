"""What the judge says of a clip: how late the sound is, and how surely.

In: landmarks of every frame, the sound. Out: the offset, its confidence, and how far
the lips go with the sound as it is.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from talk3d.audio import FRAME_RATE, MelConfig, log_mel
from talk3d.judge.mouth import mouth_lengths
from talk3d.judge.network import FPS, SyncJudge, moments

__all__ = ["Verdict", "judge_sync"]

_REACH = 60
"""Sound frames to both sides within which the offset is looked for."""
_MIN_FRAMES = 38
_IN_STEP, _ELSEWHERE = 4, 15
_SHARE = 0.5
"""Of the frames must have sound at an offset, and of all frames a face."""


@dataclass(frozen=True)
class Verdict:
    """How lips and sound go together."""

    offset: float
    """Seconds by which the sound is late; NaN where nothing can be told."""
    confidence: float
    """By how much the best offset beats the median one, logits: SyncNet's measure."""
    in_step: float
    """By how much the best within 40 ms of no offset beats all of 150 ms or more,
    logits; above 0 lips go with the sound as it is."""


@torch.no_grad()
def judge_sync(
    network: SyncJudge,
    landmarks: Float[np.ndarray, "frames 478 2"],
    wave: Float[np.ndarray, " samples"],
    *,
    fps: float,
    scale: float,
) -> Verdict:
    """Judge a clip.

    Args:
        network: the judge.
        landmarks: any unit that is the same on both axes; NaN where no face was found.
        wave: sound at 16 kHz, beginning with the first frame.
        fps: frames per second; frame n shows the time (n + 1/2) / fps.
        scale: distance of the outer corners of the eyes, seen from the front.

    Returns:
        The verdict. Less than 1.5 s, or a face in under half of the frames, tell
        nothing: NaN, with confidence 0.
    """
    unknown = Verdict(float("nan"), 0.0, 0.0)
    known = np.isfinite(landmarks).all(axis=(1, 2))
    seconds = min(len(landmarks) / fps, len(wave) / 16_000)
    frames = int(seconds * FPS)
    if frames < _MIN_FRAMES or known.mean() < _SHARE:
        return unknown
    lengths = mouth_lengths(torch.from_numpy(landmarks[known]).double(), scale).numpy()
    times, wanted = (
        (np.arange(len(landmarks)) + 0.5) / fps,
        (np.arange(frames) + 0.5) / FPS,
    )
    steady = np.stack([np.interp(wanted, times[known], row) for row in lengths.T], 1)
    mouths = torch.from_numpy(steady - np.median(steady, axis=0)).float()
    sound = torch.from_numpy(np.asarray(wave, np.float32))
    features = log_mel(sound, MelConfig(mels=network.config.mels))
    seen, heard = network(mouths[None], features[None])
    curve = _curve(seen[0], heard[0])
    best = int(curve.nan_to_num(-torch.inf).argmax())
    late = torch.arange(-_REACH, _REACH + 1)
    here, away = late.abs() <= _IN_STEP, late.abs() >= _ELSEWHERE
    level = curve[~curve.isnan()]
    return Verdict(
        (float(late[best]) + _parabola(curve, best)) / FRAME_RATE,
        float(curve[best] - level.median()),
        float(curve[here].max() - curve[away].nan_to_num(-torch.inf).max()),
    )


def _curve(
    seen: Float[Tensor, "frames width"], heard: Float[Tensor, "steps width"]
) -> Float[Tensor, " offsets"]:
    """Return the mean likeness at every offset, NaN where few frames have sound."""
    true = moments(len(seen))
    rows = []
    for late in range(-_REACH, _REACH + 1):
        place = true + late
        inside = (place >= 0) & (place < len(heard))
        pairs = seen[inside] * heard[place[inside]]
        enough = len(pairs) >= _SHARE * len(seen)
        rows.append(pairs.sum(-1).mean() if enough else torch.tensor(math.nan))
    return torch.stack(rows)


def _parabola(curve: Tensor, best: int) -> float:
    """Return where between its neighbours the peak lies, -0.5 to 0.5 steps."""
    if best in (0, len(curve) - 1):
        return 0.0
    left, middle, right = curve[best - 1 : best + 2].tolist()
    bend = left - 2 * middle + right
    return 0.5 * (left - right) / bend if bend < 0 else 0.0
