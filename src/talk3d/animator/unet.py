"""The audio-guided attention U-Net: identity planes and tokens in, an offset out.

In: the identity tri-plane ``planes`` (three planes of ``c`` channels, ``size`` texels
square) and per frame a handful of tokens. Out: ``delta``, to be added to the identity
tri-plane. The encoder sees the identity only, so its output (`Encoded`) is computed
once per avatar, and once per step in training; only `AudioUNet.decode` runs per frame.

The three planes pass through separate weights ("split convolution", written as one
grouped convolution). They meet in two places: each plane is given the mean of the
other two along the axis it does not have ("roll-out", `RollOutConv`), and all three
put their queries to the same tokens in one shared cross-attention.

Symbols: ``b`` batch, ``p`` = 3 planes, ``c`` channels per plane, ``h w`` rows and
columns, ``n`` = ``h w`` positions of a plane, ``t`` tokens, ``d`` features. Between
convolutions the planes lie side by side in the channels: ``b pc h w``.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from talk3d.animator.rollout import (
    PLANES,
    ConvBlock,
    PlaneGroupNorm,
)
from talk3d.animator.transformer import (
    Block,
    PlaneLinear,
    PlaneNorm,
    position_code,
)
from talk3d.eg3d.volume import PLANE_AXES, PlaneAxes

__all__ = ["AudioUNet", "Encoded", "UNetConfig"]


_BOUNDS = {
    "plane_channels": 512, "plane_size": 2048, "norm_groups": 4096, "heads": 4096,
    "blocks": 64, "expansion": 64,
}  # fmt: skip
_WIDEST = 4096
"""Bounds far above anything of use: a file must not ask for all the memory."""


@dataclass(frozen=True)
class UNetConfig:
    """Sizes of the U-Net."""

    plane_channels: int = 32
    """Channels of one plane of the tri-plane."""
    plane_size: int = 128
    """Texels along one side of a plane."""
    plane_axes: PlaneAxes = "xy_xz_zy"
    """Which world axes the three planes span; that of the prior."""
    widths: tuple[int, ...] = (48, 64, 96)
    """Channels per plane at 1/2, 1/4, 1/8, … of the plane's size; attention at last."""
    norm_groups: int = 8
    """Groups per plane of each group normalisation; divides every width."""
    heads: int = 3
    """Heads of every attention; divides the last width."""
    blocks: int = 2
    """Transformer blocks at the bottom."""
    expansion: int = 2
    """Hidden width of the feed-forward layers over their outer width."""
    bound: float = 4.0
    """Largest offset, in standard deviations of the identity plane it is added to."""

    def __post_init__(self) -> None:
        """Reject sizes that do not fit together."""
        for name, most in _BOUNDS.items():
            value = getattr(self, name)
            if not isinstance(value, int) or not 1 <= value <= most:
                raise ValueError(
                    f"UNetConfig.{name} is {value!r}; give a whole number from 1 to "
                    f"{most}."
                )
        if any(not isinstance(w, int) or not 1 <= w <= _WIDEST for w in self.widths):
            raise ValueError(
                f"UNetConfig.widths is {self.widths}; give whole numbers from 1 to "
                f"{_WIDEST}."
            )
        if self.plane_axes not in PLANE_AXES:
            raise ValueError(
                f"UNetConfig.plane_axes is {self.plane_axes!r}; "
                f"use one of {', '.join(PLANE_AXES)}."
            )
        if not self.widths or any(width % self.norm_groups for width in self.widths):
            raise ValueError(
                f"UNetConfig.widths is {self.widths}; give at least one width, each "
                f"a multiple of norm_groups = {self.norm_groups}."
            )
        if self.widths[-1] % self.heads or self.widths[-1] % 6:
            raise ValueError(
                f"UNetConfig.widths ends in {self.widths[-1]}; the last width must be "
                f"a multiple of 6 and of heads = {self.heads}."
            )
        if self.plane_size % 2 ** len(self.widths):
            raise ValueError(
                f"UNetConfig.plane_size is {self.plane_size}; with {len(self.widths)} "
                f"widths it must be a multiple of {2 ** len(self.widths)}."
            )
        if not self.bound > 0:
            raise ValueError(f"UNetConfig.bound is {self.bound}; it must be positive.")

    @classmethod
    def tiny(cls) -> "UNetConfig":
        """Return the size for tests."""
        return cls(
            plane_channels=8,
            plane_size=32,
            widths=(8, 12),
            norm_groups=4,
            heads=2,
        )


