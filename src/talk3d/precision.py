"""Which precision network bodies run in."""

import torch

__all__ = ["bfloat16_is_fast", "body_precision"]


def bfloat16_is_fast() -> bool:
    """Tell whether this CPU multiplies bfloat16 in hardware."""
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported()) and bool(
        torch.cpu._is_avx512_bf16_supported()
    )


def body_precision(wanted: bool = True) -> torch.autocast:
    """Return the context for network bodies: bfloat16 where wanted and fast."""
    return torch.autocast("cpu", torch.bfloat16, enabled=wanted and bfloat16_is_fast())
