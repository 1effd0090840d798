"""Convolution of three planes, each knowing of the other two ("roll-out").

The planes pass through separate weights ("split convolution", one grouped convolution)
and lie side by side in the channels, ``b pc h w`` with ``p`` = 3 planes of ``c``
channels. What one plane learns of the others is their mean along the axis it does not
have.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

__all__ = ["PLANES", "PLANE_AXES", "ConvBlock", "RollOutConv", "plane_norm"]

PLANES = 3

PLANE_AXES: Mapping[str, tuple[str, str, str]] = MappingProxyType(
    {
        "official": ("xy", "xz", "zx"),
        "xy_xz_zy": ("xy", "xz", "zy"),
        "xy_yz_zx": ("xy", "yz", "zx"),
    }
)
"""Of each plane the axis its columns run along, then the axis its rows run along."""


class _Link(NamedTuple):
    """One roll-out context: which profile of `source` lies along what of `target`."""

    source: int
    target: int
    source_rows: bool
    target_rows: bool


def _links(plane_axes: str) -> tuple[_Link, ...]:
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
        self, in_width: int, out_width: int, *, plane_axes: str, halve: bool = False
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
        along_columns = x.mean(dim=2).unflatten(1, (PLANES, -1))
        along_rows = x.mean(dim=3).unflatten(1, (PLANES, -1))
        profiles = [
            (along_rows if link.source_rows else along_columns)[:, link.source]
            for link in self.links
        ]
        context = self.context(torch.cat(profiles, dim=1))
        context = context.unflatten(1, (len(self.links), -1))
        columns = self._gather(context, rows=False)
        rows = self._gather(context, rows=True)
        return self.own(x) + columns[:, :, None, :] + rows[:, :, :, None]

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


def plane_norm(width: int, groups: int) -> nn.GroupNorm:
    """Return a normalisation of ``groups`` groups in each plane."""
    return nn.GroupNorm(PLANES * groups, PLANES * width)


class ConvBlock(nn.Module):
    """Roll-out convolution, then a plain one, each normalised and rectified."""

    def __init__(
        self,
        in_width: int,
        out_width: int,
        *,
        plane_axes: str,
        groups: int,
        halve: bool = False,
    ) -> None:
        super().__init__()
        self.first = RollOutConv(
            in_width, out_width, plane_axes=plane_axes, halve=halve
        )
        self.first_norm = plane_norm(out_width, groups)
        self.second = nn.Conv2d(
            PLANES * out_width, PLANES * out_width, 3, padding=1, groups=PLANES
        )
        self.second_norm = plane_norm(out_width, groups)

    def forward(self, x: Float[Tensor, "b pc h w"]) -> Float[Tensor, "b pd h2 w2"]:
        """Return the features, at half the size for a halving block."""
        x = F.silu(self.first_norm(self.first(x)))
        return F.silu(self.second_norm(self.second(x)))