@dataclass(frozen=True)
class Encoded:
    """What `AudioUNet.decode` needs to know of one identity."""

    skips: tuple[Float[Tensor, "1 _ _ _"], ...]
    """Encoder features, fine to coarse, added on the way up."""
    gate: Float[Tensor, "1 _ _ _"]
    """What the last features are multiplied by."""
    bottom: Float[Tensor, "1 pd h w"]
    """Encoder features at the bottom."""
    state: Float[Tensor, "3 1 n d"]
    """Transformer state after the first self-attention, the last constant one."""
    limit: Float[Tensor, "3"]
    """Largest offset per plane, in plane units."""


class _Head(nn.Module):
    """Features at half the size to a bounded offset of either sign.

    Zero weights and nothing learned after them: the untrained offset is exactly zero,
    and grows from there as slowly as the weights do.
    """

    def __init__(self, width: int, plane_channels: int, bound: float) -> None:
        super().__init__()
        self.bound = bound
        # Per plane four sub-texels, each with all channels.
        out_width = PLANES * plane_channels * 4
        self.weight = nn.Parameter(torch.zeros(out_width, width, 3, 3))
        self.bias = nn.Parameter(torch.zeros(out_width))

    def forward(
        self, x: Float[Tensor, "b pd h w"], limit: Float[Tensor, "3"]
    ) -> Float[Tensor, "b 3 c h2 w2"]:
        """Return the offset; ``limit`` is ``bound`` deviations of each plane."""
        # Dividing the weights, not the far larger map, makes a unit of the map one
        # deviation of the plane, whatever the bound is.
        weight, bias = self.weight / self.bound, self.bias / self.bound
        x = F.conv2d(x, weight, bias, padding=1, groups=PLANES).tanh()
        x = x * limit.to(x.dtype).repeat_interleave(x.shape[1] // PLANES)[:, None, None]
        # b h w (p i j c) -> b (h i) (w j) p c, which stays channels-last.
        x = x.permute(0, 2, 3, 1).unflatten(3, (PLANES, 2, 2, -1))
        x = x.permute(0, 1, 4, 2, 5, 3, 6).flatten(3, 4).flatten(1, 2)
        return x.permute(0, 3, 4, 1, 2)


def _for_each(
    constant: Float[Tensor, "1 c h w"], frames: int
) -> Float[Tensor, "frames c h w"]:
    """Repeat what is constant; its gradient is summed faster than broadcasting's."""
    return torch.cat([constant] * frames)


class AudioUNet(nn.Module):
    """Predicts the offset of a tri-plane from tokens, guided by attention."""

    position: Tensor

    def __init__(self, config: UNetConfig, *, token_width: int) -> None:
        super().__init__()
        self.config = config
        widths = config.widths
        ins = (config.plane_channels, *widths[:-1])
        self.down = nn.ModuleList(
            ConvBlock(
                a,
                b,
                plane_axes=config.plane_axes,
                groups=config.norm_groups,
                halve=True,
            )
            for a, b in zip(ins, widths, strict=True)
        )
        bottom = config.plane_size // 2 ** len(widths)
        self.enter_norm = PlaneNorm(widths[-1])
        self.enter = PlaneLinear(widths[-1], widths[-1])
        self.blocks = nn.ModuleList(
            Block(
                widths[-1],
                token_width=token_width,
                heads=config.heads,
                expansion=config.expansion,
            )
            for _ in range(config.blocks)
        )
        self.up = nn.ModuleList(
            ConvBlock(a, b, plane_axes=config.plane_axes, groups=config.norm_groups)
            for a, b in zip(widths[:0:-1], widths[-2::-1], strict=True)
        )
        last = PLANES * widths[0]
        self.gate = nn.Conv2d(last, last, 3, padding=1, groups=PLANES)
        self.gate_norm = PlaneGroupNorm(widths[0], config.norm_groups)
        self.head = _Head(widths[0], config.plane_channels, config.bound)
        self.register_buffer(
            "position",
            position_code(config.plane_axes, bottom, widths[-1]),
            persistent=False,
        )

    def encode(self, identity: Float[Tensor, "3 c h w"]) -> Encoded:
        """Return the constant half, for one identity tri-plane."""
        planes = identity.float()
        mean = planes.mean(dim=(1, 2, 3))
        # Not `std`, which takes as long on a CPU as the first convolution.
        spread = (planes.square().mean(dim=(1, 2, 3)) - mean.square()).clamp_min(0)
        spread = spread.sqrt()
        unit = planes / spread.clamp_min(1e-6)[:, None, None, None]
        x = unit.flatten(0, 1)[None].contiguous(memory_format=torch.channels_last)
        features = []
        for block in self.down:
            x = block(x)
            features.append(x)
        state = x.unflatten(1, (PLANES, -1)).flatten(3).permute(1, 0, 3, 2)
        state = self.enter(self.enter_norm(state)) + self.position
        state = state + self._block(0).self_attention(state)
        return Encoded(
            skips=tuple(features[:-1]),
            gate=self.gate(features[0]),
            bottom=x,
            state=state,
            limit=self.config.bound * spread,
        )

    def decode(
        self, encoded: Encoded, tokens: Float[Tensor, "b t e"]
    ) -> Float[Tensor, "b 3 c h w"]:
        """Return the offset of the tri-plane for each frame, in plane units."""
        state, _ = self._transform(encoded, tokens)
        height, width = encoded.bottom.shape[2:]
        x = state.permute(1, 0, 3, 2).flatten(1, 2).unflatten(2, (height, width))
        x = x.contiguous(memory_format=torch.channels_last)
        x = x + _for_each(encoded.bottom, len(tokens))
        for block, skip in zip(self.up, reversed(encoded.skips), strict=True):
            x = F.interpolate(block(x), scale_factor=2.0, mode="bilinear")
            x = x + _for_each(skip, len(tokens))
        # To first order, what moves changes by its motion times its slope: a product
        # of smooth features of the frame and sharp ones of the identity.
        x = self.gate_norm(x) * _for_each(encoded.gate, len(tokens))
        return self.head(x, encoded.limit)

    def attention(
        self, encoded: Encoded, tokens: Float[Tensor, "b t e"]
    ) -> Float[Tensor, "b blocks 3 heads h w t"]:
        """Return how much each position listens to each token; sums to 1 over them."""
        _, weights = self._transform(encoded, tokens)
        height, width = encoded.bottom.shape[2:]
        maps = torch.stack(weights).permute(2, 0, 1, 3, 4, 5)
        return maps.unflatten(4, (height, width))

    def _block(self, index: int) -> Block:
        """Return a transformer block, by its type."""
        block = self.blocks[index]
        assert isinstance(block, Block)
        return block

    def _transform(
        self, encoded: Encoded, tokens: Float[Tensor, "b t e"]
    ) -> tuple[Float[Tensor, "3 b n d"], list[Float[Tensor, "3 b heads n t"]]]:
        """Run the transformer from its constant start; return attention weights too."""
        state = encoded.state
        maps = []
        for index in range(len(self.blocks)):
            block = self._block(index)
            if index > 0:
                state = state + self.position
                state = state + block.self_attention(state)
            answer, weights = block.cross_attention(state, tokens)
            state = state + answer
            state = state + block.feed_forward(state)
            maps.append(weights)
        return state, maps
