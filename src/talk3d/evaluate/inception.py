"""Describe pictures by the Inception network that FID and KID are defined with.

In: pictures, sRGB codes in [0, 1]. Out: 2048 numbers each, the means over the last
layer ("pool3"). No weights are shipped and none are fetched: the user names a file,
``pt_inception-2015-12-05-6726825d.pth`` or the same tensors as ``.safetensors``.

The network is Inception-v3 (Szegedy et al. 2016, table 1) as it was trained in December
2015 (1008 classes), which differs from later copies: average pools leave the padding
out of the mean, and the last block pools by maximum. Pictures are resized to 299 x 299
(bilinear, pixel centres at half-integers, no smoothing when shrinking) and scaled to
[-1, 1], as the widely used PyTorch port does it; other resizing changes the numbers
(Parmar et al. 2022).

Batch norms (epsilon 0.001) are folded into their convolutions.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, interpolate, max_pool2d

from talk3d.evaluate.metrics import Picture
from talk3d.evaluate.weights import named, read_weights

__all__ = ["FEATURES", "Inception", "load_inception", "published_shapes"]

FEATURES = 2048
"""Numbers per picture."""

_SIDE = 299
_EPSILON = 1e-3
_CLASSES = 1008
_NORM = ("weight", "bias", "running_mean", "running_var")
_SHORT, _LONG = (1, 7), (7, 1)

Values = Float[Tensor, "batch _ _ _"]


@dataclass(frozen=True)
class _Layer:
    """A convolution, its batch norm and ReLU."""

    name: str
    """Within its block, as the published file has it."""
    channels: int
    """Out."""
    kernel: tuple[int, int] = (1, 1)
    """Height and width."""
    stride: int = 1
    """2 halves the picture."""
    padded: bool = True
    """Whether the picture keeps its size (if the stride is 1)."""

    @property
    def padding(self) -> tuple[int, int]:
        """Pixels added above and below, left and right."""
        high, wide = self.kernel
        return (high // 2, wide // 2) if self.padded else (0, 0)


@dataclass(frozen=True)
class _Branch:
    """One way through a block: pool, then layers, then layers side by side."""

    layers: tuple[_Layer, ...] = ()
    ends: tuple[_Layer, ...] = ()
    """Fed alike by the last of `layers`, joined by channel."""
    pool: str = ""
    """`mean` or `max` over 3 x 3; `halve`: the maximum at every second pixel."""


def _chain(prefix: str, *steps: tuple[int, int, int]) -> tuple[_Layer, ...]:
    """Name layers prefix_1, prefix_2 ... of (channels, height, width)."""
    return tuple(
        _Layer(f"{prefix}_{number}", channels, (high, wide))
        for number, (channels, high, wide) in enumerate(steps, start=1)
    )


def _halving(name: str, channels: int) -> _Layer:
    return _Layer(name, channels, (3, 3), stride=2, padded=False)


def _wide(pooled: int) -> tuple[_Branch, ...]:
    """Return the branches of blocks at 35 x 35."""
    return (
        _Branch((_Layer("branch1x1", 64),)),
        _Branch(_chain("branch5x5", (48, 1, 1), (64, 5, 5))),
        _Branch(_chain("branch3x3dbl", (64, 1, 1), (96, 3, 3), (96, 3, 3))),
        _Branch((_Layer("branch_pool", pooled),), pool="mean"),
    )


def _middle(inner: int) -> tuple[_Branch, ...]:
    """Return the branches of blocks at 17 x 17, 7 x 7 split in rows and columns."""
    row, column = (inner, *_SHORT), (inner, *_LONG)
    return (
        _Branch((_Layer("branch1x1", 192),)),
        _Branch(_chain("branch7x7", (inner, 1, 1), row, (192, *_LONG))),
        _Branch(
            _chain("branch7x7dbl", (inner, 1, 1), column, row, column, (192, *_SHORT))
        ),
        _Branch((_Layer("branch_pool", 192),), pool="mean"),
    )


def _small(pool: str) -> tuple[_Branch, ...]:
    """Return the branches of blocks at 8 x 8."""

    def ends(prefix: str) -> tuple[_Layer, ...]:
        return (_Layer(prefix + "a", 384, (1, 3)), _Layer(prefix + "b", 384, (3, 1)))

    return (
        _Branch((_Layer("branch1x1", 320),)),
        _Branch(_chain("branch3x3", (384, 1, 1)), ends=ends("branch3x3_2")),
        _Branch(
            _chain("branch3x3dbl", (448, 1, 1), (384, 3, 3)), ends("branch3x3dbl_3")
        ),
        _Branch((_Layer("branch_pool", 192),), pool=pool),
    )


_STEM = _Branch((_halving("Conv2d_1a_3x3", 32),
                 _Layer("Conv2d_2a_3x3", 32, (3, 3), padded=False),
                 _Layer("Conv2d_2b_3x3", 64, (3, 3))))  # fmt: skip
_STEM_END = _Branch(
    (
        _Layer("Conv2d_3b_1x1", 80),
        _Layer("Conv2d_4a_3x3", 192, (3, 3), padded=False),
    ),
    pool="halve",
)
_TO_MIDDLE = (
    _Branch((_halving("branch3x3", 384),)),
    _Branch(
        (*_chain("branch3x3dbl", (64, 1, 1), (96, 3, 3)),
         _halving("branch3x3dbl_3", 96))
    ),
    _Branch(pool="halve"),
)  # fmt: skip
_TO_SMALL = (
    _Branch((*_chain("branch3x3", (192, 1, 1)), _halving("branch3x3_2", 320))),
    _Branch(
        (*_chain("branch7x7x3", (192, 1, 1), (192, *_SHORT), (192, *_LONG)),
         _halving("branch7x7x3_4", 192))
    ),
    _Branch(pool="halve"),
)  # fmt: skip
_BLOCKS: tuple[tuple[str, tuple[_Branch, ...]], ...] = (
    ("", (_STEM,)),
    ("", (_STEM_END,)),
    ("", (_Branch(pool="halve"),)),
    *(
        (f"Mixed_5{letter}.", _wide(pooled))
        for letter, pooled in (("b", 32), ("c", 64), ("d", 64))
    ),
    ("Mixed_6a.", _TO_MIDDLE),
    *(
        (f"Mixed_6{letter}.", _middle(inner))
        for letter, inner in (("b", 128), ("c", 160), ("d", 160), ("e", 192))
    ),
    ("Mixed_7a.", _TO_SMALL),
    ("Mixed_7b.", _small("mean")),
    ("Mixed_7c.", _small("max")),
)
"""Prefix of the names, and branches whose results are joined by channel."""


class Inception(nn.Module):
    """The network up to its pooled features."""

    def __init__(self) -> None:
        super().__init__()
        self.convolutions = nn.ModuleDict(
            {
                _key(name): nn.Conv2d(
                    inner,
                    layer.channels,
                    layer.kernel,
                    stride=layer.stride,
                    padding=layer.padding,
                )
                for name, inner, layer in _layers()
            }
        )

    def forward(
        self, pictures: Float[Tensor, "batch 3 h w"]
    ) -> Float[Tensor, "batch 2048"]:
        """Return the features of pictures of sRGB codes in [0, 1], of any size."""
        values = interpolate(pictures, (_SIDE, _SIDE), mode="bilinear")
        values = 2 * values - 1
        for prefix, branches in _BLOCKS:
            values = torch.cat(
                [part for one in branches for part in self._walk(one, prefix, values)],
                dim=1,
            )
        return values.mean(dim=(2, 3))

    @torch.inference_mode()
    def features(
        self, pictures: Iterator[Picture] | Sequence[Picture], *, batch: int = 8
    ) -> Float[np.ndarray, "pictures 2048"]:
        """Return the features of pictures of sRGB codes in [0, 1], a row each.

        Args:
            pictures: All of one size.
            batch: How many are run at once.
        """
        found: list[Tensor] = []
        waiting: list[Tensor] = []
        for picture in pictures:
            waiting.append(torch.from_numpy(picture.transpose(2, 0, 1).copy()))
            if len(waiting) == batch:
                found.append(self(torch.stack(waiting)))
                waiting = []
        if waiting:
            found.append(self(torch.stack(waiting)))
        return torch.cat(found).numpy() if found else np.zeros((0, FEATURES), "float32")

    def _walk(self, branch: _Branch, prefix: str, values: Values) -> list[Values]:
        """Run one branch."""
        if branch.pool == "halve":
            values = max_pool2d(values, 3, stride=2)
        elif branch.pool == "max":
            values = max_pool2d(values, 3, stride=1, padding=1)
        elif branch.pool == "mean":
            values = avg_pool2d(values, 3, 1, padding=1, count_include_pad=False)
        for layer in branch.layers:
            values = self._convolve(prefix + layer.name, values)
        if branch.ends:
            return [self._convolve(prefix + end.name, values) for end in branch.ends]
        return [values]

    def _convolve(self, name: str, values: Values) -> Values:
        return self.convolutions[_key(name)](values).relu()


def published_shapes() -> dict[str, tuple[int, ...]]:
    """Return name and shape of every tensor that the file must hold.

    The classes are not used; their number tells this network from later ones, whose
    tensors have the same names.
    """
    shapes: dict[str, tuple[int, ...]] = {}
    for name, inner, layer in _layers():
        shapes[f"{name}.conv.weight"] = (layer.channels, inner, *layer.kernel)
        for part in _NORM:
            shapes[f"{name}.bn.{part}"] = (layer.channels,)
    return shapes | {"fc.weight": (_CLASSES, FEATURES)}


def load_inception(path: Path) -> Inception:
    """Build the network from the user's weights.

    Args:
        path: ``pt_inception-2015-12-05-6726825d.pth``, or its tensors under the same
            names as ``.safetensors``.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It holds something else.
    """
    state = read_weights(path)
    for name, shape in published_shapes().items():
        found = tuple(named(state, name, path).shape)
        if found != shape:
            raise ValueError(
                f"{path} has {name} of shape {found}, not {shape}: FID and KID are "
                "defined with pt_inception-2015-12-05; give that file."
            )
    model = Inception()
    folded: dict[str, Tensor] = {}
    for name, _, _ in _layers():
        weight = state[f"{name}.conv.weight"].double()
        gain, bias, mean, power = (state[f"{name}.bn.{p}"].double() for p in _NORM)
        gain = gain / (power + _EPSILON).sqrt()
        folded[f"convolutions.{_key(name)}.weight"] = weight * gain[:, None, None, None]
        folded[f"convolutions.{_key(name)}.bias"] = bias - mean * gain
    model.load_state_dict(folded)
    return model.eval().requires_grad_(requires_grad=False)


def _layers() -> Iterator[tuple[str, int, _Layer]]:
    """Go through all layers: full name, channels in, layer."""
    channels = 3
    for prefix, branches in _BLOCKS:
        joined = 0
        for branch in branches:
            inner = channels
            for layer in branch.layers:
                yield prefix + layer.name, inner, layer
                inner = layer.channels
            for end in branch.ends:
                yield prefix + end.name, inner, end
            joined += sum(end.channels for end in branch.ends) or inner
        channels = joined


def _key(name: str) -> str:
    """Name a submodule; torch forbids points."""
    return name.replace(".", "/")
