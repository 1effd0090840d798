"""The network: embeddings of mouths and of sound that agree where they belong together.

In: mouth lengths at 25 frames a second (``mouth.py``), frame ``n`` showing the time
(n + 1/2) / 25 s; log-mel sound at 100 frames a second, frame ``k`` at k / 100 s. Out:
vectors of both, whose products tell which sound goes with which frame. In the
manner of SyncNet (Chung and Zisserman 2016), from four lengths instead of pictures.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

from talk3d.audio import FRAME_RATE
from talk3d.checkpoint import load_model
from talk3d.judge.mouth import LENGTHS

__all__ = [
    "FPS",
    "KIND",
    "STEPS",
    "JudgeConfig",
    "SyncJudge",
    "load_judge",
    "moments",
    "shipped_judge",
]

KIND = "judge"
"""Kind of the model file."""
FPS = 25
"""Frames a second of the mouths."""
STEPS = FRAME_RATE // FPS
"""Sound frames of a picture frame."""
_UNIT = 5.0


@dataclass(frozen=True)
class JudgeConfig:
    """Sizes of the network."""

    mels: int = 80
    """Mel bands of the sound."""
    channels: int = 96
    """Channels of both halves."""
    mouth_dilations: tuple[int, ...] = (1, 2)
    """One block each; frames to both sides."""
    sound_dilations: tuple[int, ...] = (1, 2, 4, 8)
    """One block each; sound frames to both sides."""
    width: int = 32
    """Numbers of an embedding."""

    def __post_init__(self) -> None:
        """Check the ranges."""
        sizes = (self.mels, self.channels, self.width)
        if not 1 <= min(sizes) <= max(sizes) <= 1024:
            message = f"mels, channels, width are {sizes}: give 1 to 1024 of each"
            raise ValueError(message)

    @classmethod
    def tiny(cls) -> JudgeConfig:
        """Return the size for tests."""
        return cls(channels=16, mouth_dilations=(1,), sound_dilations=(1, 2), width=8)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> JudgeConfig:
        """Return the configuration that ``dataclasses.asdict`` and JSON made plain."""
        lists = ("mouth_dilations", "sound_dilations")
        return cls(**{**values, **{name: tuple(values[name]) for name in lists}})


class _Block(nn.Module):
    """A dilated convolution beside its input."""

    def __init__(self, channels: int, dilation: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels)
        self.wide = nn.Conv1d(
            channels, channels, 3, dilation=dilation, padding=dilation
        )
        self.mix = nn.Conv1d(channels, channels, 1)

    def forward(self, x: Float[Tensor, "b c t"]) -> Float[Tensor, "b c t"]:
        """Add what the neighbourhood says."""
        level = self.norm(x.transpose(1, 2)).transpose(1, 2)
        return x + self.mix(functional.gelu(self.wide(level)))


class _Half(nn.Module):
    """A sequence to unit vectors."""

    def __init__(
        self, given: int, config: JudgeConfig, dilations: tuple[int, ...]
    ) -> None:
        super().__init__()
        self.enter = nn.Conv1d(given, config.channels, 5, padding=2)
        self.body = nn.Sequential(*(_Block(config.channels, d) for d in dilations))
        self.leave = nn.Linear(config.channels, config.width)

    def forward(self, x: Float[Tensor, "b t given"]) -> Float[Tensor, "b t width"]:
        """Return one vector per moment."""
        x = self.body(self.enter(x.transpose(1, 2))).transpose(1, 2)
        return functional.normalize(self.leave(x), dim=-1)


class SyncJudge(nn.Module):
    """The network."""

    def __init__(self, config: JudgeConfig) -> None:
        super().__init__()
        self.config = config
        self.mouth = _Half(LENGTHS, config, config.mouth_dilations)
        self.sound = _Half(config.mels, config, config.sound_dilations)
        self.sharpness = nn.Parameter(torch.tensor(2.0))

    def forward(
        self,
        mouths: Float[Tensor, "b frames 4"],
        features: Float[Tensor, "b steps mels"],
    ) -> tuple[Float[Tensor, "b frames width"], Float[Tensor, "b steps width"]]:
        """Return what is seen and what is heard, as vectors.

        Their products are logits: how well the sound of a moment goes with a frame.

        Args:
            mouths: lengths, relative to what is usual for the person.
            features: `talk3d.audio.log_mel`.
        """
        seen = self.sharpness.exp() * self.mouth(mouths / _UNIT)
        return seen, self.sound(features)


def moments(frames: int) -> Int[Tensor, " frames"]:
    """Return the sound frames at which picture frames are shown."""
    return STEPS * torch.arange(frames) + STEPS // 2


def load_judge(path: Path) -> SyncJudge:
    """Read a network from its file.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no such file, or its weights do not fit.
    """
    checkpoint = load_model(path, kind=KIND)
    state = {name: value.float() for name, value in checkpoint.state.items()}
    try:
        network = SyncJudge(JudgeConfig.from_json(checkpoint.config))
        network.load_state_dict(state)
    except (KeyError, TypeError, RuntimeError) as error:
        message = (
            f"the weights in {path} do not fit its configuration: make it again with"
            " talk3d speech judge"
        )
        raise ValueError(message) from error
    return network.eval().requires_grad_(False)


@lru_cache(maxsize=1)
def shipped_judge() -> SyncJudge:
    """Return the network that ships with the package."""
    folder = resources.files("talk3d") / "data"
    with resources.as_file(folder / "judge.safetensors") as path:
        return load_judge(path)
