"""Generator files: one network with its configuration, in safetensors."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from talk3d.checkpoint import half_precision, load_model, save_model
from talk3d.eg3d.config import GeneratorConfig
from talk3d.eg3d.generator import Generator

__all__ = ["load_generator", "save_generator"]

_TRAINING_KEYS = ("dataset_label_std",)


def load_generator(path: Path, *, kind: str = "prior") -> Generator:
    """Read a generator file: float32, evaluation mode, no gradients asked for.

    Args:
        path: file written by ``save_generator``, training or the importer.
        kind: ``prior`` or, when tuned to one person, ``generator``.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if the file is damaged, of another kind, or does not fit.
    """
    checkpoint = load_model(path, kind=kind)
    with torch.random.fork_rng():
        generator = Generator(GeneratorConfig.from_json(checkpoint.config))
    state = {
        name: value.float()
        for name, value in checkpoint.state.items()
        if name not in _TRAINING_KEYS
    }
    try:
        generator.load_state_dict(state)
    except RuntimeError as error:
        message = f"the weights in {path} do not fit its configuration: {error}"
        raise ValueError(message) from error
    return generator.eval().requires_grad_(requires_grad=False)


def save_generator(
    path: Path,
    generator: Generator,
    *,
    kind: str = "prior",
    step: int = 0,
    parents: dict[str, str] | None = None,
    extra: dict[str, Any] | None = None,
) -> None:
    """Write a generator file in float16.

    Args:
        path: destination.
        generator: the network.
        kind: ``prior`` or, when tuned to one person, ``generator``.
        step: training steps behind the weights.
        parents: sha256 of the files it was made from, by role.
        extra: further JSON-serialisable data.
    """
    save_model(
        path,
        half_precision(generator.state_dict()),
        kind=kind,
        config=asdict(generator.config),
        step=step,
        parents=parents,
        extra=extra,
    )
