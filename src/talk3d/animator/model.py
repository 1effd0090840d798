"""The animator: what drives a frame in, the offset of the tri-plane out.

Used in three calls, so that what is constant is computed once::

    encoded = animator.encode(identity)           # once per avatar
    tokens = animator.tokens(batch)               # per frames
    offset = animator.decode(encoded, tokens)     # of the planes, per frame

Nothing is remembered between calls.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from talk3d.animator.tokens import TokenConfig, Tokenizer
from talk3d.animator.unet import AudioUNet, Encoded, UNetConfig
from talk3d.lips import LIP_NUMBERS

__all__ = ["Animator", "AnimatorConfig", "DrivingBatch"]


@dataclass(frozen=True)
class AnimatorConfig:
    """Everything that shapes an animator."""

    tokens: TokenConfig = field(default_factory=TokenConfig)
    """The token encoders."""
    unet: UNetConfig = field(default_factory=UNetConfig)
    """The attention U-Net."""

    @classmethod
    def tiny(cls) -> "AnimatorConfig":
        """Return the size for tests."""
        return cls(tokens=TokenConfig.tiny(), unet=UNetConfig.tiny())

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "AnimatorConfig":
        """Return the configuration that ``dataclasses.asdict`` and JSON made plain."""
        unet = dict(values["unet"])
        unet["widths"] = tuple(unet["widths"])
        return cls(tokens=TokenConfig(**values["tokens"]), unet=UNetConfig(**unet))


@dataclass(frozen=True)
class DrivingBatch:
    """What drives some frames."""

    audio: Float[Tensor, "b 8"]
    """The lips that go with the sound, see ``talk3d.lips.LipSpace``."""
    eye: Float[Tensor, "b 9"]
    """Blink left, right (0 open, 1 shut); three numbers of the brows, see
    ``talk3d.brows``; gaze left yaw, pitch, right yaw, pitch, radians."""
    rotation: Float[Tensor, "b 3"]
    """Head yaw, pitch, roll in radians, relative to the video's mean."""
    landmark: Float[Tensor, "b 6"]
    """Where the head sits in the frame, around -1 to 1, relative to the mean."""

    @classmethod
    def rest(
        cls,
        eye: Float[Tensor, "frames 9"],
        rotation: Float[Tensor, "frames 3"],
        landmark: Float[Tensor, "frames 6"],
    ) -> "DrivingBatch":
        """Return the mean of what drives a recording, as one frame."""
        means = (signal.mean(0, keepdim=True) for signal in (eye, rotation, landmark))
        return cls(eye.new_zeros(1, LIP_NUMBERS), *means)

    def rows(self, index: Int[Tensor, " n"]) -> "DrivingBatch":
        """Return what drives some of the frames."""
        parts = (self.audio, self.eye, self.rotation, self.landmark)
        return DrivingBatch(*(part[index] for part in parts))

    def to(self, device: torch.device) -> "DrivingBatch":
        """Return the drivers on a device."""
        return DrivingBatch(**{k: v.to(device) for k, v in vars(self).items()})


class Animator(nn.Module):
    """Token encoders and U-Net."""

    def __init__(self, config: AnimatorConfig) -> None:
        super().__init__()
        self.config = config
        self.tokenizer = Tokenizer(config.tokens)
        self.unet = AudioUNet(config.unet, token_width=config.tokens.width)

    def encode(self, identity: Float[Tensor, "3 c h w"]) -> Encoded:
        """Return what `decode` needs to know of an identity tri-plane."""
        return self.unet.encode(identity)

    def tokens(self, batch: DrivingBatch) -> Float[Tensor, "b 5 d"]:
        """Return the tokens of each frame, in the order of ``tokens.TOKENS``."""
        return self.tokenizer(batch.audio, batch.eye, batch.rotation, batch.landmark)

    def decode(
        self, encoded: Encoded, tokens: Float[Tensor, "b 5 d"]
    ) -> Float[Tensor, "b 3 c h w"]:
        """Return the offset to add to the identity tri-plane for each frame."""
        return self.unet.decode(encoded, tokens)

    def attention(
        self, encoded: Encoded, tokens: Float[Tensor, "b 5 d"]
    ) -> Float[Tensor, "b blocks 3 heads h w 5"]:
        """Return how much each place of each plane listens to each token."""
        return self.unet.attention(encoded, tokens)
