"""Weights in eight bits: small files at a precision pictures do not show.

Large tensors are stored as signed bytes with one scale per row (output channel; of
planes, per channel), so a value is kept to 0.4 % of the largest in its row. Small
tensors are stored in half precision.
"""

import torch
from torch import Tensor

__all__ = ["compacted", "expanded"]

_SCALE = "#scale"
_LEAST = 4096
_MAP = 1024


def compacted(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return floating tensors in eight bits, or half precision where small."""
    small: dict[str, Tensor] = {}
    for name, value in state.items():
        if not value.is_floating_point():
            small[name] = value
        elif value.ndim < 2 or value.numel() < _LEAST:
            small[name] = value.detach().half()
        else:
            rows = value.detach().float().contiguous().flatten(_row_dims(value))
            scale = rows.abs().amax(-1, keepdim=True).clamp(min=1e-12) / 127
            whole = (rows / scale).round().to(torch.int8)
            small[name] = whole.reshape(value.shape)
            small[name + _SCALE] = scale
    return small


def expanded(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the float32 tensors of ``compacted`` ones; integers stay.

    Raises:
        ValueError: if a scale does not fit its tensor.
    """
    full: dict[str, Tensor] = {}
    for name, value in state.items():
        if name.endswith(_SCALE):
            continue
        scale = state.get(name + _SCALE)
        if scale is None:
            full[name] = value.float() if value.is_floating_point() else value
            continue
        rows = value.float().flatten(_row_dims(value))
        if scale.shape != (*rows.shape[:-1], 1):
            message = f"the scale of {name} has shape {tuple(scale.shape)}: damaged"
            raise ValueError(message)
        full[name] = (rows * scale.float()).reshape(value.shape)
    return full


def _row_dims(value: Tensor) -> int:
    """Return how many leading dimensions have scales of their own."""
    planes = value.ndim == 4 and value.shape[2] * value.shape[3] >= _MAP
    return 2 if planes else 1
