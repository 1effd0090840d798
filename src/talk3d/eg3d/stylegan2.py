"""StyleGAN2 building blocks: mapping, modulated convolutions and synthesis blocks.

Comes in: codes and style vectors ``w``. Goes out: pictures with any number of channels
(tri-planes are one). Module names follow the published EG3D checkpoints, so their
weights load by name.

Symbols: ``w`` style vector, ``style`` factor per input channel, ``demod`` factor per
output channel. Modulation is unfused: scale the input, convolve, scale the output; the
factors are computed in float32, pictures have the dtype of ``body_dtype`` and
channels-last memory (on CPUs bfloat16 channels-last convolutions are several times
faster than float32 ones).
"""

import math
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

__all__ = [
    "BlockConfig",
    "FirstBlock",
    "Linear",
    "Mapping",
    "Noise",
    "SynthesisBlock",
    "Upsampling",
    "body_dtype",
    "channels_last",
    "fir_upsample",
    "leaky",
    "rms_normalize",
]

Upsampling = Literal["official", "bilinear"]
Noise = Literal["absent", "unused", "added"]

_SLOPE = 0.2
_GAIN = math.sqrt(2.0)
_TAPS = (0.125, 0.375, 0.375, 0.125)


@dataclass(frozen=True)
class BlockConfig:
    """What all blocks of a network share."""

    w_dim: int
    """Length of the style vectors."""
    rgb_channels: int
    """Channels of the picture the blocks build up."""
    upsampling: Upsampling = "bilinear"
    """``official``: transposed convolution and FIR; ``bilinear``: the cheap way."""
    noise: Noise = "absent"
    """``added``: layers own a noise map and add it; ``unused``: own it only."""
    clamp: float | None = None
    """Bound of activations and pictures; none for no bound."""


def rms_normalize(
    x: Float[Tensor, "batch n"], floor: float = 1e-8
) -> Float[Tensor, "batch n"]:
    """Divide each row by the root of its mean square plus a floor."""
    return x * torch.rsqrt(x.square().mean(dim=1, keepdim=True) + floor)


def leaky(x: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    """Leaky ReLU with slope 0.2 and gain sqrt(2)."""
    return functional.leaky_relu(x, _SLOPE) * _GAIN


def body_dtype(x: Float[Tensor, "..."]) -> torch.dtype:
    """Return the dtype of network bodies: that of autocast, else that of ``x``."""
    if torch.is_autocast_enabled(x.device.type):
        return torch.get_autocast_dtype(x.device.type)
    return x.dtype


class Linear(nn.Module):
    """Affine map with equalised learning rate.

    Effective weight = stored * rate / sqrt(inputs), effective bias = stored * rate.
    """

    def __init__(
        self, inputs: int, outputs: int, *, rate: float = 1.0, bias: float = 0.0
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs) / rate)
        self.bias = nn.Parameter(torch.full((outputs,), bias / rate))
        self.rate = rate

    def forward(
        self, x: Float[Tensor, "*batch inputs"], outputs: int | None = None
    ) -> Float[Tensor, "*batch out"]:
        """Apply the map; ``outputs``: only so many of its first results."""
        gain = self.rate / math.sqrt(self.weight.shape[1])
        weight, bias = self.weight[:outputs], self.bias[:outputs]
        return functional.linear(x, weight * gain, bias * self.rate)


class Mapping(nn.Module):
    """Identity code and condition to style vectors.

    Both are normalised to unit root mean square, the condition after a linear
    embedding, joined and passed through ``depth`` layers.
    """

    def __init__(
        self,
        dims: tuple[int, int, int],
        *,
        depth: int = 2,
        rate: float = 0.01,
        floor: float = 1e-8,
    ) -> None:
        """Create the network.

        Args:
            dims: lengths of code, condition and style vector.
            depth: number of layers.
            rate: learning-rate multiplier of the layers.
            floor: added to mean squares when normalising; well above zero, a
                vanishing code or condition has a small effect, not a random one.
        """
        super().__init__()
        z_dim, condition_dim, w_dim = dims
        self.embed = Linear(condition_dim, w_dim)
        self.depth, self.floor = depth, floor
        widths = [z_dim + w_dim] + [w_dim] * depth
        for i in range(depth):
            self.add_module(f"fc{i}", Linear(widths[i], widths[i + 1], rate=rate))
        self.w_avg: Tensor
        self.register_buffer("w_avg", torch.zeros(w_dim))

    def forward(
        self, z: Float[Tensor, "batch z"], condition: Float[Tensor, "batch c"]
    ) -> Float[Tensor, "batch w"]:
        """Return one style vector per item, without truncation."""
        parts = (z.float(), self.embed(condition.float()))
        x = torch.cat([rms_normalize(part, self.floor) for part in parts], dim=1)
        for i in range(self.depth):
            x = leaky(self.get_submodule(f"fc{i}")(x))
        return x


