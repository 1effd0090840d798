"""Speech as rooms, microphones and other throats would give it.

In: the mean square per frequency and frame of clean speech. Out: log-mel features.
Everything is done on powers (phases forgotten), which is cheap enough to be drawn anew
for every step: throat length, equaliser, telephone band, room, noise, other talkers,
level, masked bands.
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from talk3d.audio import FRAME_RATE, SAMPLE_RATE, MelConfig, level_features, mel_bands

__all__ = ["AugmentConfig", "augment", "plain"]

Power = Float[Tensor, "batch frames bins"]

_WARPS = 17


@dataclass(frozen=True)
class AugmentConfig:
    """How far speech is changed."""

    warp: float = 0.18
    """Largest change of the throat's length, share."""
    equaliser_db: float = 5.0
    """Deviation of each of four waves of the equaliser over the bands."""
    band_chance: float = 0.25
    """Chance that low and high frequencies are cut off."""
    room_chance: float = 0.4
    """Chance of a room."""
    noise_chance: float = 0.7
    """Chance of steady noise, 3 to 40 dB below the speech."""
    babble_chance: float = 0.2
    """Chance of another talker, 8 to 25 dB below."""
    masks: int = 2
    """Bands struck out."""
    mask_width: int = 10
    """Most mel bands of one."""


def plain(power: Power, config: MelConfig) -> Float[Tensor, "batch frames mels"]:
    """Return the features of unchanged speech."""
    return level_features(power @ mel_bands(config), config)


def augment(
    power: Power, config: AugmentConfig, mel: MelConfig, *, generator: torch.Generator
) -> Float[Tensor, "batch frames mels"]:
    """Return the features of changed speech."""
    batch, _, bins = power.shape

    def chance(share: float) -> Tensor:
        return (torch.rand(batch, 1, 1, generator=generator) < share).float()

    mean = power.mean((1, 2), keepdim=True) + 1e-12
    babble = _decibels(batch, -25.0, -8.0, generator) * chance(config.babble_chance)
    power = power + babble * mean / mean.roll(1, 0) * power.roll(1, 0)
    power = power + chance(config.room_chance) * _room(power, generator)
    power = power * _equaliser(batch, bins, config, generator)
    mels = _warped(power, config, mel, generator)
    mean = mels.mean((1, 2), keepdim=True)
    noise = mean * _noise_colour(batch, mel.mels, generator)
    noise = noise * _decibels(batch, -40.0, -3.0, generator)
    grain = torch.empty_like(mels).exponential_(generator=generator)
    mels = mels + chance(config.noise_chance) * noise * grain
    mels = mels * _decibels(batch, -20.0, 12.0, generator)
    features = level_features(mels, mel)
    return _masked(features, config, generator)


def _decibels(
    batch: int, low: float, high: float, generator: torch.Generator
) -> Float[Tensor, "batch 1 1"]:
    drawn = low + (high - low) * torch.rand(batch, 1, 1, generator=generator)
    return 10 ** (drawn / 10)


def _curves(
    batch: int, bins: int, spread: float, generator: torch.Generator
) -> Float[Tensor, "batch 1 bins"]:
    """Return smooth random curves over the pitch scale, in dB."""
    place = torch.log1p(torch.linspace(0, 12, bins)) / math.log(13)
    waves = torch.cos(math.pi * torch.arange(1, 5)[:, None] * place)
    amounts = spread * torch.randn(batch, 1, 4, generator=generator)
    return amounts @ waves


def _equaliser(
    batch: int, bins: int, config: AugmentConfig, generator: torch.Generator
) -> Float[Tensor, "batch 1 bins"]:
    curve = _curves(batch, bins, config.equaliser_db, generator)
    hertz = torch.linspace(0, SAMPLE_RATE / 2, bins)
    draws = torch.rand(3, batch, 1, 1, generator=generator)
    low, high = 60 + 340 * draws[0], 3000 + 4500 * draws[1]
    below = torch.log2(low / hertz.clamp_min(20)).clamp(0, 3)
    above = torch.log2(hertz / high).clamp(0, 3)
    cut = (draws[2] < config.band_chance).float() * -24 * (below + above)
    return 10 ** ((curve + cut) / 10)


def _noise_colour(
    batch: int, bins: int, generator: torch.Generator
) -> Float[Tensor, "batch 1 bins"]:
    curve = 10 ** (_curves(batch, bins, 6.0, generator) / 10)
    return curve / curve.mean(-1, keepdim=True)


def _room(power: Power, generator: torch.Generator) -> Power:
    """Return the late sound of rooms: 0.15 to 0.8 s until it has faded by 60 dB."""
    batch, _, bins = power.shape
    fade = 0.15 + 0.65 * torch.rand(batch, 1, generator=generator)
    steps = torch.arange(1, 41) / FRAME_RATE
    tail = torch.exp(-13.8 * steps / fade)
    strength = _decibels(batch, -14.0, 0.0, generator)[:, 0]
    tail = tail / tail.sum(1, keepdim=True) * strength
    kernel = tail.flip(1)[:, None]
    moved = power.permute(2, 0, 1)
    late = F.conv1d(F.pad(moved, (40, 0)), kernel, groups=batch)
    return late[..., : power.shape[1]].permute(1, 2, 0).reshape(batch, -1, bins)


def _warped(
    power: Power, config: AugmentConfig, mel: MelConfig, generator: torch.Generator
) -> Float[Tensor, "batch frames mels"]:
    steps = torch.randint(_WARPS, (len(power),), generator=generator).tolist()
    bands = [
        mel_bands(mel, warp=1 + config.warp * (2 * step / (_WARPS - 1) - 1))
        for step in steps
    ]
    return power @ torch.stack(bands)


def _masked(
    features: Float[Tensor, "batch frames mels"],
    config: AugmentConfig,
    generator: torch.Generator,
) -> Float[Tensor, "batch frames mels"]:
    batch, _, mels = features.shape
    band = torch.arange(mels)
    for _ in range(config.masks):
        draws = torch.rand(2, batch, 1, generator=generator)
        first = draws[0] * mels
        length = draws[1] * config.mask_width
        hit = (band >= first) & (band < first + length)
        features = features.masked_fill(hit[:, None], 0.0)
    return features
