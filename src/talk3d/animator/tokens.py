"""What drives a frame, as tokens: audio, eyes, head rotation, landmarks, and null.

Each driver becomes one vector of the same width. The audio token carries the speech;
the others soak up what speech does not explain (blinks, gaze, the torso and background
that move as the head does), and the null token, learned and the same for every frame,
is what attention turns to where nothing need change.

Symbols: ``b`` frames, ``t`` window frames, ``m`` mel bands, ``d`` token width.
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from talk3d.audio import FRAME_RATE

__all__ = [
    "EYE_NUMBERS",
    "LANDMARK_NUMBERS",
    "ROTATION_NUMBERS",
    "TOKENS",
    "TokenConfig",
    "Tokenizer",
    "perturb_tokens",
]

TOKENS = ("audio", "eye", "rotation", "landmark", "null")
"""Names of the tokens, in their order."""
EYE_NUMBERS = 6
"""Blink left and right, 0 open to 1 shut; gaze left yaw, pitch, right yaw, pitch."""
ROTATION_NUMBERS = 3
"""Head yaw, pitch, roll in radians."""
LANDMARK_NUMBERS = 6
"""Where the head sits in the frame, around -1 to 1."""


@dataclass(frozen=True)
class TokenConfig:
    """Sizes of the token encoders."""

    width: int = 64
    """Numbers in a token."""
    mels: int = 80
    """Mel bands of the sound."""
    audio_before: float = 0.3
    """Seconds of sound heard before the moment of the frame."""
    audio_after: float = 0.3
    """Seconds of sound heard after it; this is the least delay of a live avatar."""
    audio_channels: int = 64
    """Channels of the sound encoder."""
    audio_heads: int = 8
    """Heads of its attention; divides audio_channels."""
    audio_rank: int | None = None
    """Directions the audio token may vary in (few suit short videos); None for all."""
    octaves: int = 4
    """Octaves of the Fourier features; the slowest turns 1 radian per unit."""

    def __post_init__(self) -> None:
        """Reject sizes that do not fit together."""
        if self.audio_channels % self.audio_heads:
            raise ValueError(
                f"TokenConfig.audio_channels is {self.audio_channels}; it must be a "
                f"multiple of audio_heads = {self.audio_heads}."
            )
        if self.audio_before < 0 or self.audio_after < 0:
            raise ValueError(
                f"TokenConfig.audio_before and audio_after are {self.audio_before} "
                f"and {self.audio_after}; give two lengths of at least 0 s."
            )
        if self.audio_rank is not None and not 1 <= self.audio_rank <= self.width:
            raise ValueError(
                f"TokenConfig.audio_rank is {self.audio_rank}; give 1 to width = "
                f"{self.width}, or None."
            )

    @property
    def audio_frames(self) -> int:
        """Frames of one audio window."""
        before = round(self.audio_before * FRAME_RATE)
        return before + round(self.audio_after * FRAME_RATE) + 1

    @classmethod
    def tiny(cls) -> "TokenConfig":
        """Return the size for tests."""
        return cls(
            width=16,
            mels=20,
            audio_before=0.1,
            audio_after=0.1,
            audio_channels=8,
            audio_heads=2,
        )


class _AudioEncoder(nn.Module):
    """A window of log-mel frames to one token: convolutions, then attention in time."""

    def __init__(self, config: TokenConfig) -> None:
        super().__init__()
        channels = config.audio_channels
        steps = math.ceil(math.ceil(config.audio_frames / 2) / 2)
        self.heads = config.audio_heads
        self.convolutions = nn.ModuleList(
            [
                nn.Conv1d(config.mels, channels, 5, stride=2, padding=2),
                nn.Conv1d(channels, channels, 3, stride=2, padding=1),
                nn.Conv1d(channels, channels, 3, padding=1),
            ]
        )
        self.norm = nn.LayerNorm(channels)
        self.place = nn.Parameter(0.5 * torch.randn(steps, channels))
        self.query = nn.Parameter(torch.randn(self.heads, channels // self.heads))
        self.key = nn.Linear(channels, channels, bias=False)
        self.value = nn.Linear(channels, channels)
        self.join = _bottleneck(channels, config.width, config.audio_rank)

    def forward(self, window: Float[Tensor, "b t m"]) -> Float[Tensor, "b d"]:
        """Encode the windows."""
        x = window.transpose(1, 2)
        for convolution in self.convolutions:
            x = F.gelu(convolution(x), approximate="tanh")
        x = self.norm(x.transpose(1, 2))
        key = self.key(x + self.place).unflatten(-1, (self.heads, -1))
        value = self.value(x).unflatten(-1, (self.heads, -1))
        scores = torch.einsum("bshe,he->bsh", key, self.query)
        weights = (scores.float() * self.query.shape[1] ** -0.5).softmax(dim=1)
        heard = torch.einsum("bsh,bshe->bhe", weights.to(value.dtype), value)
        return _unit(self.join(heard.flatten(1)))


def _bottleneck(in_width: int, out_width: int, rank: int | None) -> nn.Module:
    """Return a linear layer, through ``rank`` numbers if a rank is given."""
    if rank is None:
        return nn.Linear(in_width, out_width)
    return nn.Sequential(
        nn.Linear(in_width, rank, bias=False), nn.Linear(rank, out_width)
    )


def _unit(token: Float[Tensor, "b d"]) -> Float[Tensor, "b d"]:
    """Bring a token to mean 0 and deviation 1 over its numbers."""
    return F.layer_norm(token.float(), token.shape[-1:])


class _NumbersEncoder(nn.Module):
    """A few numbers to one token, by Fourier features and two layers.

    The octaves stay few, so that a tracker's noise of a few hundredths does not turn
    the fastest feature over.
    """

    frequencies: Tensor

    def __init__(self, numbers: int, config: TokenConfig) -> None:
        super().__init__()
        frequencies = 2.0 ** torch.arange(config.octaves)
        self.register_buffer("frequencies", frequencies, persistent=False)
        self.first = nn.Linear(numbers * (1 + 2 * config.octaves), config.width)
        self.second = nn.Linear(config.width, config.width)

    def forward(self, numbers: Float[Tensor, "b k"]) -> Float[Tensor, "b d"]:
        """Encode the numbers."""
        phase = (numbers[..., None] * self.frequencies).flatten(1)
        x = torch.cat([numbers, phase.sin(), phase.cos()], dim=1)
        return _unit(self.second(F.silu(self.first(x))))


class Tokenizer(nn.Module):
    """All encoders, and the learned null token."""

    def __init__(self, config: TokenConfig) -> None:
        super().__init__()
        self.audio = _AudioEncoder(config)
        self.eye = _NumbersEncoder(EYE_NUMBERS, config)
        self.rotation = _NumbersEncoder(ROTATION_NUMBERS, config)
        self.landmark = _NumbersEncoder(LANDMARK_NUMBERS, config)
        self.null = nn.Parameter(torch.randn(config.width))

    def forward(
        self,
        audio: Float[Tensor, "b t m"],
        eye: Float[Tensor, "b 6"],
        rotation: Float[Tensor, "b 3"],
        landmark: Float[Tensor, "b 6"],
    ) -> Float[Tensor, "b 5 d"]:
        """Return the tokens in the order of `TOKENS`."""
        rows = [
            self.audio(audio),
            self.eye(eye),
            self.rotation(rotation),
            self.landmark(landmark),
            self.null.expand(len(audio), -1),
        ]
        return torch.stack(rows, dim=1)


def perturb_tokens(
    tokens: Float[Tensor, "b 5 d"],
    *,
    drop: float,
    noise: float,
    generator: torch.Generator,
) -> Float[Tensor, "b 5 d"]:
    """Regularise tokens for training on short videos.

    Args:
        tokens: from `Tokenizer`; every one but the null token has deviation 1.
        drop: chance of each token, one by one, to be replaced by the null token.
        noise: deviation of the normal noise added to the tokens that stay.
        generator: source of chance, on the device of the tokens.

    Returns:
        Changed tokens; the null token itself is left alone.
    """
    driven, null = tokens[:, :-1], tokens[:, -1:]
    shape, device = driven.shape, tokens.device
    draws = torch.randn(shape, generator=generator, device=device, dtype=tokens.dtype)
    dropped = torch.rand(shape[:2], generator=generator, device=device) < drop
    changed = torch.where(dropped[..., None], null, driven + noise * draws)
    return torch.cat([changed, null], dim=1)
