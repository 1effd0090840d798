"""The notebook of this installation: what was made, and what was left unmarked.

One JSON object a line in ``ledger.jsonl`` of the data folder. It never leaves the
machine. ``verify`` looks identities up in it when a file has lost its metadata, and
``forget`` finds files by it and strikes a person out.
"""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from talk3d.checkpoint import file_sha256, write_atomically
from talk3d.trust.identity import data_folder

__all__ = ["ledger_entries", "note", "strike", "written"]


def ledger_path() -> Path:
    """Return where the notebook lies."""
    return data_folder() / "ledger.jsonl"


def note(event: str, **details: str) -> None:
    """Add a line.

    Args:
        event: ``created``, ``spoke``, ``pictured``, ``unmarked`` or ``written``.
        details: what is said of it.
    """
    path = ledger_path()
    path.parent.mkdir(parents=True, exist_ok=True)
    now = datetime.now(UTC).isoformat(timespec="seconds")
    line = json.dumps({"time": now, "event": event} | details)
    if not path.exists():
        path.touch(mode=0o600)
    with path.open("a", encoding="utf-8") as file:
        file.write(line + "\n")


def written(out: Path) -> dict[str, str]:
    """Return what a line says of a file that was written: where, and its hash."""
    return {"out": str(out.resolve()), "sha256": file_sha256(out)}


def ledger_entries() -> list[dict[str, Any]]:
    """Return all lines, the oldest first; damaged lines are left out."""
    path = ledger_path()
    if not path.is_file():
        return []
    entries = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            entry = json.loads(line)
        except ValueError:
            continue
        if isinstance(entry, dict):
            entries.append(entry)
    return entries


def strike(concerns: Callable[[dict[str, Any]], bool]) -> int:
    """Remove the lines that concern a person; return how many.

    Of a line about an unmarked video, time and reason stay: the choice to leave a
    mark out remains accountable, whom it showed is forgotten.
    """
    kept, struck = [], 0
    for entry in ledger_entries():
        if not concerns(entry):
            kept.append(entry)
            continue
        struck += 1
        if entry.get("event") == "unmarked":
            kept.append({k: entry[k] for k in ("time", "event", "reason")})
    if struck:
        path = ledger_path()
        with write_atomically(path) as temporary:
            temporary.write_text(
                "".join(json.dumps(entry) + "\n" for entry in kept), encoding="utf-8"
            )
        path.chmod(0o600)
    return struck
