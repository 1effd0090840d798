"""Super-resolution: rendered features to the final picture, guided by the last ``w``.

Comes in: a feature image and the raw picture it shows. Goes out: the picture, -1 to 1
(not clamped). Two StyleGAN2 blocks, EG3D section 8.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from talk3d.eg3d.stylegan2 import BlockConfig, SynthesisBlock, Upsampling, body_dtype

__all__ = ["SuperResolution", "SuperResolutionConfig"]

_LEAST_ALPHA = 0.02
_MOST = 2048
"""Far above anything of use: a file must not ask for all the memory."""


@dataclass(frozen=True)
class SuperResolutionConfig:
    """Sizes of the super-resolution network."""

    input_size: int = 64
    """Pixels per side of the feature image the first block takes."""
    widths: tuple[int, int] = (96, 48)
    """Channels of the two blocks."""
    doublings: int = 2
    """How many of the blocks double the size: 2, or 1 for the second alone."""
    shrink: bool = True
    """Whether feature images above the input size are shrunk to it."""
    upsampling: Upsampling = "bilinear"
    """How the size is doubled; official layers own noise maps, never added."""
    clamp: float | None = None
    """Bound of activations; published networks have 256."""
    alpha: bool = True
    """Whether a fourth channel of the picture is the matte (1 person, -1 nothing)."""
    spare_filter: bool = False
    """Whether the checkpoint stores an unused filter at the top."""

    def __post_init__(self) -> None:
        """Check the ranges."""
        if self.doublings not in (1, 2):
            message = f"doublings is {self.doublings}: give 1 or 2"
            raise ValueError(message)
        if not 1 <= min(self.widths) <= max(self.widths) <= _MOST:
            message = f"widths is {self.widths}: give two numbers from 1 to {_MOST}"
            raise ValueError(message)
        if not 1 <= self.input_size <= _MOST:
            message = f"input_size is {self.input_size}: give 1 to {_MOST} pixels"
            raise ValueError(message)

    @property
    def image_size(self) -> int:
        """Pixels per side of the final picture."""
        return self.input_size * 2**self.doublings

    @property
    def picture_channels(self) -> int:
        """Channels of the picture: colour, and the matte if there is one."""
        return 4 if self.alpha else 3


class SuperResolution(nn.Module):
    """Two blocks from the feature image to the picture."""

    def __init__(
        self, config: SuperResolutionConfig, *, feature_channels: int, w_dim: int
    ) -> None:
        """Create the network.

        Args:
            config: sizes.
            feature_channels: channels of the feature image.
            w_dim: length of the style vectors.
        """
        super().__init__()
        self.config = config
        shared = BlockConfig(
            w_dim=w_dim,
            rgb_channels=config.picture_channels,
            upsampling=config.upsampling,
            noise="unused" if config.upsampling == "official" else "absent",
            clamp=config.clamp,
        )
        middle = config.image_size // 2
        first, second = config.widths
        self.block0 = SynthesisBlock(
            (feature_channels, first), shared, size=middle, up=config.doublings == 2
        )
        self.block1 = SynthesisBlock(
            (first, second), shared, size=config.image_size, up=True
        )
        if config.spare_filter:
            taps = torch.tensor([0.125, 0.375, 0.375, 0.125])
            self.register_buffer("resample_filter", torch.outer(taps, taps))

    def forward(
        self,
        features: Float[Tensor, "batch c rows columns"],
        raw: Float[Tensor, "batch picture rows columns"],
        w: Float[Tensor, "batch w"],
        *,
        patch: int | None = None,
    ) -> Float[Tensor, "batch picture height width"]:
        """Return the picture in float32.

        Args:
            features: rendered features.
            raw: the low-resolution picture to refine.
            w: style vector.
            patch: of a part of an image, as in training, the pixels per side that it
                has in a feature image of the input size. None: a whole image; its
                outline gets the raw colour.
        """
        dtype = body_dtype(features)
        size = patch or self.config.input_size
        features, raw = self._resized(features, size), self._resized(raw, size)
        with torch.autocast(features.device.type, enabled=False):
            picture = raw.float()
            x = features.to(dtype, memory_format=torch.channels_last)
            styles = w.float()[:, None].expand(-1, 3, -1)
            x, picture = self.block0(x, picture, styles)
            x, picture = self.block1(x, picture, styles)
        if patch is not None or not self.config.alpha:
            return picture
        return _outlined(picture, raw.float())

    def _resized(self, features: Tensor, wanted: int) -> Tensor:
        size = features.shape[-1]
        if size == wanted or (size > wanted and not self.config.shrink):
            return features
        return functional.interpolate(
            features, (wanted, wanted), mode="bilinear", antialias=True
        )


def _outlined(
    picture: Float[Tensor, "batch 4 height width"],
    raw: Float[Tensor, "batch 4 rows columns"],
) -> Float[Tensor, "batch 4 height width"]:
    """Give the outline the raw colour under the picture's matte.

    What the blocks add to colour is learned at the outlines of the training cameras and
    draws dark lines along those of others; what rays see there holds from every side.
    The outline is what lies less than a raw pixel inside.
    """
    size = (picture.shape[-2], picture.shape[-1])
    seen = functional.interpolate((raw + 1) / 2, size, mode="bilinear")
    straight = seen[:, :3] / seen[:, 3:].clamp(min=_LEAST_ALPHA)
    reach = size[0] // raw.shape[-2]
    outside = (1 - seen[:, 3:]).clamp(0, 1)
    outline = functional.max_pool2d(outside, 2 * reach + 1, stride=1, padding=reach)
    matte = (picture[:, 3:] + 1) / 2
    rim = 2 * straight.clamp(0, 1) * matte.clamp(0, 1) - 1
    colour = torch.lerp(picture[:, :3], rim, outline)
    return torch.cat([colour, picture[:, 3:]], dim=1)
