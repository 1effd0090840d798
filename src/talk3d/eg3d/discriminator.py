"""The dual discriminator: judges a picture together with its raw rendering.

Comes in: the picture, the raw picture it was refined from, the camera label. Goes
out: one logit an item, high for real. EG3D section 9 (Chan et al. 2022, section 4.3).
Seeing both keeps the super-resolution true to the volume; knowing the camera keeps
the volume true to the pose. Module names follow the published EG3D checkpoints.
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from talk3d.eg3d.stylegan2 import Linear, body_dtype, leaky, rms_normalize

__all__ = ["Discriminator", "DiscriminatorConfig"]

_SLOPE = 0.2
_HALF = math.sqrt(0.5)
_GROUP = 4


@dataclass(frozen=True)
class DiscriminatorConfig:
    """Sizes of a discriminator."""

    image_size: int = 256
    """Pixels per side of the picture, a power of two."""
    picture_channels: int = 4
    """Channels of the picture and of the raw picture."""
    condition_dim: int = 25
    """Length of the condition: the camera label."""
    width_base: int = 8192
    """Channels at a size are width_base // size, at most width_max."""
    width_max: int = 256
    """Bound on the channels, also the length of the embedded condition."""
    mapping_depth: int = 8
    """Layers that embed the condition."""
    clamp: float | None = 256.0
    """Bound of activations; none for no bound."""

    def __post_init__(self) -> None:
        """Check the ranges."""
        if self.image_size < 8 or self.image_size & (self.image_size - 1):
            message = f"image_size is {self.image_size}: give a power of two from 8 up"
            raise ValueError(message)

    @classmethod
    def tiny(cls) -> "DiscriminatorConfig":
        """Return the sizes for tests."""
        return cls(image_size=32, width_base=256, width_max=16, mapping_depth=2)

    @classmethod
    def ffhq512(cls) -> "DiscriminatorConfig":
        """Return the sizes of the published discriminator for 512 pixels."""
        return cls(image_size=512, picture_channels=3, width_base=32768, width_max=512)

    def width(self, size: int) -> int:
        """Return the channels at a size."""
        return min(self.width_base // size, self.width_max)


class Discriminator(nn.Module):
    """Residual blocks from the picture's size down to 4 x 4, then one number."""

    def __init__(self, config: DiscriminatorConfig) -> None:
        super().__init__()
        self.config = config
        size, inputs = config.image_size, 2 * config.picture_channels
        self.names = []
        while size > 4:
            self.names.append(f"b{size}")
            widths = (config.width(size), config.width(size // 2))
            block = _Block(widths, config.clamp, picture=inputs)
            self.add_module(self.names[-1], block)
            size, inputs = size // 2, 0
        features = config.width_max
        self.b4 = _Epilogue(config.width(4), features, config.clamp)
        self.mapping = _Embedding(
            config.condition_dim, features, depth=config.mapping_depth
        )
        _register_filter(self)

    def forward(
        self,
        picture: Float[Tensor, "batch c size size"],
        raw: Float[Tensor, "batch c raw_size raw_size"],
        condition: Float[Tensor, "batch condition"],
    ) -> Float[Tensor, " batch"]:
        """Return the logits.

        Args:
            picture: -1 to 1, of the configuration's size.
            raw: the low-resolution picture, resized here.
            condition: camera labels.

        Raises:
            ValueError: if the picture has another size than the configuration.
        """
        size = self.config.image_size
        if picture.shape[-1] != size:
            message = (
                f"the picture has {picture.shape[-1]} pixels per side, this"
                f" discriminator judges {size}: resize it"
            )
            raise ValueError(message)
        dtype = body_dtype(picture)
        with torch.autocast(picture.device.type, enabled=False):
            raw = functional.interpolate(
                raw.float(), (size, size), mode="bilinear", antialias=True
            )
            x = torch.cat([picture.float(), raw], dim=1)
            x = x.to(dtype, memory_format=torch.channels_last)
            for name in self.names:
                x = self.get_submodule(name)(x)
            judged = self.b4(x.float())
            wanted = self.mapping(condition.float())
        return (judged * wanted).sum(dim=1) / math.sqrt(judged.shape[1])


class _Conv(nn.Module):
    """Convolution with equalised learning rate, leaky ReLU and clamp."""

    def __init__(
        self,
        channels: tuple[int, int],
        clamp: float | None,
        *,
        kernel: int,
        down: bool = False,
        linear: bool = False,
        gain: float = 1.0,
    ) -> None:
        super().__init__()
        inputs, outputs = channels
        self.weight = nn.Parameter(torch.randn(outputs, inputs, kernel, kernel))
        self.bias = None if linear else nn.Parameter(torch.zeros(outputs))
        self.down, self.gain, self.clamp = down, gain, clamp
        _register_filter(self)

    def forward(
        self, x: Float[Tensor, "batch inputs height width"]
    ) -> Float[Tensor, "batch outputs rows columns"]:
        scale = 1 / math.sqrt(self.weight[0].numel())
        weight = (self.weight * scale).to(x.dtype)
        bias = None if self.bias is None else self.bias.to(x.dtype)
        kernel = weight.shape[-1]
        if self.down and kernel == 1:
            x = functional.conv2d(_smooth(x, padding=1, stride=2), weight, bias)
        elif self.down:
            x = _smooth(x, padding=2, stride=1)
            x = functional.conv2d(x, weight, bias, stride=2)
        else:
            x = functional.conv2d(x, weight, bias, padding=kernel // 2)
        if self.bias is None:
            return x * self.gain
        x = functional.leaky_relu(x, _SLOPE) * (math.sqrt(2) * self.gain)
        if self.clamp is None:
            return x
        return x.clamp(-self.clamp * self.gain, self.clamp * self.gain)


class _Block(nn.Module):
    """Residual block that halves the size; the first one takes the picture."""

    def __init__(
        self, widths: tuple[int, int], clamp: float | None, *, picture: int
    ) -> None:
        super().__init__()
        inside = (widths[0], widths[0])
        self.fromrgb = _Conv((picture, widths[0]), clamp, kernel=1) if picture else None
        self.conv0 = _Conv(inside, clamp, kernel=3)
        self.conv1 = _Conv(widths, clamp, kernel=3, down=True, gain=_HALF)
        self.skip = _Conv(widths, None, kernel=1, down=True, linear=True, gain=_HALF)
        _register_filter(self)

    def forward(
        self, x: Float[Tensor, "batch inputs height width"]
    ) -> Float[Tensor, "batch outputs rows columns"]:
        if self.fromrgb is not None:
            x = self.fromrgb(x)
        return self.skip(x) + self.conv1(self.conv0(x))


class _Epilogue(nn.Module):
    """Spread within the batch, a convolution and two layers, at 4 x 4."""

    def __init__(self, channels: int, features: int, clamp: float | None) -> None:
        super().__init__()
        self.conv = _Conv((channels + 1, channels), clamp, kernel=3)
        self.fc = Linear(16 * channels, channels)
        self.out = Linear(channels, features)

    def forward(
        self, x: Float[Tensor, "batch inputs 4 4"]
    ) -> Float[Tensor, "batch features"]:
        x = torch.cat([x, _spread(x).expand(-1, 1, 4, 4)], dim=1)
        return self.out(leaky(self.fc(self.conv(x).flatten(1))))


class _Embedding(nn.Module):
    """Condition to the direction a real picture's features should have."""

    def __init__(self, inputs: int, features: int, *, depth: int) -> None:
        super().__init__()
        self.embed = Linear(inputs, features)
        self.depth = depth
        for i in range(depth):
            self.add_module(f"fc{i}", Linear(features, features, rate=0.01))

    def forward(
        self, condition: Float[Tensor, "batch c"]
    ) -> Float[Tensor, "batch features"]:
        x = rms_normalize(self.embed(condition))
        for i in range(self.depth):
            x = leaky(self.get_submodule(f"fc{i}")(x))
        return x


def _spread(
    x: Float[Tensor, "batch c height width"],
) -> Float[Tensor, "batch 1 1 1"]:
    """Return each item's minibatch standard deviation, one number per group.

    Groups have up to four items; item i of n belongs to group i modulo the number of
    groups.
    """
    count = x.shape[0]
    group = max(g for g in range(1, _GROUP + 1) if count % g == 0)
    grouped = x.unflatten(0, (group, count // group))
    deviation = (grouped.var(dim=0, correction=0) + 1e-8).sqrt()
    return deviation.mean(dim=(1, 2, 3)).repeat(group)[:, None, None, None]


def _smooth(x: Tensor, *, padding: int, stride: int) -> Tensor:
    """Apply the FIR [1, 3, 3, 1], sum 1, after padding; keep every ``stride``-th."""
    taps = torch.tensor([0.125, 0.375, 0.375, 0.125], dtype=x.dtype, device=x.device)
    channels = x.shape[1]
    vertical = taps.view(1, 1, 4, 1).expand(channels, 1, 4, 1)
    horizontal = taps.view(1, 1, 1, 4).expand(channels, 1, 1, 4)
    x = functional.conv2d(
        x, vertical, padding=(padding, 0), stride=(stride, 1), groups=channels
    )
    return functional.conv2d(
        x, horizontal, padding=(0, padding), stride=(1, stride), groups=channels
    )


def _register_filter(module: nn.Module) -> None:
    """Give a module the constant that published checkpoints store."""
    taps = torch.tensor([0.125, 0.375, 0.375, 0.125])
    module.register_buffer("resample_filter", torch.outer(taps, taps))
