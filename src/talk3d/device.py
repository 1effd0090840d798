"""Where networks run: on a CUDA card if there is one, else on the CPU.

This is the one place that decides. Stages take a device, and functions follow what
they are given. Every ``torch.Generator`` stays on the CPU and what it draws is moved,
so chance is the same on all devices.
"""

import torch

__all__ = ["CPU", "best_device", "chosen_device"]

CPU = torch.device("cpu")
_CUDA = torch.device("cuda")


def best_device() -> torch.device:
    """Return the CUDA card if there is one, else the CPU."""
    return _CUDA if torch.cuda.is_available() else CPU


def chosen_device(name: str) -> torch.device:
    """Return the device that a user asks for.

    Args:
        name: ``cpu``, ``cuda``, or ``auto`` for the best there is.

    Raises:
        ValueError: if the name is another, or there is no CUDA card.
    """
    if name == "auto":
        return best_device()
    if name == CPU.type:
        return CPU
    if name != _CUDA.type:
        message = f"the device {name!r} is not known: give auto, cpu or cuda"
        raise ValueError(message)
    if not torch.cuda.is_available():
        message = (
            "the device cuda was asked for and PyTorch finds no CUDA card on this"
            " machine: give --device cpu or auto"
        )
        raise ValueError(message)
    return _CUDA
