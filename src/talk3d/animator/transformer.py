"""The transformer of the attention U-Net: planes look within, then at the tokens.

Symbols: the state is ``3 b n d``, three planes, ``b`` frames, ``n`` positions of a
plane, ``d`` features; tokens are ``b t e``.
"""

import math

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from talk3d.animator.rollout import PLANES
from talk3d.eg3d.volume import PLANE_AXES, PlaneAxes

__all__ = ["Block", "PlaneLinear", "PlaneNorm", "position_code"]


class PlaneLinear(nn.Module):
    """A linear layer with its own weights for each plane."""

    def __init__(self, in_width: int, out_width: int) -> None:
        super().__init__()
        reach = in_width**-0.5
        self.weight = nn.Parameter(
            torch.empty(PLANES, in_width, out_width).uniform_(-reach, reach)
        )
        self.bias = nn.Parameter(torch.zeros(PLANES, 1, out_width))

    def forward(self, x: Float[Tensor, "3 b n d"]) -> Float[Tensor, "3 b n e"]:
        """Apply each plane's matrix."""
        flat = torch.baddbmm(self.bias, x.flatten(1, 2), self.weight)
        return flat.unflatten(1, x.shape[1:3])


class PlaneNorm(nn.Module):
    """Layer normalisation with its own gain and shift for each plane."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(PLANES, 1, 1, width))
        self.shift = nn.Parameter(torch.zeros(PLANES, 1, 1, width))

    def forward(self, x: Float[Tensor, "3 b n d"]) -> Float[Tensor, "3 b n d"]:
        """Normalise over the features."""
        normal = F.layer_norm(x, x.shape[-1:])
        return torch.addcmul(self.shift, normal.float(), self.gain).to(x.dtype)


class _SelfAttention(nn.Module):
    """Attention among the positions of each plane."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm = PlaneNorm(width)
        self.split = PlaneLinear(width, 3 * width)
        self.join = PlaneLinear(width, width)

    def forward(self, x: Float[Tensor, "3 b n d"]) -> Float[Tensor, "3 b n d"]:
        """Return what is to be added to the state."""
        parts = self.split(self.norm(x)).unflatten(-1, (3, self.heads, -1))
        query, key, value = parts.flatten(0, 1).permute(2, 0, 3, 1, 4)
        # Written out: for a few hundred positions, and in bfloat16 on a CPU, this is
        # three times as fast, forward and backward, as the fused attention.
        scores = (query * query.shape[-1] ** -0.5) @ key.transpose(2, 3)
        mixed = scores.softmax(dim=-1).to(value.dtype) @ value
        return self.join(mixed.transpose(1, 2).flatten(2).unflatten(0, x.shape[:2]))


class _CrossAttention(nn.Module):
    """Questions of all planes to the tokens, with one set of weights."""

    def __init__(self, width: int, token_width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm = PlaneNorm(width)
        self.query = nn.Linear(width, width, bias=False)
        self.key = nn.Linear(token_width, width, bias=False)
        self.value = nn.Linear(token_width, width, bias=False)
        self.join = nn.Linear(width, width)

    def forward(
        self, x: Float[Tensor, "3 a n d"], tokens: Float[Tensor, "b t e"]
    ) -> tuple[Float[Tensor, "3 b n d"], Float[Tensor, "3 b heads n t"]]:
        """Return what is to be added to the state, and the attention weights.

        One state (``a`` = 1) serves all ``b`` frames, or each has its own (``a = b``).
        """
        query = self.query(self.norm(x)).unflatten(-1, (self.heads, -1))
        key = self.key(tokens).unflatten(-1, (self.heads, -1))
        value = self.value(tokens).unflatten(-1, (self.heads, -1))
        scale = key.shape[-1] ** -0.5
        scores = torch.einsum("panhe,athe->pahnt", query, key * scale)
        weights = scores.float().softmax(dim=-1)
        mixed = torch.einsum("pbhnt,bthe->pbnhe", weights.to(value.dtype), value)
        return self.join(mixed.flatten(3)), weights


class _FeedForward(nn.Module):
    """Gated feed-forward layers (GEGLU, Shazeer 2020), separate for each plane."""

    def __init__(self, width: int, expansion: int) -> None:
        super().__init__()
        self.norm = PlaneNorm(width)
        self.widen = PlaneLinear(width, 2 * expansion * width)
        self.narrow = PlaneLinear(expansion * width, width)

    def forward(self, x: Float[Tensor, "3 b n d"]) -> Float[Tensor, "3 b n d"]:
        """Return what is to be added to the state."""
        value, gate = self.widen(self.norm(x)).chunk(2, dim=-1)
        return self.narrow(value * F.gelu(gate, approximate="tanh"))


class Block(nn.Module):
    """Self-attention, cross-attention, feed-forward; the caller adds the results."""

    def __init__(
        self, width: int, *, token_width: int, heads: int, expansion: int
    ) -> None:
        super().__init__()
        self.self_attention = _SelfAttention(width, heads)
        self.cross_attention = _CrossAttention(width, token_width, heads)
        self.feed_forward = _FeedForward(width, expansion)


def position_code(
    plane_axes: PlaneAxes, size: int, width: int
) -> Float[Tensor, "3 1 n width"]:
    """Return the sinusoidal code of each cell's (x, y, z), box from -1 to 1.

    A plane's cells lie at 0 on the axis it does not have. Wavelengths go from two
    boxes down to two cells.
    """
    centres = (torch.arange(size) + 0.5) * (2 / size) - 1
    rows, columns = torch.meshgrid(centres, centres, indexing="ij")
    frequencies = (math.pi / 2) * torch.logspace(0, math.log2(size), width // 6, base=2)
    planes = []
    for columns_axis, rows_axis in PLANE_AXES[plane_axes]:
        place = {columns_axis: columns.flatten(), rows_axis: rows.flatten()}
        parts = []
        for axis in range(3):
            phase = place.get(axis, torch.zeros(size * size))[:, None] * frequencies
            parts += [phase.sin(), phase.cos()]
        planes.append(torch.cat(parts, dim=1))
    return torch.stack(planes)[:, None]
