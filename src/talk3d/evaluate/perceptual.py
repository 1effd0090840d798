"""Compare two pictures by a network whose weights the user supplies: LPIPS.

No weights are shipped and none are fetched: what is absent raises with its name, and an
evaluation then says "not computed". Nothing is put in its place.

| function         | range      | better | source                           |
|------------------|------------|--------|----------------------------------|
| `Lpips.distance` | 0..about 1 | lower  | Zhang et al. 2018, AlexNet, v0.1 |
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from talk3d.evaluate.metrics import Picture
from talk3d.evaluate.weights import named, read_weights

__all__ = ["Lpips", "load_lpips"]

_LAYERS = ((3, 64, 11, 4, 2), (64, 192, 5, 1, 2), (192, 384, 3, 1, 1),
           (384, 256, 3, 1, 1), (256, 256, 3, 1, 1))  # fmt: skip
"""Channels in and out, kernel, stride and padding of AlexNet's convolutions."""
_POOLED_BEFORE = (1, 2)
_PLACES = (0, 3, 6, 8, 10)
"""Numbers of the convolutions in the published file."""
_SHIFT, _SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)
_SMALLEST = 64
_FLOOR = 1e-10


class Lpips(nn.Module):
    """The learned perceptual distance with AlexNet features."""

    def __init__(self) -> None:
        super().__init__()
        self.convolutions = nn.ModuleList(
            nn.Conv2d(inner, outer, size, stride=stride, padding=padding)
            for inner, outer, size, stride, padding in _LAYERS
        )
        self.weights = nn.ParameterList(
            torch.zeros(outer) for _, outer, _, _, _ in _LAYERS
        )
        self.register_buffer("shift", torch.tensor(_SHIFT)[:, None, None])
        self.register_buffer("scale", torch.tensor(_SCALE)[:, None, None])

    def forward(
        self, first: Float[Tensor, "batch 3 h w"], second: Float[Tensor, "batch 3 h w"]
    ) -> Float[Tensor, " batch"]:
        """Return distances of pictures from -1 to 1.

        Features of each layer are scaled to unit length per pixel; squared differences
        are weighted by channel and averaged over pixels; layers are summed (eq. 1).
        """
        total = torch.zeros(len(first))
        pairs = zip(self._features(first), self._features(second), strict=True)
        for weight, (one, other) in zip(self.weights, pairs, strict=True):
            off = (_unit(one) - _unit(other)).square()
            total = total + torch.einsum("bchw,c->bhw", off, weight).mean((1, 2))
        return total

    @torch.inference_mode()
    def distance(self, result: Picture, truth: Picture) -> float:
        """Compare two pictures of sRGB codes in [0, 1].

        Raises:
            ValueError: They are smaller than 64 pixels.
        """
        if min(truth.shape[:2]) < _SMALLEST:
            raise ValueError(
                f"The picture is {truth.shape[1]} x {truth.shape[0]} pixels; LPIPS "
                f"needs at least {_SMALLEST} on each side: render it larger."
            )
        pair = [
            torch.from_numpy(np.ascontiguousarray(picture.transpose(2, 0, 1)))[None]
            for picture in (result, truth)
        ]
        first, second = (2 * picture.float() - 1 for picture in pair)
        return float(self(first, second))

    def _features(self, picture: Tensor) -> list[Tensor]:
        found = []
        value = (picture - self.get_buffer("shift")) / self.get_buffer("scale")
        for number, convolution in enumerate(self.convolutions):
            if number in _POOLED_BEFORE:
                value = nn.functional.max_pool2d(value, 3, stride=2)
            value = convolution(value).relu()
            found.append(value)
        return found


def load_lpips(alexnet: Path, linear: Path) -> Lpips:
    """Build LPIPS from the user's weights.

    Args:
        alexnet: AlexNet's published state dict (``features.0.weight`` ...), as
            ``.safetensors`` or ``.pth``.
        linear: LPIPS v0.1's weights for it (``lin0.model.1.weight`` ...).

    Raises:
        FileNotFoundError: A file is absent.
        ValueError: It holds something else.
    """
    network, lines = read_weights(alexnet), read_weights(linear)
    state: dict[str, Tensor] = {}
    for number, place in enumerate(_PLACES):
        for part in ("weight", "bias"):
            name = f"features.{place}.{part}"
            state[f"convolutions.{number}.{part}"] = named(network, name, alexnet)
        line = named(lines, f"lin{number}.model.1.weight", linear)
        state[f"weights.{number}"] = line.flatten()
    model = Lpips()
    try:
        model.load_state_dict(state, strict=False)
    except RuntimeError as error:
        raise ValueError(
            f"The weights in {alexnet} and {linear} have other shapes than AlexNet's: "
            "give the published files."
        ) from error
    return model.eval().requires_grad_(requires_grad=False)


def _unit(value: Tensor) -> Tensor:
    return value / (value.square().sum(1, keepdim=True).sqrt() + _FLOOR)
