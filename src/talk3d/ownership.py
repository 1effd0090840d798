"""What a run may write and go on with: names, disk, work folders, avatars, persons.

Nobody's files are overwritten, and nobody goes on as somebody else.
"""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from talk3d.checkpoint import file_sha256, read_header, write_atomically
from talk3d.dataset import Subject

__all__ = [
    "check_disk",
    "check_fitted",
    "check_given",
    "check_name",
    "check_own",
    "check_renewed",
    "claim",
]

_SUFFIX = ".safetensors"
_DISK_BYTES = 2_000_000_000


def check_name(out: Path, what: str) -> None:
    """Refuse a name whose neighbours (state, preview, work) could be somebody's.

    Raises:
        ValueError: if it does not end in ``.safetensors``, or is of a folder.
    """
    if out.suffix == _SUFFIX and not out.is_dir():
        return
    given = "is a folder" if out.is_dir() else f"does not end in {_SUFFIX}"
    message = (
        f"the {what} cannot be written to {out}, which {given}: give the name of a file"
        f" that ends in {_SUFFIX}, such as {what}{_SUFFIX}"
    )
    raise ValueError(message)


def check_given(path: Path, what: str) -> None:
    """Refuse what is no file.

    Raises:
        FileNotFoundError: if there is nothing.
        ValueError: if it is a folder.
    """
    if path.is_dir():
        message = f"{path} is a folder: give the path of a {what} file"
        raise ValueError(message)
    if not path.is_file():
        message = f"no {what} at {path}: check the name"
        raise FileNotFoundError(message)


def check_disk(work: Path) -> None:
    """Refuse to begin where too little disk space is left.

    Raises:
        OSError: if it is too little.
    """
    free = shutil.disk_usage(work).free
    if free < _DISK_BYTES:
        message = (
            f"{work} has {free / 1e9:.1f} GB left and {_DISK_BYTES / 1e9:.0f} GB are"
            " needed: free some space or give another --work folder"
        )
        raise OSError(message)


def check_own(out: Path, generator: Path) -> None:
    """Refuse to take for this run's what was made from something else.

    An avatar in the making is checked again, against its person, when it goes on.
    """
    state = out.with_suffix(".state")
    if state.is_file() and not generator.is_file():
        message = (
            f"{state} is of an avatar in the making whose person ({generator}) is gone:"
            " give another -o, or move it away"
        )
        raise ValueError(message)
    if not out.is_file():
        return
    made_from = read_header(out)["parents"].get("generator")
    if not generator.is_file() or made_from != file_sha256(generator):
        message = (
            f"{out} exists and does not come from the person of this run"
            f" ({generator}): give another -o, or move it away"
        )
        raise ValueError(message)


def check_renewed(out: Path, kind: str, subject: Subject) -> None:
    """Refuse to write over what is no earlier version of the same.

    Raises:
        ValueError: if there is a file and it is of another kind or recording.
    """
    if not out.is_file():
        return
    try:
        header = read_header(out)
    except ValueError:
        header = {"kind": None, "parents": {}}
    same = subject.is_parent(header["parents"].get("subject"))
    if header["kind"] != kind or not same:
        message = (
            f"{out} exists and is no {kind} of {subject.path}: give another -o, or move"
            " it away"
        )
        raise ValueError(message)


def check_fitted(generator: Path, subject: Subject) -> None:
    """Refuse a generator of another person: the avatar would get a wrong consent."""
    if not subject.is_parent(read_header(generator)["parents"].get("subject")):
        message = (
            f"{generator} was fitted to another recording than {subject.path}: give the"
            " subject it was made from, or personalize this one"
        )
        raise ValueError(message)


def claim(work: Path, video: Path, prior: Path, config: dict[str, Any]) -> None:
    """Bind the work folder to this video, prior and configuration."""
    for path, what in ((video, "video"), (prior, "prior")):
        check_given(path, what)
    mine = {
        "video": file_sha256(video),
        "prior": file_sha256(prior),
        "config": _lasting(json.loads(json.dumps(config, default=str))),
    }
    note = work / "run.json"
    if not note.is_file():
        with write_atomically(note) as temporary:
            temporary.write_text(json.dumps(mine, indent=1))
        return
    theirs = json.loads(note.read_text())
    theirs["config"] = _lasting(theirs.get("config", {}))
    differing = list(_differing(theirs, mine))
    if differing:
        message = (
            f"the work folder {work} belongs to a run with another"
            f" {' and '.join(differing)}: give another --work folder, or remove it to"
            " begin anew"
        )
        raise ValueError(message)


def _differing(theirs: dict[str, Any], mine: dict[str, Any]) -> Iterator[str]:
    """Yield the names of what differs; of nested settings the innermost."""
    for name, value in mine.items():
        other = theirs.get(name)
        if isinstance(value, dict) and isinstance(other, dict):
            yield from _differing(other, value)
        elif other != value:
            yield name


def _lasting(config: dict[str, Any]) -> dict[str, Any]:
    """Leave out where the face networks come from: it may change when a run goes on."""
    reading = dict(config.get("preprocess", {}))
    for name in ("offline", "models_dir"):
        reading.pop(name, None)
    # Runs of older versions had no speech model to name.
    return {"speech_model": None} | config | {"preprocess": reading}
