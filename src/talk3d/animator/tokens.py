"""What drives a frame, as tokens: audio, eyes, head rotation, landmarks, and null.

Each driver becomes one vector of the same width. The audio token carries the speech, as
the lips that go with it (``talk3d.lips``, eight numbers of deviation one); the others
soak up what speech does not explain (lids, brows, gaze, what moves as the head does),
and the null token, learned and the same for every frame, is what attention turns to
where nothing need change.

Symbols: ``b`` frames, ``d`` token width.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from talk3d.lips import LIP_NUMBERS, UPPER_NUMBERS

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
EYE_NUMBERS = UPPER_NUMBERS + 4
"""The upper face's; gaze left yaw, pitch, right yaw, pitch in radians."""
ROTATION_NUMBERS = 3
"""Head yaw, pitch, roll in radians."""
LANDMARK_NUMBERS = 6
"""Where the head sits in the frame, around -1 to 1."""


@dataclass(frozen=True)
class TokenConfig:
    """Sizes of the token encoders."""

    width: int = 64
    """Numbers in a token."""
    octaves: int = 4
    """Octaves of the Fourier features; the slowest turns 1 radian per unit."""

    def __post_init__(self) -> None:
        """Reject sizes that no avatar has."""
        for name, most in (("width", 4096), ("octaves", 16)):
            value = getattr(self, name)
            if not isinstance(value, int) or not 1 <= value <= most:
                raise ValueError(
                    f"TokenConfig.{name} is {value!r}; give a whole number from 1 to "
                    f"{most}."
                )

    @classmethod
    def tiny(cls) -> "TokenConfig":
        """Return the size for tests."""
        return cls(width=16)


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
        self.audio = _NumbersEncoder(LIP_NUMBERS, config)
        self.eye = _NumbersEncoder(EYE_NUMBERS, config)
        self.rotation = _NumbersEncoder(ROTATION_NUMBERS, config)
        self.landmark = _NumbersEncoder(LANDMARK_NUMBERS, config)
        self.null = nn.Parameter(torch.randn(config.width))

    def forward(
        self,
        audio: Float[Tensor, "b 8"],
        eye: Float[Tensor, "b 9"],
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
    noise: float,
    generator: torch.Generator,
) -> Float[Tensor, "b 5 d"]:
    """Regularise tokens for training on short videos.

    Args:
        tokens: from `Tokenizer`; every one but the null token has deviation 1.
        noise: deviation of the normal noise added to all but the null token.
        generator: source of chance, on the CPU.

    Returns:
        Changed tokens; the null token itself is left alone.
    """
    driven, null = tokens[:, :-1], tokens[:, -1:]
    draws = torch.randn(driven.shape, generator=generator, dtype=tokens.dtype)
    return torch.cat([driven + noise * draws.to(tokens), null], dim=1)
