"""The regression board: a few headlines, held against what was stored.

A headline falls when it is worse than the stored value by more than its stored noise,
which is twice the standard deviation over seeds. Comes in: measured values. Goes out:
what fell, and a row appended to a Markdown table.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from talk3d.checkpoint import write_atomically

__all__ = [
    "HEADLINES",
    "Stored",
    "append_row",
    "fallen",
    "load_board",
    "save_board",
    "stored",
]

HEADLINES: Mapping[str, bool] = {
    "face PSNR, front": True,
    "face PSNR, 30°": True,
    "face PSNR, 60°": True,
    "covered area, 60°": True,
    "surface error, mm": False,
    "talking: person PSNR": True,
    "talking: mouth MAE": False,
    "talking: LMD, %": False,
}
"""Names, and whether higher is better."""

_SIGMAS = 2.0
_LEAST = 0.01


@dataclass(frozen=True)
class Stored:
    """A headline as it was."""

    value: float
    """Mean over the seeds."""
    noise: float
    """Twice the standard deviation over the seeds; at least 1 % of the value."""
    seeds: int
    """How many."""


def stored(runs: Sequence[Mapping[str, float]]) -> dict[str, Stored]:
    """Reduce runs of several seeds to values and noise.

    Raises:
        ValueError: There are fewer than two runs.
    """
    if len(runs) < 2:
        raise ValueError(
            f"{len(runs)} run says nothing of noise; give at least two seeds."
        )
    found = {}
    for name in HEADLINES:
        values = np.array([run[name] for run in runs])
        mean = float(values.mean())
        noise = max(_SIGMAS * float(values.std(ddof=1)), _LEAST * abs(mean))
        found[name] = Stored(mean, noise, len(values))
    return found


def fallen(values: Mapping[str, float], board: Mapping[str, Stored]) -> list[str]:
    """Say, one sentence each, which headlines fell; a missing one fell."""
    said = []
    for name, was in board.items():
        value = values.get(name, math.nan)
        loss = was.value - value if HEADLINES[name] else value - was.value
        if not loss <= was.noise:
            said.append(
                f"{name} fell to {value:.4g} from {was.value:.4g} (noise "
                f"{was.noise:.2g}, {was.seeds} seeds)."
            )
    return said


def load_board(path: Path) -> dict[str, Stored]:
    """Read a board.

    Raises:
        FileNotFoundError: There is none.
        ValueError: It holds other headlines than are measured.
    """
    if not path.is_file():
        raise FileNotFoundError(f"no board at {path}: make one with --accept")
    content = json.loads(path.read_text())
    board = {name: Stored(**value) for name, value in content["headlines"].items()}
    if set(board) != set(HEADLINES):
        raise ValueError(
            f"{path} holds {sorted(board)}, but {sorted(HEADLINES)} are measured; "
            "make it anew with --accept."
        )
    return board


def save_board(path: Path, board: Mapping[str, Stored], about: str) -> None:
    """Write a board with a word on how it was made."""
    content = {
        "about": about,
        "headlines": {name: asdict(value) for name, value in board.items()},
    }
    with write_atomically(path) as temporary:
        temporary.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n")


def append_row(
    path: Path, heading: str, values: Mapping[str, float], *, note: str
) -> None:
    """Append a row to the table under a heading; both are made where absent.

    Args:
        path: A Markdown file.
        heading: Its line, with the number signs.
        values: The headlines.
        note: First cell: commit and configuration.
    """
    text = path.read_text() if path.is_file() else ""
    cells = [f"{values.get(name, math.nan):.4g}" for name in HEADLINES]
    row = f"| {note} | {' | '.join(cells)} |\n"
    if heading + "\n" not in text:
        head = f"| commit, configuration | {' | '.join(HEADLINES)} |\n"
        rule = "|---" * (len(HEADLINES) + 1) + "|\n"
        text = f"{text.rstrip()}\n\n{heading}\n\n{head}{rule}".lstrip()
        path.write_text(text + row)
        return
    start = text.index(heading + "\n") + len(heading) + 1
    lines = text[start:].splitlines(keepends=True)
    table = [k for k, line in enumerate(lines) if line.startswith("|")]
    end = next((k for k in table if k + 1 not in table), len(lines) - 1)
    lines.insert(end + 1, row)
    path.write_text(text[:start] + "".join(lines))
