"""Erases a person's data: subject, work folder, states and avatar.

Only what talk3d wrote is removed, known by its form and name, videos by their hash; a
file of yours that lies among it, or took its place, is left and named. What lies
elsewhere is found by the ledger and by the names that ``talk3d create`` gives. Nothing
can be called back; nothing is overwritten either, which on today's disks would prove
little.
"""

import json
import shutil
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from talk3d.checkpoint import file_sha256, read_header
from talk3d.dataset import Subject
from talk3d.interrupted import TRAINING_STATES, StateFile
from talk3d.trust.holders import avatar_fingerprint
from talk3d.trust.ledger import ledger_entries, strike
from talk3d.trust.pictures import is_preview

__all__ = ["Erasure", "forget"]

_SUBJECT_FILES = (
    "subject.json",
    "arrays.safetensors",
    "audio.wav",
    "soundtrack.mka",
    "plate.png",
    "report.html",
    "landmarks.npz",
    "recording.npz",
    "source.mp4",
)
_SUBJECT_FOLDERS = ("frames", "matte", "truth")
_AVATAR, _WORK = ".safetensors", ".work"
_WORK_FILES = ("run.json", "generator.safetensors", "generator.png", "generator.state")
_BEYOND = (
    "copies, backups, snapshots and synchronised folders of these files",
    "what was published or sent on, and what others made from it",
    "free space of the disk: until it is used again, deleted data may be recovered",
)


@dataclass
class Erasure:
    """What was removed and what was not."""

    removed: list[Path] = field(default_factory=list)
    """Files and folders that are gone."""
    left: list[Path] = field(default_factory=list)
    """What talk3d did not make, or was not asked to remove."""
    struck: int = 0
    """Lines of the ledger that are gone."""
    beyond: tuple[str, ...] = _BEYOND
    """What no program can reach."""


def forget(path: Path, *, videos: bool = False, dry_run: bool = False) -> Erasure:
    """Erase what was made of a person.

    Args:
        path: an avatar, a generator, a subject folder or a work folder.
        videos: also remove the videos, sheets and reports that the ledger knows of.
        dry_run: only say what would be removed.

    Raises:
        FileNotFoundError: if there is nothing at the path.
        ValueError: if it is nothing that talk3d made of a person.
    """
    if not path.exists():
        message = f"nothing at {path}: give an avatar, a subject or a work folder"
        raise FileNotFoundError(message)
    targets = list(dict.fromkeys(_family(path.resolve())))
    names = {str(target) for target in targets}
    hashes = {avatar_fingerprint(t) for t in targets if _kind(t) == "avatar"}

    erasure = Erasure()
    for target in targets:
        _erase(target, erasure, dry_run=dry_run)
    gone = set(erasure.removed)

    def concerns(entry: dict[str, Any]) -> bool:
        out = Path(str(entry.get("out")))
        if not gone.isdisjoint([out, *out.parents]):
            return True
        if hashes and "avatar" in entry:
            return entry["avatar"] in hashes
        return bool(names & {entry.get("avatar_path"), entry.get("work")})

    entries = [entry for entry in ledger_entries() if concerns(entry)]
    made = [(Path(e["out"]), e.get("sha256")) for e in entries if "out" in e]
    for video in dict.fromkeys(path for path, _ in made):
        if video in gone or not video.is_file():
            continue
        # Another file may have taken its place.
        if videos and (video, file_sha256(video)) in made:
            _remove(video, erasure, dry_run=dry_run)
        else:
            erasure.left.append(video)
    sources = [Path(e["source"]) for e in entries if e.get("source") is not None]
    erasure.left += [s for s in dict.fromkeys(sources) if s.exists()]
    erasure.struck = len(entries) if dry_run else strike(concerns)
    return erasure


def _kind(path: Path) -> str | None:
    """Return avatar, generator, subject or work; None for anything else."""
    if path.is_dir():
        if (path / "run.json").is_file() and _is_run(path / "run.json"):
            return "work"
        if any((path / name).is_file() for name in ("subject.json", "landmarks.npz")):
            return "subject"
        return None
    if not path.is_file():
        return None
    try:
        kind = read_header(path)["kind"]
    except ValueError:
        return None
    return kind if kind in ("avatar", "generator") else None


def _is_run(path: Path) -> bool:
    try:
        run = json.loads(path.read_text())
    except ValueError:
        return False
    return isinstance(run, dict) and {"video", "prior"} <= set(run)


