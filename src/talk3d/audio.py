"""Sound in, features out: loading, log-mel frames, speech activity, windows in time.

Sound is 16 kHz mono float32, -1 to 1. Feature frame ``k`` is centred on ``k / 100``
seconds and depends only on the `MelConfig.memory` frames before it and on half a
window (12.5 ms) after, never on the rest of the file: `analyse` fed with any cutting
of a sound into chunks returns the same frames as the whole sound at once. Digital
silence is exactly 0 in every feature, so padding with zeros is padding with silence.

References: mel scale, O'Shaughnessy 1987, ``2595 log10(1 + f / 700)``.
"""

import logging
import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import av
import numpy as np
import torch
import torch.nn.functional as F
from av.error import FFmpegError
from jaxtyping import Bool, Float
from torch import Tensor

from talk3d.containers import mono, pictures_start, sound_pieces

__all__ = [
    "FRAME_RATE",
    "SAMPLE_RATE",
    "MelConfig",
    "SoundFrames",
    "SoundState",
    "analyse",
    "audio_windows",
    "level_features",
    "load_audio",
    "log_mel",
    "mel_bands",
    "power_spectra",
    "silent_past",
    "voice_activity",
]

_LOG = logging.getLogger(__name__)

SAMPLE_RATE = 16_000
"""Samples per second of all sound in memory."""
FRAME_RATE = 100
"""Feature frames per second."""

_HOP = SAMPLE_RATE // FRAME_RATE
_WINDOW = 400
_FFT = 512
_EMPHASIS = 0.97
_BLOCK = 60 * SAMPLE_RATE
_SMOOTHING = 5
_HANGOVER = 20
_FLOOR_FRAMES = 300


@dataclass(frozen=True)
class MelConfig:
    """How sound becomes log-mel features."""

    mels: int = 80
    """Bands."""
    low_hz: float = 60.0
    """Lower edge of the first band."""
    high_hz: float = 7600.0
    """Upper edge of the last band."""
    range_db: float = 45.0
    """How far below the speech level a band is still told from silence."""
    level_seconds: float = 1.5
    """Length of the past from which the speech level is taken."""
    level_low_db: float = -48.0
    """Lowest speech level made up for, dB of full scale after pre-emphasis."""
    level_high_db: float = -10.0
    """Highest speech level made up for, dB of full scale after pre-emphasis."""
    voice_db: float = 10.0
    """How far speech stands above the noise of the last three seconds."""

    def __post_init__(self) -> None:
        """Reject impossible bands and ranges."""
        if self.mels < 1 or not 0 <= self.low_hz < self.high_hz <= SAMPLE_RATE / 2:
            raise ValueError(
                f"MelConfig.mels, low_hz, high_hz are {self.mels}, {self.low_hz}, "
                f"{self.high_hz}; need at least one band between 0 and "
                f"{SAMPLE_RATE // 2} Hz."
            )
        if self.level_seconds <= 0 or self.level_low_db > self.level_high_db:
            raise ValueError(
                f"MelConfig.level_seconds, level_low_db, level_high_db are "
                f"{self.level_seconds}, {self.level_low_db}, {self.level_high_db}; "
                "need a positive length and a low level not above the high one."
            )

    @property
    def level_frames(self) -> int:
        """Frames from which the speech level is taken."""
        return max(1, round(self.level_seconds * FRAME_RATE))

    @property
    def memory(self) -> int:
        """Frames of the past that a frame depends on."""
        return max(self.level_frames, _FLOOR_FRAMES + _SMOOTHING + _HANGOVER)


@dataclass(frozen=True)
class SoundFrames:
    """Consecutive feature frames, 100 per second."""

    features: Float[Tensor, "frames mels"]
    """Log-mel features: 0 is silence, speech mostly 0 to 3."""
    voice: Bool[Tensor, " frames"]
    """Whether someone speaks."""


@dataclass(frozen=True)
class SoundState:
    """What `analyse` needs to know of the sound so far."""

    samples: Float[Tensor, " tail"]
    """Samples not yet turned into frames, and those the next frame shares."""
    energy: Float[Tensor, " memory"]
    """Mean square of the last frames after pre-emphasis."""


