"""Compare pictures by networks whose weights the user supplies: LPIPS, FID, KID.

No weights are shipped and none are fetched: what is absent raises with its name, and an
evaluation then says "not computed". Nothing is put in its place.

| function            | range     | better | source                               |
|---------------------|-----------|--------|--------------------------------------|
| `Lpips.distance`    | 0..about 1| lower  | Zhang et al. 2018, AlexNet, v0.1     |
| `frechet_distance`  | 0..inf    | lower  | Heusel et al. 2017, eq. 6            |
| `kernel_distance`   | about 0.. | lower  | Bińkowski et al. 2018, unbiased MMD² |

FID and KID compare sets of *features*, whatever network the caller ran; published
numbers use the pool layer of an Inception network, 2048 wide, and thousands of
pictures.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import scipy.linalg
import torch
from jaxtyping import Float
from safetensors.torch import load_file
from torch import Tensor, nn

from talk3d.evaluate.metrics import Picture

__all__ = ["Lpips", "frechet_distance", "kernel_distance", "load_lpips"]

_LAYERS = ((3, 64, 11, 4, 2), (64, 192, 5, 1, 2), (192, 384, 3, 1, 1),
           (384, 256, 3, 1, 1), (256, 256, 3, 1, 1))  # fmt: skip
"""Channels in and out, kernel, stride and padding of AlexNet's convolutions."""
_POOLED_BEFORE = (1, 2)
_PLACES = (0, 3, 6, 8, 10)
"""Numbers of the convolutions in the published file."""
_SHIFT, _SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)
_SMALLEST = 64
_FLOOR = 1e-10

Features = Float[np.ndarray, "_ _"]
"""A row per picture."""


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
    network, lines = _read(alexnet), _read(linear)
    state: dict[str, Tensor] = {}
    for number, place in enumerate(_PLACES):
        for part in ("weight", "bias"):
            name = f"features.{place}.{part}"
            state[f"convolutions.{number}.{part}"] = _named(network, name, alexnet)
        line = _named(lines, f"lin{number}.model.1.weight", linear)
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


def frechet_distance(result: Features, truth: Features) -> float:
    """Compute FID of two sets of features: |m - n|² + tr(S + T - 2 (S T)^½).

    Raises:
        ValueError: A set has fewer than two pictures, or the widths differ.
    """
    _check(result, truth)
    off = result.mean(0) - truth.mean(0)
    own, other = (np.atleast_2d(np.cov(x, rowvar=False)) for x in (result, truth))
    # The trace of the root is the sum of the roots of the product's eigenvalues.
    values = np.real(np.asarray(scipy.linalg.eigvals(own @ other)))
    root = np.sqrt(np.clip(values, 0, None)).sum()
    distance = off @ off + np.trace(own) + np.trace(other) - 2 * root
    return float(max(distance, 0.0))


def kernel_distance(result: Features, truth: Features) -> float:
    """Compute KID: the unbiased squared MMD with the kernel (x·y / d + 1)³.

    Over all pictures at once; near 0 it may be negative.

    Raises:
        ValueError: A set has fewer than two pictures, or the widths differ.
    """
    _check(result, truth)

    def kernel(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return (a.astype(np.float64) @ b.T.astype(np.float64) / a.shape[1] + 1) ** 3

    own, other, cross = (
        kernel(result, result), kernel(truth, truth), kernel(result, truth)
    )  # fmt: skip
    within = [
        (part.sum() - np.trace(part)) / (len(part) * (len(part) - 1))
        for part in (own, other)
    ]
    return float(within[0] + within[1] - 2 * cross.mean())


def _unit(value: Tensor) -> Tensor:
    return value / (value.square().sum(1, keepdim=True).sqrt() + _FLOOR)


def _read(path: Path) -> Mapping[str, Tensor]:
    if not path.is_file():
        raise FileNotFoundError(f"no weights at {path}: give the published file")
    if path.suffix == ".safetensors":
        return load_file(path)
    return torch.load(path, map_location="cpu", weights_only=True)


def _named(state: Mapping[str, Tensor], name: str, path: Path) -> Tensor:
    if name not in state:
        raise ValueError(f"{path} lacks {name}: give the published file.")
    return state[name].float()


def _check(result: Features, truth: Features) -> None:
    if min(len(result), len(truth)) < 2 or result.shape[1] != truth.shape[1]:
        raise ValueError(
            f"The sets are {result.shape} and {truth.shape}; give at least two "
            "pictures each, with features of the same network."
        )
