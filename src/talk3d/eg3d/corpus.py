"""Training shards: reads what ``talk3d synth corpus`` writes.

A corpus is a folder with ``corpus.json`` and safetensors shards. Shards are mapped
into memory, so any image is read at random without loading its neighbours.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from talk3d.checkpoint import file_sha256

__all__ = ["Corpus", "CorpusBatch"]

_FIELDS = (
    "image", "depth", "part", "camera", "expression", "gaze", "neck", "person"
)  # fmt: skip
_DTYPES = {"U8": "u1", "F16": "<f2", "F32": "<f4", "I64": "<i8"}


@dataclass(frozen=True)
class CorpusBatch:
    """Images with exact labels."""

    colour: Float[Tensor, "batch 3 size size"]
    """Straight sRGB colour, -1 to 1; meaningless where alpha is 0."""
    alpha: Float[Tensor, "batch 1 size size"]
    """Coverage of the person, 0 to 1."""
    depth: Float[Tensor, "batch 1 size size"]
    """Distance along the ray in world units; 0 where there is nothing."""
    part: UInt8[Tensor, "batch 1 size size"]
    """0 nothing, 1 skin, 2 lips, 3 inner mouth, 4 teeth, 5 eyes, 6 hair, 7 cloth."""
    camera: Float[Tensor, "batch 25"]
    """EG3D labels in the head frame."""
    expression: Float[Tensor, "batch 53"]
    """Blend weights relative to the sealed neutral."""
    gaze: Float[Tensor, "batch 4"]
    """Left yaw, pitch, right yaw, pitch in radians."""
    neck: Float[Tensor, "batch 4 4"]
    """Motion of the head against the torso, see ``talk3d.neck``."""
    person: Int[Tensor, " batch"]
    """Index of the person."""


@dataclass(frozen=True)
class Corpus:
    """A corpus opened for reading."""

    path: Path
    """The folder."""
    info: dict[str, Any]
    """The content of ``corpus.json``."""
    shards: tuple[dict[str, np.ndarray], ...]
    """The mapped tensors of every shard."""
    person: np.ndarray
    """Person index of every image."""
    starts: np.ndarray
    """First image of every shard, and the number of images."""
    traits: np.ndarray
    """What is known of each person (people x numbers), by person index."""

    labelled = True
    """Whether depth, parts and expressions are known."""

    @classmethod
    def open(cls, path: Path) -> "Corpus":
        """Open a corpus folder.

        Raises:
            FileNotFoundError: if the folder is no corpus.
        """
        if not (path / "corpus.json").is_file():
            message = f"{path} is no corpus folder: make one with talk3d synth corpus"
            raise FileNotFoundError(message)
        info = json.loads((path / "corpus.json").read_text())
        shards = tuple(_map_shard(path / shard["file"]) for shard in info["shards"])
        if any(name not in shard for shard in shards for name in _FIELDS):
            message = (
                f"the corpus {path} was made by another version of talk3d: render it"
                " again with talk3d synth corpus"
            )
            raise ValueError(message)
        starts = np.cumsum([0, *(len(shard["person"]) for shard in shards)])
        person = np.concatenate([shard["person"] for shard in shards])
        traits = _traits(person, shards)
        return cls(path, info, shards, person, starts, traits)

    def __len__(self) -> int:
        """Return the number of images."""
        return int(self.starts[-1])

    @property
    def size(self) -> int:
        """Pixels per side."""
        return self.info["size"]

    def fingerprint(self) -> str:
        """Return the sha256 of ``corpus.json``, which holds that of every shard."""
        return file_sha256(self.path / "corpus.json")

    def batch(self, indices: list[int]) -> CorpusBatch:
        """Read images by index."""
        rows: dict[str, list[np.ndarray]] = {name: [] for name in _FIELDS}
        for index in indices:
            shard = int(np.searchsorted(self.starts, index, side="right")) - 1
            row = index - int(self.starts[shard])
            for key in _FIELDS:
                rows[key].append(self.shards[shard][key][row])
        data = {name: torch.from_numpy(np.stack(rows[name])) for name in rows}
        image = data["image"].permute(0, 3, 1, 2).float()
        return CorpusBatch(
            colour=image[:, :3] / 127.5 - 1,
            alpha=image[:, 3:] / 255,
            depth=data["depth"].float()[:, None],
            part=data["part"][:, None],
            camera=data["camera"].float(),
            expression=data["expression"].float(),
            gaze=data["gaze"].float(),
            neck=data["neck"].float(),
            person=data["person"].long(),
        )


def _traits(
    person: np.ndarray, shards: tuple[dict[str, np.ndarray], ...]
) -> np.ndarray:
    """Gather one row per person; people the shards say nothing of get no numbers."""
    people = int(person.max()) + 1
    if any("traits" not in shard for shard in shards):
        return np.zeros((people, 0), np.float32)
    rows = np.zeros((people, shards[0]["traits"].shape[1]), np.float32)
    for shard in shards:
        rows[shard["person"]] = shard["traits"]
    return rows


def _map_shard(path: Path) -> dict[str, np.ndarray]:
    """Map the tensors of a safetensors file without reading them.

    The format: 8 bytes of header length, a JSON header with dtype, shape and offsets
    of each tensor, then the bytes.

    Raises:
        ValueError: if the file is damaged.
    """
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            header = json.loads(file.read(length))
        return {
            name: np.memmap(
                path,
                dtype=_DTYPES[entry["dtype"]],
                mode="r",
                offset=8 + length + entry["data_offsets"][0],
                shape=tuple(entry["shape"]),
            )
            for name, entry in header.items()
            if name in (*_FIELDS, "traits")
        }
    except (OSError, ValueError, KeyError, MemoryError) as error:
        message = f"the shard {path} is missing or damaged: run talk3d synth corpus"
        raise ValueError(message) from error
