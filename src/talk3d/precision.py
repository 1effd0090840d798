"""Which precision network bodies run in, and how numbers next to zero are treated."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

__all__ = ["bfloat16_is_fast", "body_precision", "denormals_dropped"]

_DENORMAL = 1e-40
_AMPERE = (8, 0)
"""Compute capability from which CUDA cards multiply bfloat16."""


def bfloat16_is_fast(device: torch.device) -> bool:
    """Tell whether a device multiplies bfloat16 in hardware."""
    if device.type == "cuda":
        there = torch.cuda.is_available()
        return there and torch.cuda.get_device_capability(device) >= _AMPERE
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported()) and bool(
        torch.cpu._is_avx512_bf16_supported()
    )


def body_precision(device: torch.device, wanted: bool = True) -> torch.autocast:
    """Return the context for network bodies: bfloat16 where wanted and fast.

    Args:
        device: where the network and what it is given lie.
        wanted: whether bfloat16 is to be taken at all.
    """
    half = wanted and bfloat16_is_fast(device)
    return torch.autocast(device.type, torch.bfloat16, enabled=half)


@contextmanager
def denormals_dropped() -> Iterator[None]:
    """Have this thread take numbers below 1e-38 for zero.

    Gradients hold many of them, and some CPUs need many times longer for each. The
    other threads of PyTorch's pool keep the way they began with.
    """
    before = (torch.full((), _DENORMAL) * 1).item() == 0
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(before)
