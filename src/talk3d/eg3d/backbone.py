"""The networks around the planes: synthesis of the planes and the point decoder.

Comes in: style vectors, plane features. Goes out: stacked planes, raw density and
features. Module names follow the published EG3D checkpoints.
"""

import functools
import itertools
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from talk3d.eg3d.stylegan2 import (
    BlockConfig,
    FirstBlock,
    Linear,
    Mapping,
    SynthesisBlock,
)

__all__ = ["Activation", "Backbone", "Decoder", "Synthesis"]

Activation = Literal["softplus", "leaky"]
_ACTIVATIONS = {
    "softplus": nn.Softplus,
    "leaky": functools.partial(nn.LeakyReLU, 0.2, inplace=True),
}


class Synthesis(nn.Module):
    """Style vectors to the stacked planes, doubling the size from 4 x 4 up.

    The last row of ``w`` of a block is the first of the next.
    """

    def __init__(self, widths: tuple[int, ...], config: BlockConfig) -> None:
        """Create the network.

        Args:
            widths: channels of the blocks, from 4 x 4 pixels up.
            config: what all blocks share.
        """
        super().__init__()
        self.b4 = FirstBlock(widths[0], config)
        self.names = []
        for level, channels in enumerate(itertools.pairwise(widths)):
            size = 8 * 2**level
            self.names.append(f"b{size}")
            block = SynthesisBlock(channels, config, size=size, up=True)
            self.add_module(self.names[-1], block)

    def forward(
        self,
        w: Float[Tensor, "batch layers w"],
        dtype: torch.dtype,
        *,
        generator: torch.Generator | None = None,
    ) -> Float[Tensor, "batch c height width"]:
        """Return the stacked planes; the body runs in ``dtype``."""
        x, picture = self.b4(w[:, :2], dtype, generator=generator)
        for level, name in enumerate(self.names):
            styles = w[:, 2 * level + 1 : 2 * level + 4]
            block = self.get_submodule(name)
            x, picture = block(x, picture, styles, generator=generator)
        return picture


class Backbone(nn.Module):
    """Mapping and synthesis under their published names."""

    def __init__(self, synthesis: Synthesis, mapping: Mapping) -> None:
        super().__init__()
        self.synthesis = synthesis
        self.mapping = mapping


class Decoder(nn.Module):
    """Mean plane feature to raw density and features."""

    def __init__(
        self, channels: int, hidden: int, *, rate: float, activation: Activation
    ) -> None:
        """Create the network.

        Args:
            channels: features of a plane, also of the output.
            hidden: hidden units.
            rate: learning-rate multiplier.
            activation: of the hidden units.
        """
        super().__init__()
        self.net = nn.Sequential(
            Linear(channels, hidden, rate=rate),
            _ACTIVATIONS[activation](),
            Linear(hidden, 1 + channels, rate=rate),
        )

    def forward(
        self, x: Float[Tensor, "batch n c"]
    ) -> tuple[Float[Tensor, "batch n"], Float[Tensor, "batch n c"]]:
        """Return raw density and features from -0.001 to 1.001, in float32."""
        x = self.net(x).float()
        return x[..., 0], torch.add(
            x.new_tensor(-0.001), torch.sigmoid(x[..., 1:]), alpha=1.002
        )

    def density(self, x: Float[Tensor, "batch n c"]) -> Float[Tensor, "batch n"]:
        """Return raw density alone, in float32."""
        hidden, activation, last = self.net
        return last(activation(hidden(x)), outputs=1)[..., 0].float()
