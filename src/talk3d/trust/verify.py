"""Says whether and by what a file was made.

Looks for our manifest and, independently, for the mark in the picture; says what each
tells and whether they belong together.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8
from PIL import Image, UnidentifiedImageError

from talk3d.trust.detect import Reading, read_mark
from talk3d.trust.identity import identity_folder
from talk3d.trust.ledger import ledger_entries
from talk3d.trust.manifest import Signed, read_manifest
from talk3d.trust.watermark import TILE
from talk3d.video import read_frames

__all__ = ["Verdict", "verify"]

_RATE, _SCENE_FRAMES, _SCENES = 12.5, 125, 60
_PERSONS: dict[object, str] = {True: "a synthetic person", False: "a real person"}
_PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff")


@dataclass(frozen=True)
class Verdict:
    """What was found in a file."""

    manifest: Signed | None
    """The signed statement, or None."""
    here: bool
    """Whether this installation signed it."""
    watermark: Reading
    """The mark in the picture."""
    second: float
    """Where in the movie the mark was found, seconds."""
    belong: bool | None
    """Whether manifest and mark carry one identity; None if one of them is absent."""
    known_as: str | None
    """The file that this installation wrote with the mark, by the ledger."""

    @property
    def unchanged(self) -> bool:
        """Whether talk3d made the file and nothing speaks against it being so still."""
        signed = self.manifest
        ours = signed is not None and signed.statement is not None and signed.valid
        return ours and self.belong is not False

    def sentences(self) -> list[str]:
        """Say it in plain words."""
        return [*_of_manifest(self), *_of_mark(self), _conclusion(self)]

    def as_json(self) -> dict[str, Any]:
        """Return everything, and the sentences, as JSON."""
        return asdict(self) | {"sentences": self.sentences()}


def verify(path: Path, *, trusted: str = "") -> Verdict:
    """Examine a movie or picture.

    Args:
        path: the file.
        trusted: PEM certificates of authorities to trust besides our own.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is no movie or picture.
    """
    if not path.is_file():
        message = f"no file at {path}: give a movie or picture"
        raise FileNotFoundError(message)
    own = identity_folder() / "ca.pem"
    ours = own.read_text() if own.is_file() else ""
    manifest = read_manifest(path, ours + trusted)
    here = bool(ours) and manifest is not None
    if here and trusted:
        mine = read_manifest(path, ours)
        here = mine is not None and mine.trusted
    elif here:
        here = manifest is not None and manifest.trusted
    reading, second = _look(path)
    belong = None
    if manifest is not None and manifest.identity and reading.identity:
        belong = manifest.identity == reading.identity
    known_as = None
    if reading.identity:
        same = [e for e in ledger_entries() if e.get("mark") == reading.identity]
        names = [str(entry.get("out")) for entry in same]
        if names:
            mine = str(path.resolve())
            known_as = mine if mine in names else names[0]
    return Verdict(manifest, here, reading, second, belong, known_as)


def _look(path: Path) -> tuple[Reading, float]:
    """Look for the mark scene by scene of ten seconds; return the best reading."""
    if path.suffix.lower() in _PICTURES:
        try:
            with Image.open(path) as image:
                picture = np.asarray(image.convert("RGB"))
            whole = read_mark([picture])
            if whole.found or min(picture.shape[:2]) <= TILE:
                return whole, 0.0
            sheet = read_mark([picture], sheet=True)
            return (sheet if sheet.found else whole), 0.0
        except (UnidentifiedImageError, Image.DecompressionBombError) as error:
            message = f"{path} is not a picture that can be read, or it is too large"
            raise ValueError(message) from error
    frames = read_frames(path, fps=_RATE)
    best: tuple[Reading, float] | None = None
    for scene in range(_SCENES):
        pictures = _scene(frames)
        first = next(pictures, None)
        if first is None:
            break
        reading = read_mark(_chained(first, pictures))
        if best is None or reading.false_alarm < best[0].false_alarm:
            best = reading, scene * _SCENE_FRAMES / _RATE
        if reading.identity is not None:
            break
    if best is None:
        message = f"{path} holds no picture that can be read"
        raise ValueError(message)
    return best


def _scene(
    frames: Iterator[UInt8[np.ndarray, "height width 3"]],
) -> Iterator[UInt8[np.ndarray, "height width 3"]]:
    return islice(frames, _SCENE_FRAMES)


def _chained(
    first: UInt8[np.ndarray, "height width 3"],
    rest: Iterator[UInt8[np.ndarray, "height width 3"]],
) -> Iterator[UInt8[np.ndarray, "height width 3"]]:
    yield first
    yield from rest


def _of_manifest(verdict: Verdict) -> Iterator[str]:
    manifest = verdict.manifest
    if manifest is None:
        yield "Manifest: none; it was never there, or was stripped."
        return
    maker = "talk3d" if manifest.statement is not None else "another program"
    if not manifest.valid:
        reasons = ", ".join(manifest.problems)
        yield (
            f"Manifest: TAMPERED. It was made by {maker}, but file and manifest do"
            f" not fit any more ({reasons})."
        )
        return
    if verdict.here:
        trust = "trusted: signed by this installation"
    elif manifest.trusted:
        trust = "trusted: its certificate goes back to an authority you named"
    else:
        trust = "self-signed: nobody you named vouches for the signer"
    yield f"Manifest: valid, made by {maker}, signed by {manifest.signer!r}, {trust}."
    if manifest.statement is not None:
        said = manifest.statement
        who = _PERSONS.get(said.get("synthetic_person"), "a person it does not name")
        consent = str(said.get("consent", "not named"))[:16]
        if "edit" in said:
            who += f", edited ({said['edit']})"
        yield (
            f"It says: {said.get('what')}, {who}, made {said.get('made')} for"
            f" {said.get('purpose')} use, consent {consent}."
        )


def _of_mark(verdict: Verdict) -> Iterator[str]:
    mark = verdict.watermark
    if not mark.found:
        yield "Watermark: none found; that proves nothing."
        return
    if mark.identity is None:
        yield (
            "Watermark: there, but too damaged to read its identity (chance of a false"
            f" alarm below {mark.false_alarm:.0e})."
        )
        return
    where = f" at {verdict.second:.0f} s" if verdict.second else ""
    yield (
        f"Watermark: {mark.identity}{where}, {mark.agreement:.0%} of its bits agree"
        f" (chance of a false alarm below {max(mark.false_alarm, 1e-99):.0e})."
    )
    if verdict.known_as is not None:
        yield f"This installation wrote it, as {verdict.known_as}."


def _conclusion(verdict: Verdict) -> str:
    manifest, mark = verdict.manifest, verdict.watermark
    ours = manifest is not None and manifest.statement is not None
    whole = ours and manifest is not None and manifest.valid
    if verdict.belong is False:
        return (
            "So: parts were made with talk3d, but manifest and watermark belong to two"
            " different videos: one of them was put here from elsewhere."
        )
    if whole and verdict.belong:
        return "So: made with talk3d, and unchanged since."
    if whole:
        return "So: signed as made with talk3d; its watermark could not be read."
    if mark.found:
        return "So: made with talk3d, and changed, copied or encoded again since."
    if ours:
        return "So: made with talk3d, and changed since."
    return "So: nothing says that this was made with talk3d, nor that it was not."
