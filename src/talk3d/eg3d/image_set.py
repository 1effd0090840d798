"""Image sets in EG3D's format: pictures with cameras, nothing else known.

A folder, or an uncompressed zip file, with ``dataset.json``: ``{"labels": [[file, 25
numbers], ...]}``. What ``Corpus`` knows besides (depth, parts, expression, matte) is
zero or whole here, so only the adversarial stage can learn from it, from people that
are made up on every step.
"""

import io
import json
import zipfile
import zlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path, PurePosixPath

import numpy as np
import torch
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from talk3d.checkpoint import tensors_sha256
from talk3d.eg3d.corpus import Corpus, CorpusBatch

__all__ = ["ImageSet", "open_pictures"]

_LABELS = "dataset.json"
_LABEL_NUMBERS = 25


@dataclass(frozen=True)
class ImageSet:
    """An image set opened for reading."""

    path: Path
    """The folder or the zip file."""
    names: tuple[str, ...]
    """File of every picture, relative to the folder."""
    cameras: Tensor
    """EG3D label of every picture."""
    size: int
    """Pixels per side."""

    labelled = False
    """Whether depth, parts and expressions are known."""

    @classmethod
    def open(cls, path: Path) -> "ImageSet":
        """Open an image set.

        Raises:
            FileNotFoundError: if there is no ``dataset.json``.
            ValueError: if the file is damaged or names no pictures with cameras.
        """
        listed = _read(path, _LABELS)
        try:
            labels = json.loads(listed)["labels"]
            names = tuple(str(name) for name, _ in labels)
            cameras = torch.tensor([label for _, label in labels]).float()
        except (KeyError, TypeError, ValueError, RuntimeError) as error:
            message = (
                f"the {_LABELS} of {path} does not list pictures with cameras: it has"
                ' to read {"labels": [[file, 25 numbers], ...]}'
            )
            raise ValueError(message) from error
        if cameras.ndim != 2 or cameras.shape[1] != _LABEL_NUMBERS:
            message = (
                f"the {_LABELS} of {path} has labels of shape"
                f" {tuple(cameras.shape)}: give 25 numbers to each picture"
            )
            raise ValueError(message)
        if not torch.isfinite(cameras).all():
            message = f"the {_LABELS} of {path} has labels that are not finite numbers"
            raise ValueError(message)
        for name in names:
            inside = PurePosixPath(name)
            if inside.is_absolute() or ".." in inside.parts:
                message = f"the picture {name!r} of {path} lies outside of it"
                raise ValueError(message)
        return cls(path, names, cameras, len(_picture(path, names[0])))

    def __len__(self) -> int:
        """Return the number of pictures."""
        return len(self.names)

    @property
    def person(self) -> np.ndarray:
        """Who is shown: somebody else on every picture."""
        return np.arange(len(self))

    @property
    def traits(self) -> np.ndarray:
        """What is known of each person: nothing."""
        return np.zeros((len(self), 0), np.float32)

    def fingerprint(self) -> str:
        """Return the hexadecimal sha256 of names, cameras and size."""
        names = torch.frombuffer(
            bytearray("\n".join(self.names), "utf-8"), dtype=torch.uint8
        )
        size = torch.tensor(self.size)
        return tensors_sha256({"names": names, "cameras": self.cameras, "size": size})

    def batch(self, indices: list[int]) -> CorpusBatch:
        """Read pictures by index.

        Raises:
            ValueError: if a picture is missing, damaged or of another size.
        """
        pictures = [_picture(self.path, self.names[index]) for index in indices]
        for index, picture in zip(indices, pictures, strict=True):
            if picture.shape[:2] != (self.size, self.size):
                message = (
                    f"{self.names[index]} of {self.path} has {picture.shape[1]} x"
                    f" {picture.shape[0]} pixels, others {self.size} x {self.size}:"
                    " give all the same square size"
                )
                raise ValueError(message)
        colour = torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).float()
        count, flat = len(indices), torch.zeros(len(indices), 1, self.size, self.size)
        return CorpusBatch(
            colour=colour / 127.5 - 1,
            alpha=torch.ones_like(flat),
            depth=flat,
            part=flat.to(torch.uint8),
            camera=self.cameras[indices],
            expression=torch.zeros(count, 53),
            gaze=torch.zeros(count, 4),
            neck=torch.eye(4).repeat(count, 1, 1),
            person=torch.tensor(indices),
        )


def open_pictures(path: Path) -> Corpus | ImageSet:
    """Open what a prior can be trained on.

    Raises:
        FileNotFoundError: if it is neither a corpus nor an image set.
        ValueError: if it is damaged.
    """
    if path.suffix == ".zip" or (path / _LABELS).is_file():
        return ImageSet.open(path)
    return Corpus.open(path)


def _picture(path: Path, name: str) -> np.ndarray:
    try:
        with Image.open(io.BytesIO(_read(path, name))) as image:
            return np.asarray(image.convert("RGB"))
    except (
        UnidentifiedImageError,
        Image.DecompressionBombError,
        OSError,
        ValueError,
        SyntaxError,
    ) as error:
        message = f"the picture {name} of {path} is missing or damaged"
        raise ValueError(message) from error


def _read(path: Path, name: str) -> bytes:
    if path.is_dir():
        return (path / name).read_bytes()
    try:
        return _archive(path, path.stat().st_mtime_ns).read(name)
    except KeyError:
        message = f"{path} holds no {name}"
        raise FileNotFoundError(message) from None
    except (
        zipfile.BadZipFile,
        zlib.error,
        EOFError,
        NotImplementedError,
        RuntimeError,
    ) as error:
        message = (
            f"{path} is no zip file that can be read ({type(error).__name__}): give"
            " one that is whole and not encrypted"
        )
        raise ValueError(message) from error


@lru_cache(maxsize=1)
def _archive(path: Path, changed: int) -> zipfile.ZipFile:  # noqa: ARG001
    """Open a zip file once: the list of a large one takes long to read.

    Args:
        path: the file.
        changed: when; another file of the same name is opened anew.
    """
    return zipfile.ZipFile(path)