def silent_past(config: MelConfig) -> SoundState:
    """Return the state before the first sample."""
    return SoundState(
        samples=torch.zeros(_WINDOW // 2 + 1), energy=torch.zeros(config.memory)
    )


def analyse(
    chunk: Float[Tensor, " samples"], state: SoundState, config: MelConfig
) -> tuple[SoundFrames, SoundState]:
    """Turn the next samples of a sound into the frames they complete.

    Args:
        chunk: samples that follow those given before; any number.
        state: `silent_past` at first, then what the last call returned.
        config: the features.

    Returns:
        The completed frames, possibly none, and the state for the next call.
    """
    samples = torch.cat([state.samples, chunk])
    count = max(0, (len(samples) - 1 - _WINDOW) // _HOP + 1)
    if count == 0:
        nothing = SoundFrames(
            features=samples.new_zeros(0, config.mels),
            voice=torch.zeros(0, dtype=torch.bool),
        )
        return nothing, SoundState(samples=samples, energy=state.energy)
    power = _spectra(samples, count) @ mel_bands(config).to(samples.device)
    energy = torch.cat([state.energy, power.sum(dim=1)])
    level = _speech_level(energy, count, config)
    voice = _voice(energy, count, config)
    return SoundFrames(_compressed(power, level, config), voice), SoundState(
        samples=samples[count * _HOP :], energy=energy[count:].clone()
    )


def log_mel(
    wave: Float[Tensor, " samples"], config: MelConfig
) -> Float[Tensor, "frames mels"]:
    """Return the log-mel features of a whole sound, ``1 + samples // 160`` frames."""
    return torch.cat([frames.features for frames in _blocks(wave, config)])


def power_spectra(wave: Float[Tensor, " samples"]) -> Float[Tensor, "frames bins"]:
    """Return the mean square per frequency (257 from 0 to 8 kHz) after pre-emphasis.

    ``level_features(power_spectra(wave) @ mel_bands(config), config)`` is
    ``log_mel(wave, config)``.
    """
    tail = wave.new_zeros(_WINDOW // 2)
    samples = torch.cat([tail.new_zeros(_WINDOW // 2 + 1), wave.float(), tail])
    return _spectra(samples, (len(samples) - 1 - _WINDOW) // _HOP + 1)


def mel_bands(config: MelConfig, *, warp: float = 1.0) -> Float[Tensor, "bins mels"]:
    """Return the weight of each frequency in each band.

    Args:
        config: the bands.
        warp: factor on the frequencies of the sound: above 1 like a shorter throat.
    """
    return _mel_bands(config.mels, config.low_hz, config.high_hz, warp)


def level_features(
    power: Float[Tensor, "*batch frames mels"], config: MelConfig
) -> Float[Tensor, "*batch frames mels"]:
    """Return the features of the mean square per band, after a silent past."""
    past = power.new_zeros(*power.shape[:-2], config.level_frames)
    energy = torch.cat([past, power.sum(dim=-1)], dim=-1)
    level = _speech_level(energy, power.shape[-2], config)
    return _compressed(power, level, config)


def voice_activity(
    wave: Float[Tensor, " samples"], config: MelConfig
) -> Bool[Tensor, " frames"]:
    """Return where someone speaks, frame by frame as in `log_mel`.

    Speech stands `MelConfig.voice_db` above the quietest moment of the last three
    seconds. A pause counts as speech for its first 0.2 s.
    """
    return torch.cat([frames.voice for frames in _blocks(wave, config)])


def audio_windows(
    features: Float[Tensor, "frames mels"],
    times: Float[Tensor, " times"],
    *,
    before: float,
    after: float,
) -> Float[Tensor, "times window mels"]:
    """Cut the features around moments in time, with silence beyond the ends.

    Args:
        features: `log_mel` features, frame ``k`` at ``k / 100`` s.
        times: moments in seconds, any order; may lie outside the sound.
        before: seconds before the moment.
        after: seconds after it.

    Returns:
        One window per moment, ``1 + 100 (before + after)`` frames, its frame
        ``100 before`` being the one nearest to the moment.
    """
    if before < 0 or after < 0:
        raise ValueError(
            f"an audio window reaches {before} s before and {after} s after its "
            "moment; give two lengths of at least 0 s."
        )
    first, last = -round(before * FRAME_RATE), round(after * FRAME_RATE)
    centre = (times.double() * FRAME_RATE).round().long()
    index = centre[:, None] + torch.arange(first, last + 1, device=times.device)
    inside = (index >= 0) & (index < len(features))
    silence = features.new_zeros(1, features.shape[1])
    return torch.cat([features, silence])[torch.where(inside, index, len(features))]


def load_audio(path: Path) -> Float[Tensor, " samples"]:
    """Read the sound of an audio or video file as 16 kHz mono.

    Time 0 is the first picture of a video, and the first sample of a sound file. The
    channels are averaged, unless that loses most of the sound (one channel silent, or
    two in opposite phase): then the loudest channel is taken. Silence stands where the
    sound has gaps or is damaged.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it cannot be read, or holds no sound track, or NaN.
    """
    if path.is_dir():
        raise ValueError(f"{path} is a folder: give the path of a sound file")
    if not path.is_file():
        raise FileNotFoundError(f"no sound file at {path}: check the name.")
    try:
        channels, delay = _decode(path)
    except (FFmpegError, UnicodeDecodeError) as error:
        raise ValueError(
            f"{path} cannot be read as sound ({error.__class__.__name__}); give a "
            "sound or video file, such as WAV, MP3, M4A, FLAC or MP4."
        ) from error
    if channels is None or channels.shape[1] == 0:
        raise ValueError(
            f"{path} has no sound track; give a sound file, or a video with sound."
        )
    if not np.isfinite(channels).all():
        raise ValueError(
            f"{path} holds samples that are no numbers (NaN or infinite); export the "
            "sound again."
        )
    if not channels.any():
        _LOG.warning("%s is silent from beginning to end", path)
    wave = mono(channels)
    shift = round(delay * SAMPLE_RATE)
    wave = np.pad(wave, (shift, 0)) if shift > 0 else wave[-shift:]
    return torch.from_numpy(np.ascontiguousarray(wave, dtype=np.float32))


def _decode(path: Path) -> tuple[Float[np.ndarray, "channels samples"] | None, float]:
    """Return the channels at 16 kHz, and by how many seconds they follow time 0."""
    with av.open(str(path.absolute())) as container:
        if not container.streams.audio:
            return None, 0.0
        sound = container.streams.audio[0]
        pieces = list(sound_pieces(container, sound, rate=SAMPLE_RATE))
        if not pieces:
            return None, 0.0
        origin = pictures_start(container)
        delay = 0.0 if origin is None else pieces[0][0] - origin
        return np.concatenate([samples for _, samples in pieces], axis=1), delay


def _blocks(
    wave: Float[Tensor, " samples"], config: MelConfig
) -> Iterator[SoundFrames]:
    """Analyse a whole sound piece by piece, so that memory stays small."""
    state = silent_past(config)
    # Half a window of silence completes the last frame.
    for block in F.pad(wave.float(), (0, _WINDOW // 2)).split(_BLOCK):
        frames, state = analyse(block, state, config)
        yield frames


def _spectra(
    samples: Float[Tensor, " samples"], count: int
) -> Float[Tensor, "count bins"]:
    """Return the mean square per frequency of each frame, after pre-emphasis."""
    sharp = samples[1:] - _EMPHASIS * samples[:-1]
    window = torch.hann_window(_WINDOW, device=samples.device)
    frames = sharp[: (count - 1) * _HOP + _WINDOW].unfold(0, _WINDOW, _HOP)
    spectrum = torch.fft.rfft(frames * window, n=_FFT)
    power = torch.view_as_real(spectrum).square().sum(dim=-1)
    return power * (2 / (_FFT * window.square().sum()))


def _compressed(
    power: Float[Tensor, "*batch frames mels"],
    level: Float[Tensor, "*batch frames"],
    config: MelConfig,
) -> Float[Tensor, "*batch frames mels"]:
    depth = 10 ** (config.range_db / 10)
    # A third of the natural logarithm gives running speech a deviation of about 1.
    return torch.log1p(depth * power / level[..., None]) / 3


@lru_cache(maxsize=64)
def _mel_bands(
    mels: int, low_hz: float, high_hz: float, warp: float
) -> Float[Tensor, "bins mels"]:
    """Return triangular bands, equally spaced on the mel scale, that sum to 1."""

    def to_mel(hertz: float) -> float:
        return 2595 * math.log10(1 + hertz / 700)

    edges = torch.linspace(to_mel(low_hz), to_mel(high_hz), mels + 2).double()
    bins = torch.arange(_FFT // 2 + 1).double() * (warp * SAMPLE_RATE / _FFT)
    place = 2595 * torch.log10(1 + bins / 700)
    rise = (place[:, None] - edges[:-2]) / (edges[1:-1] - edges[:-2])
    fall = (edges[2:] - place[:, None]) / (edges[2:] - edges[1:-1])
    return torch.minimum(rise, fall).clamp_min(0).float()


def _speech_level(
    energy: Float[Tensor, "*batch total"], count: int, config: MelConfig
) -> Float[Tensor, "*batch count"]:
    """Return the level to divide by: the loud part of the recent past, within bounds.

    The root mean square of the energies leans to the loud frames, so that pauses
    hardly count; the taper makes frames leave the window gradually.
    """
    length = config.level_frames
    taper = torch.linspace(0, 1, length + 1, device=energy.device)[1:]
    recent = energy[..., energy.shape[-1] - count - length + 1 :].unfold(-1, length, 1)
    mean = (recent.square() @ (taper / taper.sum())).sqrt()
    low, high = (10 ** (d / 10) for d in (config.level_low_db, config.level_high_db))
    return mean.clamp(low, high)


def _voice(
    energy: Float[Tensor, " total"], count: int, config: MelConfig
) -> Bool[Tensor, " count"]:
    """Return whether frames stand above the noise, held for a moment."""
    smooth = energy.unfold(0, _SMOOTHING, 1).mean(dim=1)
    known = torch.where(smooth > 0, smooth, math.inf)
    quietest = known.unfold(0, _FLOOR_FRAMES, 1).amin(dim=1)
    now = smooth[_FLOOR_FRAMES - 1 :]
    above = now > quietest * 10 ** (config.voice_db / 10)
    loud = now > 10 ** ((config.level_low_db + config.level_high_db) / 20)
    heard = now > 10 ** ((config.level_low_db - config.voice_db) / 10)
    active = ((above | loud) & heard).float()[-(count + _HANGOVER - 1) :]
    return active.unfold(0, _HANGOVER, 1).amax(dim=1) > 0
