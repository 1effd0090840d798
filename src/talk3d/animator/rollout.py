"""Convolution of three planes, each knowing of the other two ("roll-out").

The planes pass through separate weights ("split convolution", one grouped convolution)
and lie side by side in the channels, ``b pc h w`` with ``p`` = 3 planes of ``c``
channels. What one plane learns of the others is their mean along the axis it does not
have.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from talk3d.eg3d.volume import PLANE_AXES, PlaneAxes

__all__ = ["PLANES", "ConvBlock", "PlaneGroupNorm", "RollOutConv"]

PLANES = 3


class _Link(NamedTuple):
    """One roll-out context: which profile of `source` lies along what of `target`."""

    source: int
    target: int
    source_rows: bool
    target_rows: bool


def _links(plane_axes: PlaneAxes) -> tuple[_Link, ...]:
    """Return the six roll-out contexts.

    A plane's profile runs along the axis that both planes have. Where they have both
    in common (the doubled plane of ``official``), it is the target's columns.
    """
    axes = PLANE_AXES[plane_axes]
    found = []
    for target in range(PLANES):
        for source in range(PLANES):
            if source != target:
                shared = next(axis for axis in axes[target] if axis in axes[source])
                found.append(
                    _Link(
                        source=source,
                        target=target,
                        source_rows=axes[source][1] == shared,
                        target_rows=axes[target][1] == shared,
                    )
                )
    return tuple(found)


class RollOutConv(nn.Module):
    """A convolution of each plane together with its roll-out contexts.

    The context of a plane from another is the other's mean along the axis the first
    does not have, spread over the axis the second does not have. A 2-D convolution of
    such a map, constant along one axis, is a 1-D convolution of its profile, which is
    how it is computed: the same function, for 15 weights in place of 27. (The spread
    axis has no border in this form: it acts as replicate padding, not zeros.)
    """

    def __init__(
        self,
        in_width: int,
        out_width: int,
        *,
        plane_axes: PlaneAxes,
        halve: bool = False,
    ) -> None:
        super().__init__()
        size, stride = (4, 2) if halve else (3, 1)
        self.own = nn.Conv2d(
            PLANES * in_width,
            PLANES * out_width,
            size,
            stride,
            padding=1,
            groups=PLANES,
        )
        self.links = _links(plane_axes)
        links = len(self.links)
        self.context = nn.Conv1d(
            links * in_width,
            links * out_width,
            size,
            stride,
            padding=1,
            groups=links,
            bias=False,
        )

    def forward(self, x: Float[Tensor, "b pc h w"]) -> Float[Tensor, "b pd h2 w2"]:
        """Convolve the planes; with ``halve`` at half the size."""
        height, width = x.shape[2:]
        # A mean along one dimension; pooling is ten times as fast in channels-last.
        along_columns = F.avg_pool2d(x, (height, 1))[:, :, 0].unflatten(1, (PLANES, -1))
        along_rows = F.avg_pool2d(x, (1, width))[..., 0].unflatten(1, (PLANES, -1))
        profiles = [
            (along_rows if link.source_rows else along_columns)[:, link.source]
            for link in self.links
        ]
        context = self.context(torch.cat(profiles, dim=1))
        context = context.unflatten(1, (len(self.links), -1))
        columns = self._gather(context, rows=False)
        rows = self._gather(context, rows=True)
        last = torch.channels_last
        columns = columns[:, :, None].contiguous(memory_format=last)
        rows = rows[..., None].contiguous(memory_format=last)
        return self.own(x) + columns + rows

    def _gather(
        self, context: Float[Tensor, "b links d s"], *, rows: bool
    ) -> Float[Tensor, "b pd s"]:
        """Sum the contexts that lie along the rows, or the columns, of each plane."""
        planes = []
        for plane in range(PLANES):
            total = torch.zeros_like(context[:, 0])
            for index, link in enumerate(self.links):
                if link.target == plane and link.target_rows == rows:
                    total = total + context[:, index]
            planes.append(total)
        return torch.cat(planes, dim=1)


class PlaneGroupNorm(nn.GroupNorm):
    """Normalisation of ``groups`` groups in each plane.

    In float32: there its gradient takes half as long as in bfloat16 on a CPU.
    """

    def __init__(self, width: int, groups: int) -> None:
        super().__init__(PLANES * groups, PLANES * width)

    def forward(self, input: Float[Tensor, "b pc h w"]) -> Float[Tensor, "b pc h w"]:
        """Normalise; the result has the type of the input."""
        return super().forward(input.float()).to(input.dtype)


class ConvBlock(nn.Module):
    """Roll-out convolution, then a plain one, each normalised and rectified."""

    def __init__(
        self,
        in_width: int,
        out_width: int,
        *,
        plane_axes: PlaneAxes,
        groups: int,
        halve: bool = False,
    ) -> None:
        super().__init__()
        self.first = RollOutConv(
            in_width, out_width, plane_axes=plane_axes, halve=halve
        )
        self.first_norm = PlaneGroupNorm(out_width, groups)
        self.second = nn.Conv2d(
            PLANES * out_width, PLANES * out_width, 3, padding=1, groups=PLANES
        )
        self.second_norm = PlaneGroupNorm(out_width, groups)

    def forward(self, x: Float[Tensor, "b pc h w"]) -> Float[Tensor, "b pd h2 w2"]:
        """Return the features, at half the size for a halving block."""
        x = F.silu(self.first_norm(self.first(x)))
        return F.silu(self.second_norm(self.second(x)))