def _family(path: Path) -> Iterator[Path]:
    """Yield what belongs together: the avatar, its work folder, what lies in it."""
    kind = _kind(path)
    if kind is None:
        message = (
            f"{path} is no avatar, generator, subject or work folder of talk3d, and is"
            " left alone"
        )
        raise ValueError(message)
    entries = ledger_entries()
    found: list[Path] = []
    if kind == "work":
        yield path
        if path.suffix == _WORK:
            found.append(path.with_suffix(_AVATAR))
        named = [e for e in entries if e.get("work") == str(path)]
        found += [Path(e["avatar_path"]) for e in named if "avatar_path" in e]
        yield from (a for a in found if _kind(a) == "avatar" and _belong(a, path))
        return
    if kind == "avatar":
        owner = avatar_fingerprint(path)
        found = [Path(e["work"]) for e in entries if _names(e, path, owner)]
        found.insert(0, path.with_suffix(_WORK))
        yield from (w for w in found if _kind(w) == "work" and _belong(path, w))
    yield path


def _names(entry: dict[str, Any], path: Path, owner: str) -> bool:
    """Return whether an entry tells the work folder of an avatar.

    Its fingerprint decides: an avatar may be renamed, and another take its place.
    """
    same = entry.get("avatar_path") == str(path)
    return "work" in entry and (entry["avatar"] == owner if "avatar" in entry else same)


def _belong(avatar: Path, work: Path) -> bool:
    """Return whether avatar and work folder are of one video.

    An avatar that does not say its video is the one that was last made there.
    """
    source = read_header(avatar)["extra"].get("source")
    if source is not None:
        return source == json.loads((work / "run.json").read_text())["video"]
    entries = [e for e in ledger_entries() if e.get("work") == str(work)]
    owners = [entry["avatar"] for entry in entries if "avatar" in entry]
    return not owners or owners[-1] == avatar_fingerprint(avatar)


def _unfinished(work: Path) -> Iterator[Path]:
    """Yield states and preview of the avatar that was to stand beside a work folder."""
    if work.suffix != _WORK or work.with_suffix(_AVATAR).exists():
        return
    for state in (work.with_suffix(suffix) for suffix in TRAINING_STATES):
        if state.is_file() and _is_of(state, work / "subject"):
            yield state
    preview = work.with_suffix(".png")
    if is_preview(preview):
        yield preview


def _is_of(state: Path, subject: Path) -> bool:
    """Return whether a training state is of a subject."""
    if not zipfile.is_zipfile(state):
        return False
    try:
        run = StateFile(state).open().get("run")
        own = Subject.open(subject).fingerprint()
    except (ValueError, FileNotFoundError):
        return False
    return isinstance(run, dict) and run.get("subject") == own


def _erase(path: Path, erasure: Erasure, *, dry_run: bool) -> None:
    kind = _kind(path)
    if kind == "work":
        for item in list(_unfinished(path)):
            _remove(item, erasure, dry_run=dry_run)
        _erase_folder(path / "subject", _SUBJECT_FILES, _SUBJECT_FOLDERS, erasure,
                      dry_run=dry_run)  # fmt: skip
        _erase_folder(path, _WORK_FILES, (), erasure, dry_run=dry_run)
    elif kind == "subject":
        _erase_folder(path, _SUBJECT_FILES, _SUBJECT_FOLDERS, erasure, dry_run=dry_run)
    elif kind is not None:
        _remove(path, erasure, dry_run=dry_run)
        preview = path.with_suffix(".png")
        for state in (path.with_suffix(suffix) for suffix in TRAINING_STATES):
            if state.is_file() and state != path:
                _remove(state, erasure, dry_run=dry_run)
        if is_preview(preview):
            _remove(preview, erasure, dry_run=dry_run)


def _erase_folder(
    folder: Path,
    files: tuple[str, ...],
    folders: tuple[str, ...],
    erasure: Erasure,
    *,
    dry_run: bool,
) -> None:
    if not folder.is_dir():
        return
    left = []
    for item in sorted(folder.iterdir()):
        ours = item.name in (files if item.is_file() else folders)
        if item.is_symlink() or not ours:
            left.append(item)
            continue
        _remove(item, erasure, dry_run=dry_run)
    if dry_run:
        left = [item for item in left if item.name != "subject"]
    if left:
        erasure.left += left
    else:
        _remove(folder, erasure, dry_run=dry_run)


def _remove(path: Path, erasure: Erasure, *, dry_run: bool) -> None:
    erasure.removed.append(path)
    if dry_run:
        return
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()
