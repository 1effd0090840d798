"""Which precision network bodies run in, and how numbers next to zero are treated."""

import torch

__all__ = ["bfloat16_is_fast", "body_precision", "drop_denormals"]


def bfloat16_is_fast() -> bool:
    """Tell whether this CPU multiplies bfloat16 in hardware."""
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported()) and bool(
        torch.cpu._is_avx512_bf16_supported()
    )


def body_precision(wanted: bool = True) -> torch.autocast:
    """Return the context for network bodies: bfloat16 where wanted and fast."""
    return torch.autocast("cpu", torch.bfloat16, enabled=wanted and bfloat16_is_fast())


def drop_denormals() -> None:
    """Have this thread, and those it starts, take numbers below 1e-38 for zero.

    Gradients hold many of them, and some CPUs need a hundred times longer for each.
    """
    torch.set_flush_denormal(True)
