"""What is heard around moments of a sound, as numbers that a voice is fitted to.

Comes in: 16 kHz sound and moments. Goes out: rows of features, the knowing part first
(embeddings of the hearing network, its mouth, cepstra), then bare log-mel bands, then
what a speech model says if one is given; and how surely lips are pressed together.
"""

import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from scipy.fft import dct

from talk3d.audio import SAMPLE_RATE, MelConfig, log_mel
from talk3d.speech.network import shipped_hearing, shipped_hearing_sha256
from talk3d.speech_model import SpeechModel

__all__ = [
    "check_hearing",
    "excerpt",
    "heard",
    "heard_by",
    "heard_mouth",
    "heard_numbers",
    "knowing_numbers",
    "lip_contact",
    "listeners",
    "mean_and_divisor",
    "mouth_numbers",
]

_CEPSTRA = 13
_HEARD_OFFSETS = (-0.12, -0.06, 0.0, 0.06, 0.12)
_SOUND_OFFSETS = tuple(np.arange(-0.28, 0.281, 0.04))
_CEPSTRA_SHARE = 0.5
"""Scale of the cepstra against the heard parts: they know less of strangers' lips."""
_PRESSED = (0.1, 0.5)
"""From which sureness of hearing p, b or m the lips begin to shut, and are shut."""
_FRAME_RATE = 100
_BEFORE, _AFTER = 3.0, 1.0
"""Seconds around a moment beyond which nothing is heard of it."""

Features = Float[np.ndarray, "frames features"]
Wave = Float[np.ndarray, " samples"]
Times = Float[np.ndarray, " frames"]
_HEARING, _MODEL = "hearing", "speech_model"


def heard_by(model: SpeechModel | None) -> dict[str, str]:
    """Return what a voice fitted now is bound to: role and sha256, for ``parents``."""
    bound = {_HEARING: shipped_hearing_sha256()}
    return bound if model is None else bound | {_MODEL: model.sha256}


def check_hearing(
    path: Path, parents: Mapping[str, str], model: SpeechModel | None
) -> None:
    """Refuse a file whose voice was fitted to what others hear.

    Raises:
        ValueError: if the file's ``parents`` name another hearing network than the
            shipped one (those of older files name none), or another speech model than
            the given one.
    """
    if parents.get(_HEARING) not in (None, shipped_hearing_sha256()):
        message = (
            f"{path} was made with another hearing network than this version's: make it"
            " again with talk3d create, or use the version that made it"
        )
        raise ValueError(message)
    wanted, given = parents.get(_MODEL), None if model is None else model.sha256
    if wanted == given:
        return
    if wanted is None:
        message = f"{path} was made without a speech model: leave out --speech-model"
    else:
        found = "none was given"
        if model is not None:
            found = f"{model.name} ({model.sha256[:12]}) is another"
        message = (
            f"{path} was made with a speech model (sha256 {wanted[:12]}), {found}: give"
            " the same one with --speech-model"
        )
    raise ValueError(message)


def knowing_numbers() -> int:
    """Return how many features the first listener has."""
    hearing = shipped_hearing().config
    cepstra = 2 * _CEPSTRA * len(_SOUND_OFFSETS)
    return len(_HEARD_OFFSETS) * hearing.width + hearing.mouth + cepstra


def heard_numbers(model: SpeechModel | None = None) -> int:
    """Return how many features there are."""
    own = knowing_numbers() + MelConfig().mels // 2 * len(_SOUND_OFFSETS)
    return own if model is None else own + model.numbers


def listeners(
    features: Float[np.ndarray, "frames all"],
) -> list[Float[np.ndarray, "frames _"]]:
    """Return what each listener hears: the knowing, the bare, and a speech model."""
    edges = [knowing_numbers(), heard_numbers()]
    return [part for part in np.split(features, edges, axis=1) if part.shape[1]]


def mouth_numbers() -> slice:
    """Return where the network's mouth stands among the features."""
    hearing = shipped_hearing().config
    start = len(_HEARD_OFFSETS) * hearing.width
    return slice(start, start + hearing.mouth)