class StyledConv(nn.Module):
    """Modulated 3x3 convolution with demodulation, bias, noise and leaky ReLU."""

    def __init__(
        self, channels: tuple[int, int], config: BlockConfig, *, size: int, up: bool
    ) -> None:
        """Create the layer.

        Args:
            channels: input and output channels.
            config: what all blocks share.
            size: height and width of the output.
            up: whether the output has twice the size of the input.
        """
        super().__init__()
        inputs, outputs = channels
        self.affine = Linear(config.w_dim, inputs, bias=1.0)
        self.weight = nn.Parameter(torch.randn(outputs, inputs, 3, 3))
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.clamp = config.clamp
        self.up = config.upsampling if up else None
        owned = config.noise != "absent"
        self.adds_noise = config.noise == "added"
        self.noise_strength = nn.Parameter(torch.zeros(())) if owned else None
        self.noise_const: Tensor | None
        self.register_buffer("noise_const", torch.randn(size, size) if owned else None)
        _register_filter(self, config)

    def forward(
        self,
        x: Float[Tensor, "batch inputs rows columns"],
        w: Float[Tensor, "batch w"],
        *,
        generator: torch.Generator | None = None,
    ) -> Float[Tensor, "batch outputs height width"]:
        """Apply the layer; noise is constant unless a generator is given."""
        dtype = x.dtype
        style = self.affine(w)
        energy = self.weight.square().sum(dim=(2, 3))
        demod = torch.rsqrt(style.square() @ energy.T + 1e-8) * _GAIN
        bias = (self.bias * _GAIN)[None, :, None, None]
        x = x * _channels(style, dtype)
        weight = self.weight.to(dtype)
        if self.up == "official":
            x = functional.conv_transpose2d(x, weight.transpose(0, 1), stride=2)
            x = _fir(x)
        else:
            x = functional.conv2d(x, weight, padding=1)
        x = torch.addcmul(bias.to(dtype), x, _channels(demod, dtype))
        if self.up == "bilinear":
            x = _double(x)
        noise = self._noise(x, generator)
        if noise is not None:
            x = x + noise.to(dtype)
        x = functional.leaky_relu_(x, _SLOPE)
        return x if self.clamp is None else x.clamp(-self.clamp, self.clamp)

    def _noise(self, x: Tensor, generator: torch.Generator | None) -> Tensor | None:
        noise, strength = self.noise_const, self.noise_strength
        if not self.adds_noise or noise is None or strength is None:
            return None
        if generator is not None:
            shape = (x.shape[0], 1, *x.shape[2:])
            noise = torch.randn(shape, generator=generator).to(x.device)
        return noise * (strength * _GAIN)


class ToRGB(nn.Module):
    """Modulated 1x1 convolution to the picture, linear."""

    def __init__(self, inputs: int, config: BlockConfig) -> None:
        super().__init__()
        self.affine = Linear(config.w_dim, inputs, bias=1.0)
        self.weight = nn.Parameter(torch.randn(config.rgb_channels, inputs, 1, 1))
        self.bias = nn.Parameter(torch.zeros(config.rgb_channels))
        self.clamp = config.clamp

    def forward(
        self,
        x: Float[Tensor, "batch inputs height width"],
        w: Float[Tensor, "batch w"],
    ) -> Float[Tensor, "batch rgb height width"]:
        """Return the picture, by one matrix product per item."""
        style = self.affine(w) / math.sqrt(self.weight.shape[1])
        weight = (self.weight[:, :, 0, 0] * style[:, None]).transpose(1, 2)
        pixels = x.permute(0, 2, 3, 1).flatten(1, 2)
        bias = self.bias.to(x.dtype)[None, None]
        rgb = torch.baddbmm(bias, pixels, weight.to(x.dtype))
        rgb = rgb.unflatten(1, x.shape[2:]).permute(0, 3, 1, 2)
        return rgb if self.clamp is None else rgb.clamp(-self.clamp, self.clamp)


