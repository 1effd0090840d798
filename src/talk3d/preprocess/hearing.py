"""What the sound of a recording holds, and how it fits the lips.

In: mono sound at 16 kHz from the first used frame on, and the landmarks. Out: seconds
of speech, how far noise lies below it, signs of music or of another voice, and the
offset of the sound against the lips.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float
from numpy.lib.stride_tricks import sliding_window_view
from scipy.fft import rfft
from scipy.ndimage import maximum_filter1d, median_filter, uniform_filter1d

from talk3d.audio import MelConfig, voice_activity
from talk3d.sync import Offset, sound_offset

__all__ = ["Hearing", "clipped_share", "hear", "lip_gap", "tone_share"]

_RATE = 16_000
_FPS = 25.0
_UPPER_LIP, _LOWER_LIP = 13, 14
_OUTER_CANTHI = (33, 263)
_REST = 0.006
"""Standard deviation of the lip gap / eye distance within a second: lips at rest."""
_SEGMENT, _HOP = 2048, 512
_HOLD = 16
_BLOCK = 1024
"""Segments that are looked at together: memory stays small however long a sound is."""


@dataclass(frozen=True)
class Hearing:
    """What was heard."""

    speech: float
    """Seconds of speech."""
    gap_db: float
    """Level of speech above the pauses, dB."""
    music: float
    """Part of the time in which steady tones sound."""
    elsewhere: float
    """Seconds of speech while the lips rest."""
    clipped: float
    """Part of the loud samples (above half of the peak) that are at the peak."""
    offset: Offset
    """How late the sound comes against the lips."""
    corrected: bool
    """Whether the delivered sound was shifted by it."""


def hear(
    wave: Float[np.ndarray, " samples"],
    landmarks: Float[np.ndarray, "frames 478 2"],
    *,
    fix_sync: bool,
) -> Hearing:
    """Examine the sound against the lips."""
    voice = voice_activity(torch.from_numpy(wave), MelConfig()).numpy()
    gap = lip_gap(landmarks)
    offset = sound_offset(gap, wave, fps=_FPS, rate=_RATE)
    return Hearing(
        speech=float(voice.sum()) / 100,
        gap_db=_level_gap(wave, voice),
        music=tone_share(wave),
        elsewhere=_speech_at_rest(gap, voice),
        clipped=clipped_share(wave),
        offset=offset,
        corrected=fix_sync and offset.sure,
    )


def lip_gap(
    landmarks: Float[np.ndarray, "frames 478 2"],
) -> Float[np.ndarray, " frames"]:
    """Return the distance of the inner lips over the distance of the outer canthi."""
    gap = np.linalg.norm(landmarks[:, _UPPER_LIP] - landmarks[:, _LOWER_LIP], axis=-1)
    right, left = _OUTER_CANTHI
    eyes = np.linalg.norm(landmarks[:, right] - landmarks[:, left], axis=-1)
    return gap / np.maximum(eyes, 1e-6)


def _level_gap(
    wave: Float[np.ndarray, " samples"], voice: Bool[np.ndarray, " frames"]
) -> float:
    count = min(len(wave) // 160, len(voice))
    power = (wave[: count * 160].astype(np.float64).reshape(count, 160) ** 2).mean(1)
    voice = voice[:count]
    if not voice.any() or voice.all():
        return 60.0 if voice.any() else 0.0
    pauses = np.percentile(power[~voice], 30) + 1e-9
    return float(10 * np.log10((power[voice].mean() + 1e-9) / pauses))


def _speech_at_rest(
    gap: Float[np.ndarray, " frames"], voice: Bool[np.ndarray, " steps"]
) -> float:
    mean = uniform_filter1d(gap, 25)
    spread = np.sqrt(np.maximum(uniform_filter1d(gap**2, 25) - mean**2, 0))
    resting = spread < _REST
    per_frame = voice[: len(voice) // 4 * 4].reshape(-1, 4).mean(1) > 0.5
    count = min(len(resting), len(per_frame))
    both = (resting[:count] & per_frame[:count]).astype(float)
    # Only stretches of a second count: short rests belong to any speech.
    long = maximum_filter1d((uniform_filter1d(both, 25) > 0.99).astype(float), 25)
    return float((long * both).sum() / _FPS)


def clipped_share(wave: Float[np.ndarray, " samples"]) -> float:
    """Return which part of the loud samples stands at the very peak.

    A clean recording comes near its peak now and then; a clipped one stays there.
    Samples within 1 % of the peak count as at it, those above half of it as loud.
    """
    size = np.abs(wave)
    peak = float(size.max(initial=0.0))
    loud = int((size > 0.5 * peak).sum())
    return float((size > 0.99 * peak).sum()) / loud if peak > 0 and loud else 0.0


def tone_share(wave: Float[np.ndarray, " samples"]) -> float:
    """Return the part of the time in which two or more tones hold for half a second.

    The voice's harmonics glide; those of music stay.
    """
    if len(wave) < 4 * _RATE // 2:
        return 0.0
    padded = np.pad(wave, (_SEGMENT // 2, _SEGMENT))
    segments = sliding_window_view(padded, _SEGMENT)[::_HOP]
    count = math.ceil(len(wave) / _HOP) + 1
    blocks = [(k, min(k + _BLOCK, count)) for k in range(0, count, _BLOCK)]
    loudest = max(float(_levels(segments[k:end]).max()) for k, end in blocks)
    tones = 0
    for k, end in blocks:
        # What holds at a moment depends on that much to both sides.
        first, last = max(k - _HOLD, 0), min(end + _HOLD, count)
        power = _levels(segments[first:last])
        around = median_filter(power, (31, 1))
        peak = (power >= maximum_filter1d(power, 3, axis=0)) & (power > around + 12)
        peak &= power > loudest - 60
        held = uniform_filter1d(peak.astype(float), _HOLD, axis=1) > 0.95
        held = maximum_filter1d(held, _HOLD, axis=1)[:, k - first : end - first]
        tones += int((held.sum(0) >= 2).sum())
    return tones / count


def _levels(
    segments: Float[np.ndarray, "times samples"],
) -> Float[np.ndarray, "bands times"]:
    """Return the level in each band of 7.8 Hz from 100 Hz to 4 kHz, dB."""
    window = np.hanning(_SEGMENT + 1)[:-1].astype(np.float32)
    spectrum = np.asarray(rfft(segments * window, axis=1))[:, 13:512].T / window.sum()
    return 20 * np.log10(np.abs(spectrum) + 1e-7)