def mean_and_divisor(features: Features) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and divisor that give each part its share."""
    hearing, own = shipped_hearing().config, heard_numbers()
    embedded = len(_HEARD_OFFSETS) * hearing.width
    cepstra = knowing_numbers() - embedded - hearing.mouth
    bare, others = own - knowing_numbers(), features.shape[1] - own
    sizes = np.array([embedded, hearing.mouth, cepstra, bare, others])
    shares = np.array([1.0, 1.0, _CEPSTRA_SHARE, 1.0, 1.0])
    shares /= np.sqrt(np.maximum(sizes, 1))
    deviation = features.std(0)
    floor = np.repeat(_floors(deviation[:own], deviation[own:]), (own, others))
    return features.mean(0), (deviation + floor) / np.repeat(shares, sizes)


def _floors(*deviations: np.ndarray) -> list[float]:
    """Return the deviation below which a feature of a listener is as good as still."""
    return [1e-3 + 1e-2 * float(d.mean()) if d.size else 0.0 for d in deviations]


def excerpt(
    wave: Wave, times: Times
) -> tuple[Float[np.ndarray, " part"], Float[np.ndarray, " frames"]]:
    """Return the part of a sound that tells of moments, and the moments within it."""
    step = SAMPLE_RATE // _FRAME_RATE
    first = max(0, math.floor((times.min() - _BEFORE) * _FRAME_RATE)) * step
    last = math.ceil((times.max() + _AFTER) * SAMPLE_RATE)
    return wave[first : max(last, first + step)], times - first / SAMPLE_RATE


def heard(wave: Wave, times: Times, model: SpeechModel | None = None) -> Features:
    """Return embeddings, the mouth, cepstra and bands around moments.

    Args:
        wave: 16 kHz mono sound, -1 to 1.
        times: moments, seconds; beyond the ends there is silence.
        model: what it says follows.
    """
    own = _own(*excerpt(wave, times))
    if model is None:
        return own
    return np.concatenate([own, model.heard(wave, times)], axis=1)


def _own(wave: Wave, times: Times) -> Features:
    """Return what needs no model of others."""
    mels = log_mel(torch.from_numpy(np.asarray(wave, np.float32)), MelConfig())
    hearing = shipped_hearing()
    moments = torch.from_numpy(times[:, None] + np.array(_HEARD_OFFSETS))
    embedded = hearing.at(mels, moments)
    mouth = hearing.mouth(embedded[:, len(_HEARD_OFFSETS) // 2])
    cepstra = np.asarray(dct(mels.numpy(), axis=1, norm="ortho"))[:, :_CEPSTRA]
    bands = mels.unflatten(1, (-1, 2)).mean(2).numpy()
    sound = np.concatenate([cepstra, _slope(cepstra), bands], axis=1)
    around = _at(sound, times[:, None] + np.array(_SOUND_OFFSETS))
    split = np.split(around, [2 * _CEPSTRA], axis=2)
    parts = [embedded.flatten(1).numpy(), mouth.numpy()]
    parts += [part.reshape(len(times), -1) for part in split]
    return np.concatenate(parts, axis=1).astype(np.float64)


def heard_mouth(wave: Wave, times: Times) -> Features:
    """Return the mouth that the network hears at moments."""
    mels = log_mel(torch.from_numpy(np.asarray(wave, np.float32)), MelConfig())
    hearing = shipped_hearing()
    mouth = hearing.mouth(hearing.at(mels, torch.from_numpy(times)))
    return mouth.numpy().astype(np.float64)


def lip_contact(wave: Wave, times: Times) -> Float[np.ndarray, " frames"]:
    """Return how far the lips are pressed together at moments, 0 to 1."""
    mels = log_mel(torch.from_numpy(np.asarray(wave, np.float32)), MelConfig())
    hearing = shipped_hearing()
    sure = hearing.pressed(hearing.at(mels, torch.from_numpy(times))).numpy()
    start, stop = _PRESSED
    share = np.clip((sure - start) / (stop - start), 0, 1)
    return share * share * (3 - 2 * share)


def _slope(values: np.ndarray) -> np.ndarray:
    """Return the change per step, with silence beyond the ends."""
    padded = np.pad(values, ((1, 1), (0, 0)))
    return (padded[2:] - padded[:-2]) / 2


def _at(sound: np.ndarray, times: np.ndarray) -> np.ndarray:
    """Return rows of the sound at moments, with silence beyond the ends."""
    padded = np.pad(sound, ((1, 1), (0, 0)))
    place = np.clip(times * _FRAME_RATE + 1, 0, len(padded) - 1.001)
    low = np.floor(place).astype(int)
    share = (place - low)[..., None]
    return padded[low] * (1 - share) + padded[low + 1] * share
