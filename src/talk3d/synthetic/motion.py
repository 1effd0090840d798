"""What a talking head does besides speaking: head, gaze, blinks, brows, sway.

All curves come from one generator. Angles are radians, times seconds.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.ndimage import gaussian_filter1d

from talk3d.dataset import AUDIO_RATE
from talk3d.synthetic.articulation import articulate, split_phonemes
from talk3d.synthetic.head import expression_indices
from talk3d.synthetic.regions import smoothstep
from talk3d.synthetic.speech import Speech

__all__ = ["Performance", "perform"]

_BLINK_DOWN, _BLINK_HOLD, _BLINK_UP = 0.09, 0.13, 0.30
_HEAD_RANGE = np.radians([9.0, 5.0, 3.5])
_SWAY_RANGE = 0.008
"""Standard deviation of the body's sway in world units."""


@dataclass(frozen=True)
class Performance:
    """Per-frame motion of one speech."""

    expression: Float[np.ndarray, "frames 53"]
    """Weights relative to the sealed neutral."""
    gaze: Float[np.ndarray, "frames 4"]
    """Left yaw, pitch, right yaw, pitch in the head frame."""
    turn: Float[np.ndarray, "frames 3"]
    """Head yaw, pitch, roll against the torso."""
    sway: Float[np.ndarray, "frames 3"]
    """Shift of the whole body in world units."""


def perform(
    speech: Speech, *, fps: float, generator: np.random.Generator
) -> Performance:
    """Turn a speech into motion, one row per frame."""
    frames = int(speech.seconds * fps)
    times = (np.arange(frames) + 0.5) / fps
    effort = generator.uniform(0.85, 1.2)
    weights = articulate(split_phonemes(speech.phonemes), times, effort=effort)
    loud = _loudness(speech.wave, times)
    turn = _head(loud, fps, generator)
    gaze = _gaze(times, turn, fps, generator)
    _add_brows(weights, loud, fps, generator)
    _add_mood(weights, fps, generator)
    blink = _blinks(times, generator)
    for index in expression_indices("eyeBlink"):
        weights[:, index] = blink
    sway = np.stack(
        [_noise(frames, 1.2 * fps, generator) * _SWAY_RANGE for _ in range(3)], 1
    )
    return Performance(
        expression=np.clip(weights, 0, 1).astype(np.float32),
        gaze=gaze.astype(np.float32),
        turn=turn.astype(np.float32),
        sway=sway.astype(np.float32),
    )


def _noise(frames: int, sigma: float, generator: np.random.Generator) -> np.ndarray:
    """Return smooth noise of variance one; ``sigma`` in frames."""
    margin = int(4 * sigma) + 1
    white = generator.normal(size=frames + 2 * margin)
    smooth = gaussian_filter1d(white, sigma)[margin : margin + frames]
    return smooth * np.sqrt(2 * sigma * np.sqrt(np.pi))


def _loudness(wave: np.ndarray, times: np.ndarray) -> np.ndarray:
    """Return the root mean square around each time, scaled to 0 to about 1."""
    power = gaussian_filter1d(wave.astype(np.float64) ** 2, 0.02 * AUDIO_RATE)
    index = np.clip((times * AUDIO_RATE).astype(int), 0, len(wave) - 1)
    level = np.sqrt(np.maximum(power[index], 0))
    return level / max(float(np.percentile(level, 95)), 1e-6)


def _head(loud: np.ndarray, fps: float, generator: np.random.Generator) -> np.ndarray:
    frames = len(loud)
    slow = [0.56, 0.48, 0.64]
    drift = np.stack([_noise(frames, s * fps, generator) for s in slow], 1)
    beat = gaussian_filter1d(loud, 0.12 * fps)
    nod = -np.radians(4.0) * (beat - gaussian_filter1d(loud, 0.8 * fps))
    turn = drift * _HEAD_RANGE * generator.uniform(0.5, 1.2)
    turn[:, 1] += nod
    return np.clip(turn, -np.radians(28), np.radians(28))


def _gaze(
    times: np.ndarray, turn: np.ndarray, fps: float, generator: np.random.Generator
) -> np.ndarray:
    """Return fixations with saccades; the eyes counter the head's turn."""
    target, following = np.zeros((len(times), 2)), 0.0
    current = np.zeros(2)
    for k, time in enumerate(times):
        if time >= following:
            current = generator.normal(0, 1, 2) * np.radians([5, 3])
            following = time + generator.uniform(0.5, 1.8)
        target[k] = current
    gaze = gaussian_filter1d(target, 0.02 * fps, axis=0) - 0.7 * turn[:, :2]
    gaze = np.clip(gaze, -np.radians([20, 12]), np.radians([20, 12]))
    squint = np.radians(0.7)
    return np.stack(
        [gaze[:, 0] - squint, gaze[:, 1], gaze[:, 0] + squint, gaze[:, 1]], 1
    )


def _blinks(times: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    blink, start = np.zeros(len(times)), generator.uniform(0.5, 1.5)
    while len(times) and start < times[-1]:
        x = times - start
        down = smoothstep(0, _BLINK_DOWN, x)
        up = 1 - smoothstep(_BLINK_HOLD, _BLINK_UP, x)
        blink = np.maximum(blink, np.minimum(down, up))
        start += generator.uniform(1.8, 4.2)
    return blink


def _add_brows(
    weights: np.ndarray, loud: np.ndarray, fps: float, generator: np.random.Generator
) -> None:
    slow = gaussian_filter1d(loud, 0.6 * fps)
    rise = np.clip((slow - slow.mean()) / (slow.std() + 1e-6), -1, 2) * 0.14 + 0.06
    rise = rise + 0.08 * _noise(len(loud), 0.5 * fps, generator)
    for name, share in (("browInnerUp", 1.0), ("browOuterUp", 0.7)):
        for index in expression_indices(name):
            weights[:, index] += np.clip(rise, 0, 0.6) * share


def _add_mood(weights: np.ndarray, fps: float, generator: np.random.Generator) -> None:
    """Let a faint smile or squint come and go."""
    frames = len(weights)
    smile = np.clip(0.12 * _noise(frames, 1.5 * fps, generator), 0, 0.4)
    squint = np.clip(0.12 * _noise(frames, 1.2 * fps, generator), 0, 0.4)
    shares = (("mouthSmile", smile), ("cheekSquint", smile), ("eyeSquint", squint))
    for name, value in shares:
        for index in expression_indices(name):
            weights[:, index] += value
