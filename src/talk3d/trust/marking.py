"""Marks what is written: pattern in the picture, statement in the file.

``marked_output`` is the one door through which videos of an avatar leave: it hands
out a place to write to and an operation on frames, and puts the signed file under its
name when all went well. Leaving the marks out takes a reason, which is noted.
"""

import contextlib
import logging
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageDraw, ImageFont

from talk3d.checkpoint import write_atomically
from talk3d.trust.consent import Consent
from talk3d.trust.identity import load_identity
from talk3d.trust.ledger import note, written
from talk3d.trust.manifest import sign, statement_identity
from talk3d.trust.watermark import Mark

__all__ = [
    "LABEL",
    "Marks",
    "Output",
    "label_picture",
    "make_statement",
    "marked_output",
]

_LOG = logging.getLogger(__name__)
LABEL = "AI GENERATED"
_LABEL_PART, _LABEL_FLOOR = 0.045, 10


@dataclass(frozen=True)
class Marks:
    """How a video is marked."""

    purpose: str = "private"
    """What it is made for: private, research, publication or commercial."""
    label: bool = False
    """Write AI GENERATED into the picture, too."""
    unmarked: str | None = None
    """Reason to leave out watermark and manifest; it is noted in the ledger."""


@dataclass(frozen=True)
class Output:
    """Where and how to write."""

    path: Path
    """Write the movie here."""
    mark: Callable[[np.ndarray], np.ndarray]
    """Marks a frame, RGB or straight RGBA."""


@contextlib.contextmanager
def marked_output(
    out: Path, marks: Marks, consent: Consent, about: dict[str, str]
) -> Iterator[Output]:
    """Yield where to write the movie; sign it and give it its name afterwards.

    Args:
        out: the final name.
        marks: how to mark.
        consent: of the person shown.
        about: what else the statement says, such as the hash of the avatar.

    Raises:
        ValueError: if the reason for leaving the marks out is empty.
    """
    labelled = label_picture if marks.label else _as_it_is
    if marks.unmarked is not None:
        if not marks.unmarked.strip():
            raise ValueError("an unmarked video needs a reason: say why")
        details = {"out": str(out.resolve()), "consent": consent.sha256} | about
        note("unmarked", reason=marks.unmarked, **details)
        _LOG.warning("%s carries no marks; the reason is noted", out.name)
        yield Output(out, labelled)
        note("written", **details | written(out))
        return
    what = "a synthetic talking head made with talk3d"
    statement = make_statement(what, consent, purpose=marks.purpose, about=about)
    identity = statement_identity(statement)
    signer = load_identity()
    held: list[Mark] = []

    def mark(picture: np.ndarray) -> np.ndarray:
        picture = labelled(picture)
        if not held:
            held.append(Mark.of(identity, *picture.shape[:2]))
        return held[0].apply(picture)

    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".talk3d-", dir=out.parent) as folder:
        unsigned = Path(folder) / out.name
        yield Output(unsigned, mark)
        with write_atomically(out) as temporary:
            sign(unsigned, temporary, statement, signer)
    note("spoke", mark=identity, consent=consent.sha256, **written(out), **about)


def label_picture(
    picture: UInt8[np.ndarray, "height width channels"],
) -> UInt8[np.ndarray, "height width channels"]:
    """Return a copy with ``LABEL`` on a dark box in the lower left corner."""
    height, width = picture.shape[:2]
    size = max(_LABEL_FLOOR, round(_LABEL_PART * min(height, width)))
    font = ImageFont.load_default(size)
    image = Image.fromarray(picture)
    pen = ImageDraw.Draw(image)
    at = (size // 2, height - 2 * size)
    left, top, right, bottom = pen.textbbox(at, LABEL, font=font)
    room = size // 4
    solid = (255,) * (picture.shape[2] - 3)
    box = (left - room, top - room, right + room, bottom + room)
    pen.rectangle(box, fill=(24, 24, 24, *solid))
    pen.text(at, LABEL, font=font, fill=(255, 255, 255, *solid))
    return np.asarray(image)


def _as_it_is(picture: np.ndarray) -> np.ndarray:
    return picture


def make_statement(
    what: str, consent: Consent | None, *, purpose: str, about: dict[str, str]
) -> dict[str, Any]:
    """Return what is signed.

    Args:
        what: what the file is.
        consent: of the person shown, if it is known.
        purpose: what the file is made for.
        about: what else is said, such as the hash of the avatar.
    """
    said: dict[str, Any] = {
        "made": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "what": what,
        "purpose": purpose,
    }
    if consent is not None:
        said |= {"synthetic_person": consent.synthetic, "consent": consent.sha256}
    return said | about
