"""One-file models: safetensors whose header says what the file is.

A model file is data only: loading it runs nothing. The header holds one JSON text
with the format version, kind, configuration, training step, the hashes of the files
it was made from and its licence. Writing goes to a temporary name and is renamed, so
a reader never sees half a file.
"""

import contextlib
import hashlib
import json
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from talk3d import __version__

__all__ = [
    "FORMAT",
    "METADATA_KEY",
    "Checkpoint",
    "check_apart",
    "check_kind",
    "check_own",
    "clean_folder",
    "file_sha256",
    "half_precision",
    "load_model",
    "read_header",
    "save_model",
    "tensors_sha256",
    "write_atomically",
]

FORMAT = 1
METADATA_KEY = "talk3d"
"""Where the header lies in the metadata of a safetensors file."""
_FIELDS = (
    ("kind", str), ("config", dict), ("step", int), ("parents", dict), ("extra", dict)
)  # fmt: skip


@dataclass(frozen=True)
class Checkpoint:
    """A model file in memory."""

    kind: str
    """What the file holds: ``prior``, ``generator``, ``avatar``, ..."""
    config: dict[str, Any]
    """The configuration that builds the model."""
    state: dict[str, Tensor]
    """The weights by name."""
    step: int = 0
    """Training steps behind the weights."""
    parents: dict[str, str] = field(default_factory=dict)
    """sha256 of the files it was made from, by role."""
    extra: dict[str, Any] = field(default_factory=dict)
    """Further JSON data of the kind."""


def save_model(
    path: Path,
    state: dict[str, Tensor],
    *,
    kind: str,
    config: dict[str, Any],
    step: int = 0,
    parents: dict[str, str] | None = None,
    extra: dict[str, Any] | None = None,
    licence: str = "Apache-2.0",
) -> None:
    """Write a model file atomically.

    Args:
        path: destination, by custom ``*.safetensors``.
        state: weights by name; stored in the dtype they have.
        kind: what the file holds.
        config: JSON-serialisable configuration that builds the model.
        step: training steps behind the weights.
        parents: sha256 of the files it was made from, by role.
        extra: further JSON-serialisable data.
        licence: under which the weights may be used.
    """
    header = {
        "format": FORMAT,
        "kind": kind,
        "config": config,
        "step": step,
        "parents": parents or {},
        "extra": extra or {},
        "version": __version__,
        "licence": licence,
    }
    tensors = {name: value.detach().contiguous() for name, value in state.items()}
    with write_atomically(path) as temporary:
        save_file(tensors, temporary, metadata={METADATA_KEY: json.dumps(header)})


def read_header(path: Path) -> dict[str, Any]:
    """Return the JSON header of a model file without reading its weights.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if the file is not a talk3d model of this format version.
    """
    if not path.is_file():
        what = f"{path} is a folder" if path.is_dir() else f"no model file at {path}"
        message = f"{what}: give the path of a .safetensors file"
        raise FileNotFoundError(message)
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
        header = json.loads(metadata[METADATA_KEY])
    except (SafetensorError, KeyError, json.JSONDecodeError, OSError) as error:
        message = (
            f"{path} is not a talk3d model, or it is damaged ({type(error).__name__}):"
            " make or download it again"
        )
        raise ValueError(message) from error
    if not isinstance(header, dict) or header.get("format") != FORMAT:
        given = header.get("format") if isinstance(header, dict) else header
        message = (
            f"{path} has format version {given}, this talk3d reads version {FORMAT}:"
            " use the talk3d version that made it, or make it again"
        )
        raise ValueError(message)
    odd = [name for name, kind in _FIELDS if not isinstance(header.get(name), kind)]
    if odd:
        message = f"the header of {path} lacks a proper {', '.join(odd)}: make it again"
        raise ValueError(message)
    return header


def check_kind(path: Path, kind: str) -> dict[str, Any]:
    """Return the header of a model file of a kind.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if the file is damaged, foreign, or of another kind.
    """
    header = read_header(path)
    if header["kind"] != kind:
        given, wanted = (_with_article(k) for k in (header["kind"], kind))
        message = f"{path} holds {given} where {wanted} is needed: give {wanted}"
        raise ValueError(message)
    return header


def _with_article(word: str) -> str:
    return f"{'an' if word[0] in 'aeiou' else 'a'} {word}"


def load_model(path: Path, *, kind: str) -> Checkpoint:
    """Read a model file.

    Args:
        path: the file.
        kind: the kind that is expected.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if the file is damaged, foreign, or of another kind.
    """
    header = check_kind(path, kind)
    with safe_open(path, framework="pt") as file:
        state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    return Checkpoint(
        kind=kind,
        config=header["config"],
        state=state,
        step=header["step"],
        parents=header["parents"],
        extra=header["extra"],
    )


def file_sha256(path: Path) -> str:
    """Return the hexadecimal sha256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def tensors_sha256(state: dict[str, Tensor]) -> str:
    """Return the hexadecimal sha256 of tensors, their names, shapes and types."""
    digest = hashlib.sha256()
    for name in sorted(state):
        value = state[name].detach().cpu().contiguous()
        digest.update(f"{name} {tuple(value.shape)} {value.dtype};".encode())
        digest.update(value.flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()


def check_apart(out: Path, *given: Path | None) -> None:
    """Refuse to write over what something is made from, under whatever name.

    Args:
        out: where it is to be written.
        given: what it is made from; what is not there is passed over.

    Raises:
        ValueError: if the two are one.
    """
    for path in given:
        if path is not None and out.exists() and path.exists() and out.samefile(path):
            message = f"{out} is what this is made from: give another -o"
            raise ValueError(message)


def check_own(out: Path, sibling: Path) -> None:
    """Refuse to write over a file that something else has left there.

    Args:
        out: where it is to be written.
        sibling: what is always written before it.

    Raises:
        ValueError: if ``out`` is there and ``sibling`` is not.
    """
    if out.exists() and not sibling.exists():
        message = f"{out} is there already and of something else: give another -o"
        raise ValueError(message)


@contextlib.contextmanager
def write_atomically(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path`` and rename it on success.

    The temporary file keeps the suffix. On any error it is removed and ``path`` is
    left as it was. The file keeps the mode it had; a new one has the user's default.

    Raises:
        PermissionError: if the folder cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(
        dir=path.parent, prefix=f".{path.stem}-", suffix=path.suffix
    )
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        temporary.chmod(_mode(path))
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def clean_folder(out: Path) -> Iterator[None]:
    """Make a folder; if the input proves bad and it is new, take it away again.

    An interruption leaves it: the same command goes on with what it holds.

    Raises:
        OSError: if the folder cannot be made or written to.
    """
    made = [path for path in (out, *out.parents) if not path.exists()]
    try:
        out.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=out).close()
    except OSError as error:
        message = (
            f"the folder {out} cannot be written ({error.strerror}): give an output"
            " folder in a place you may write to"
        )
        raise OSError(message) from error
    try:
        yield
    except (ValueError, OSError):
        if made:
            shutil.rmtree(out, ignore_errors=True)
        for path in made[1:]:
            with contextlib.suppress(OSError):
                path.rmdir()
        raise


def _mode(path: Path) -> int:
    """Return the mode of a file, or the one it would be made with."""
    if path.exists():
        return stat.S_IMODE(path.stat().st_mode)
    umask = os.umask(0o077)
    os.umask(umask)
    return 0o666 & ~umask


def half_precision(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the weights with floating tensors in float16, for small files."""
    return {
        name: value.to(torch.float16) if value.is_floating_point() else value
        for name, value in state.items()
    }
