"""Marks still pictures of an avatar: previews, sheets, and what reports show.

A ``Stamp`` holds one statement. It lays the invisible mark into a picture that is
large enough, and signs the encoded file; all pictures of one report may share it.
``write_picture`` does both, and is how every picture of an avatar is written.
"""

import io
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from talk3d.checkpoint import write_atomically
from talk3d.dataset import Subject
from talk3d.trust.consent import Consent
from talk3d.trust.holders import subject_consent
from talk3d.trust.identity import load_identity
from talk3d.trust.ledger import note, written
from talk3d.trust.manifest import (
    read_manifest,
    sign,
    signed_picture,
    statement_identity,
)
from talk3d.trust.marking import make_statement
from talk3d.trust.watermark import TILE, Mark

__all__ = [
    "SMALLEST",
    "Stamp",
    "avatar_stamp",
    "is_preview",
    "result_stamp",
    "stamp_file",
    "subject_stamp",
    "write_picture",
]

SMALLEST = 96
"""Shorter side in pixels below which a picture is signed but not watermarked."""
_SHEET = 640
_PREVIEW_SQUARES = 7
_FORMS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG"}
_QUALITY = 92
_CARRIED = ("avatar", "consent", "purpose", "speech", "synthetic_person")


@dataclass(frozen=True)
class Stamp:
    """One statement, ready to be laid on pictures."""

    statement: dict[str, Any]
    """What is said of them."""
    composed: bool = False
    """Whether they also show what a camera saw."""
    _patterns: dict[tuple[int, int], Mark] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    @cached_property
    def identity(self) -> str:
        """Identity of the mark."""
        return statement_identity(self.statement)

    def mark(
        self, picture: UInt8[np.ndarray, "height width channels"]
    ) -> UInt8[np.ndarray, "height width channels"]:
        """Return a copy with the invisible mark, if it is large enough for one."""
        height, width = picture.shape[:2]
        if min(height, width) < SMALLEST:
            return picture
        if (height, width) not in self._patterns:
            side = TILE if min(height, width) >= _SHEET else None
            pattern = Mark.of(self.identity, height, width, side=side)
            self._patterns[height, width] = pattern
        return self._patterns[height, width].apply(picture)

    def sign(self, content: bytes, suffix: str) -> bytes:
        """Return an encoded picture with the signed statement.

        Raises:
            ValueError: if the kind of file cannot be signed.
        """
        signer = load_identity()
        return signed_picture(
            content, suffix, self.statement, signer, composed=self.composed
        )

    def sign_movie(self, unsigned: Path, out: Path) -> None:
        """Write a movie with the signed statement, and note where it went.

        Raises:
            ValueError: if the kind of file cannot be signed.
        """
        signer = load_identity()
        with write_atomically(out) as temporary:
            sign(unsigned, temporary, self.statement, signer, composed=self.composed)
        self.note(out)

    def note(self, out: Path) -> None:
        """Write into the ledger where the pictures went."""
        known = {key: str(self.statement[key]) for key in ("avatar", "consent")
                 if key in self.statement}  # fmt: skip
        note("pictured", mark=self.identity, **written(out), **known)


def avatar_stamp(
    consent: Consent | None, what: str, *, seen: bool = False, **about: str
) -> Stamp:
    """Return the stamp of pictures of an avatar.

    Args:
        consent: of the person shown, if it is known.
        what: what the pictures are.
        seen: whether they also show what a camera saw.
        about: what else is said, such as the hash of the avatar.
    """
    said = make_statement(what, consent, purpose="private", about=about)
    return Stamp(said, composed=seen)


def subject_stamp(subject: Subject, what: str, *, seen: bool = False) -> Stamp:
    """Return the stamp of pictures made while an avatar is made of a subject.

    A subject without a consent that opens gives a stamp that names none: making an
    avatar of it will be refused, and pictures seen before are marked nevertheless.
    """
    try:
        consent = subject_consent(subject)
    except ValueError:
        consent = None
    return avatar_stamp(consent, what, seen=seen)


def result_stamp(result: Path, what: str) -> Stamp:
    """Return the stamp of pictures that show a video beside its recording.

    What the video's own manifest says of avatar, consent and purpose is carried over.

    Args:
        result: the video.
        what: what the pictures are.
    """
    made = make_statement(what, None, purpose="private", about={})
    manifest = read_manifest(result)
    said = {} if manifest is None or manifest.statement is None else manifest.statement
    return Stamp(made | {k: said[k] for k in _CARRIED if k in said}, composed=True)


def write_picture(
    path: Path, picture: UInt8[np.ndarray, "height width channels"], stamp: Stamp
) -> None:
    """Write a picture, marked and signed, and note where it went.

    Args:
        path: destination, PNG or JPEG; its folder is made.
        picture: sRGB.
        stamp: what is said of it.

    Raises:
        ValueError: if the name has another ending.
    """
    suffix = path.suffix.lower()
    if suffix not in _FORMS:
        message = f"cannot write {path}: give a name that ends in {', '.join(_FORMS)}"
        raise ValueError(message)
    buffer = io.BytesIO()
    quality = {} if _FORMS[suffix] == "PNG" else {"quality": _QUALITY, "subsampling": 0}
    Image.fromarray(stamp.mark(picture)).save(buffer, _FORMS[suffix], **quality)
    path.parent.mkdir(parents=True, exist_ok=True)
    with write_atomically(path) as temporary:
        temporary.write_bytes(stamp.sign(buffer.getvalue(), suffix))
    stamp.note(path)


def stamp_file(path: Path, stamp: Stamp) -> None:
    """Mark and sign a picture file in place.

    Raises:
        ValueError: if it is neither PNG nor JPEG.
    """
    with Image.open(path) as image:
        picture = np.asarray(image.convert("RGB"))
    write_picture(path, picture, stamp)


def is_preview(path: Path) -> bool:
    """Return whether a file is a preview of ours: a row of squares that we signed."""
    if not path.is_file():
        return False
    manifest = read_manifest(path)
    if manifest is None or manifest.statement is None or not manifest.valid:
        return False
    with Image.open(path) as image:
        return image.width == _PREVIEW_SQUARES * image.height