class FirstBlock(nn.Module):
    """The block that starts from a learned constant."""

    def __init__(self, channels: int, config: BlockConfig, *, size: int = 4) -> None:
        super().__init__()
        self.const = nn.Parameter(torch.randn(channels, size, size))
        pair = (channels, channels)
        self.conv1 = StyledConv(pair, config, size=size, up=False)
        self.torgb = ToRGB(channels, config)
        _register_filter(self, config)

    def forward(
        self,
        w: Float[Tensor, "batch 2 w"],
        dtype: torch.dtype,
        *,
        generator: torch.Generator | None = None,
    ) -> tuple[Float[Tensor, "batch c h w2"], Float[Tensor, "batch rgb h w2"]]:
        """Return features and picture; the body runs in ``dtype``."""
        x = self.const.to(dtype).expand(w.shape[0], -1, -1, -1)
        x = x.contiguous(memory_format=torch.channels_last)
        x = self.conv1(x, w[:, 0], generator=generator)
        return x, self.torgb(x, w[:, 1])


class SynthesisBlock(nn.Module):
    """Two styled convolutions whose picture is added to that of the block before."""

    def __init__(
        self, channels: tuple[int, int], config: BlockConfig, *, size: int, up: bool
    ) -> None:
        """Create the block.

        Args:
            channels: input and output channels.
            config: what all blocks share.
            size: height and width of the output.
            up: whether the output has twice the size of the input.
        """
        super().__init__()
        outputs = channels[1]
        self.conv0 = StyledConv(channels, config, size=size, up=up)
        self.conv1 = StyledConv((outputs, outputs), config, size=size, up=False)
        self.torgb = ToRGB(outputs, config)
        self.up = config.upsampling if up else None
        _register_filter(self, config)

    def forward(
        self,
        x: Float[Tensor, "batch c rows columns"],
        picture: Float[Tensor, "batch rgb rows columns"],
        w: Float[Tensor, "batch 3 w"],
        *,
        generator: torch.Generator | None = None,
    ) -> tuple[Float[Tensor, "batch c2 h w2"], Float[Tensor, "batch rgb h w2"]]:
        """Return features and picture at this block's size."""
        x = self.conv0(x, w[:, 0], generator=generator)
        x = self.conv1(x, w[:, 1], generator=generator)
        if self.up == "official":
            picture = fir_upsample(picture)
        elif self.up == "bilinear":
            picture = _double(picture)
        return x, picture + self.torgb(x, w[:, 2])


def fir_upsample(
    x: Float[Tensor, "batch c rows columns"],
) -> Float[Tensor, "batch c height width"]:
    """Double the size with the FIR [1, 3, 3, 1] and zeros outside.

    Inside the picture this is bilinear interpolation; the rim is made equal by
    interpolating a picture with a border of zeros and dropping the border.
    """
    return _double(functional.pad(x, (1, 1, 1, 1)))[:, :, 2:-2, 2:-2]


def channels_last(
    x: Float[Tensor, "batch c height width"],
) -> Float[Tensor, "batch c height width"]:
    """Return a picture in channels-last memory, known as such by every operation.

    The stride of a batch of one means nothing, sums leave an odd one there, and then
    interpolation takes the picture for one of another layout and rearranges it.
    """
    pixels = x.permute(0, 2, 3, 1)
    return pixels.flatten().view(pixels.shape).permute(0, 3, 1, 2)


def _double(x: Tensor) -> Tensor:
    return functional.interpolate(channels_last(x), scale_factor=2, mode="bilinear")


def _fir(x: Tensor) -> Tensor:
    """Smooth the result of a transposed convolution, 2r+1 pixels to 2r, gain 4."""
    taps = 2 * torch.tensor(_TAPS, dtype=x.dtype, device=x.device)
    channels = x.shape[1]
    vertical = taps.view(1, 1, 4, 1).expand(channels, 1, 4, 1)
    horizontal = taps.view(1, 1, 1, 4).expand(channels, 1, 1, 4)
    x = functional.conv2d(x, vertical, padding=(1, 0), groups=channels)
    return functional.conv2d(x, horizontal, padding=(0, 1), groups=channels)


def _channels(factor: Tensor, dtype: torch.dtype) -> Tensor:
    return factor.to(dtype)[:, :, None, None]


def _register_filter(module: nn.Module, config: BlockConfig) -> None:
    """Give official modules the constant they store in their checkpoints."""
    if config.upsampling == "official":
        taps = torch.tensor(_TAPS)
        module.register_buffer("resample_filter", torch.outer(taps, taps))
