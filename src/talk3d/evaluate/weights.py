"""Read network weights that a user supplies; nothing in the file is run.

In: a ``.safetensors`` file or a state dict saved by torch. Out: tensors by name.
"""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

__all__ = ["named", "read_weights"]

_UNREADABLE = (
    SafetensorError,
    pickle.UnpicklingError,
    RuntimeError,
    EOFError,
    LookupError,
    TypeError,
    ValueError,
    AttributeError,
)
"""What reading bytes that are no weights may end in."""


def read_weights(path: Path) -> Mapping[str, Tensor]:
    """Read tensors by name.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It holds something else than tensors by name.
    """
    if not path.is_file():
        raise FileNotFoundError(f"no weights at {path}: give the published file")
    found: object
    try:
        if path.suffix == ".safetensors":
            found = load_file(path)
        else:
            found = torch.load(path, map_location="cpu", weights_only=True)
    except _UNREADABLE as error:
        raise ValueError(
            f"{path} cannot be read as weights: give a .safetensors file or a state "
            "dict saved by torch."
        ) from error
    if not isinstance(found, Mapping) or not all(
        isinstance(value, Tensor) for value in found.values()
    ):
        raise ValueError(
            f"{path} holds something else than tensors by name: give the state dict "
            "alone, not a whole model or a training state."
        )
    return found


def named(state: Mapping[str, Tensor], name: str, path: Path) -> Tensor:
    """Take one tensor as float32.

    Raises:
        ValueError: It is not there.
    """
    if name not in state:
        raise ValueError(f"{path} lacks {name}: give the published file.")
    return state[name].float()
