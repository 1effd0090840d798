"""Write what the benchmark found: numbers, tables, plots, sheets, one page."""

from __future__ import annotations

import base64
import html
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from talk3d import __version__
from talk3d.benchmark.controls import CONTROLS, control_rows
from talk3d.benchmark.groups import by_group, groups_of
from talk3d.benchmark.plot import Panel, svg
from talk3d.benchmark.score import folder_row, over_grey
from talk3d.benchmark.summary import COLUMNS, Pool, markdown, signed_bins
from talk3d.benchmark.task import Task
from talk3d.checkpoint import write_atomically
from talk3d.dataset import Subject
from talk3d.evaluate.strips import contact_sheet
from talk3d.trust.pictures import Stamp, subject_stamp, write_picture

__all__ = ["sheet", "write_report"]

_TITLES = {"synthetic": "Synthetic talkers", "recorded": "A recorded person who turns"}
_PLOTTED = ("face/psnr", "matte/psnr", "face/sharpness", "surface/mm", "points/error")
_WIDE, _TILE = 11, 128
_SHEET = "views of a synthetic head beside the truth"


def write_report(
    out: Path,
    pools: Mapping[str, Pool],
    tasks: Mapping[str, Sequence[Task]],
    *,
    rows: Sequence[str],
    about: Mapping[str, object],
) -> None:
    """Write numbers, tables, plots, sheets and the page.

    Args:
        out: The benchmark's folder.
        pools: Scores by kind of task.
        tasks: The tasks of each kind.
        rows: All rows, in the order of the tables.
        about: What was run.
    """
    names = {row: _title(row) for row in rows}
    numbers = {kind: _numbers(pooled) for kind, pooled in pools.items()}
    times = {task.name: _times(task) for members in tasks.values() for task in members}
    content = {
        "talk3d": __version__,
        "about": about,
        "seconds": times,
        "scores": numbers,
    }
    with write_atomically(out / "extreme-pose.json") as temporary:
        temporary.write_text(json.dumps(content, indent=1, default=str))
    tables, body = [], []
    for kind, pooled in pools.items():
        found = [markdown(pooled, metric, names) for metric in COLUMNS]
        if kind == "synthetic" and len(tasks[kind]) > 1:
            groups = [groups_of(task.path / "subject") for task in tasks[kind]]
            found.append(by_group(pooled, groups, "ours"))
        found = [table for table in found if table]
        tables.append(f"## {_TITLES[kind]}\n\n" + "\n".join(found))
        body.append(_section(out, kind, pooled, tasks[kind], names, found))
    if "recorded" not in pools:
        note = "The real-pose part was left out: no recording was named.\n"
        tables.append(note)
        body.append(f"<p>{note}</p>")
    with write_atomically(out / "tables.md") as temporary:
        temporary.write_text("\n".join(tables))
    with write_atomically(out / "report.html") as temporary:
        temporary.write_text(_page(body, content), encoding="utf-8")


def sheet(task: Task, rows: Sequence[str]) -> np.ndarray:
    """Draw one moment of every camera, rows below each other, the truth first."""
    groups: dict[str, int] = {}
    for k, shot in enumerate(task.shots):
        groups.setdefault(shot.group, k)
    chosen = list(groups.values())
    if len(chosen) < _WIDE:
        chosen = np.linspace(0, len(task.shots) - 1, _WIDE).astype(int).tolist()
    pictures = control_rows(task)
    pictures |= {row: folder_row(task.row(row), task) for row in rows}
    shown = ["truth", *rows, "nearest frame"]
    tiles = {
        _title(row): [over_grey(pictures[row](int(k))) for k in chosen] for row in shown
    }
    columns = [_angle(task, int(k)) for k in chosen]
    return contact_sheet(tiles, columns=columns, height=_TILE)


def _angle(task: Task, shot: int) -> str:
    one = task.shots[shot]
    return f"{one.yaw:+.0f}°, {one.pitch:+.0f}°"


def _title(row: str) -> str:
    return {"without prior": "ours without the prior", "mesh": "mean mesh"}.get(
        row, row
    )


def _numbers(pooled: Pool) -> dict[str, dict[str, dict[str, object]]]:
    """Return every score of every row in every bin."""
    found: dict[str, dict[str, dict[str, object]]] = {}
    for row in pooled.rows:
        for metric in COLUMNS:
            for name, shots in pooled.bins().items():
                cell = pooled.cell(row, metric, shots)
                if cell is not None:
                    found.setdefault(row, {}).setdefault(metric, {})[name] = vars(cell)
    return found


def _times(task: Task) -> dict[str, float]:
    notes = sorted((task.path / "rows").glob("*/row.json"))
    rows = {note.parent.name: json.loads(note.read_text()) for note in notes}
    return {name: row["seconds"] for name, row in rows.items() if "seconds" in row}


def _section(
    out: Path,
    kind: str,
    pooled: Pool,
    tasks: Sequence[Task],
    names: Mapping[str, str],
    tables: Sequence[str],
) -> str:
    """Write plots and sheets of one kind; return its part of the page."""
    panels = _panels(pooled, names)
    parts = [f"<h2>{_TITLES[kind]}</h2>"]
    if panels:
        plot = svg(panels, across="yaw of the camera, degrees")
        (out / f"{kind}.svg").write_text(plot)
        parts.append(plot)
    rows = [row for row in names if row not in CONTROLS]
    for task in tasks:
        stamp = subject_stamp(Subject.open(task.path / "subject"), _SHEET, seen=True)
        picture = sheet(task, rows)
        write_picture(out / f"{task.path.name}.png", picture, stamp)
        parts.append(f"<h3>{html.escape(task.name)}</h3>{_embedded(picture, stamp)}")
    parts += [_table(text) for text in tables]
    return "\n".join(parts)


def _panels(pooled: Pool, names: Mapping[str, str]) -> list[Panel]:
    """Return a plot over yaw of every plotted score that was measured."""
    places = signed_bins(pooled)
    panels = []
    for metric in _PLOTTED:
        lines = {}
        for row, title in names.items():
            if row == "truth" or row not in pooled.rows:
                continue
            cells = {yaw: pooled.cell(row, metric, at) for yaw, at in places.items()}
            line = [(yaw, cell.mean) for yaw, cell in cells.items() if cell]
            if line:
                lines[title] = line
        if lines:
            panels.append(Panel(COLUMNS[metric].title, lines))
    return panels


def _embedded(picture: np.ndarray, stamp: Stamp) -> str:
    buffer = io.BytesIO()
    Image.fromarray(stamp.mark(picture)).save(buffer, "JPEG", quality=90)
    code = base64.b64encode(stamp.sign(buffer.getvalue(), ".jpg")).decode()
    return f'<img src="data:image/jpeg;base64,{code}" alt="views">'


def _table(text: str) -> str:
    """Turn a Markdown table into HTML."""
    lines = [line.strip("| ").split(" | ") for line in text.strip().splitlines()]
    head, body = lines[0], lines[2:]
    cells = "".join(f"<th>{html.escape(cell)}</th>" for cell in head)
    parts = [f"<table><tr>{cells}</tr>"]
    for line in body:
        cells = "".join(f"<td>{html.escape(cell)}</td>" for cell in line)
        parts.append(f"<tr>{cells}</tr>")
    return "".join([*parts, "</table>"])


def _page(body: Sequence[str], content: Mapping[str, object]) -> str:
    style = (
        "body{font:15px/1.5 sans-serif;max-width:75rem;margin:2rem auto;padding:0 1rem}"
        "table{border-collapse:collapse;margin:1rem 0}td,th{padding:.2rem .7rem;"
        "text-align:right;border-bottom:1px solid #ddd}td:first-child,th:first-child"
        "{text-align:left}img,svg{max-width:100%;height:auto}pre{overflow:auto}"
    )
    shown = {name: content[name] for name in ("talk3d", "about", "seconds")}
    text = html.escape(json.dumps(shown, indent=1, default=str))
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8">'
        f"<title>Extreme pose</title><style>{style}</style>"
        f"<h1>Extreme pose</h1><p>Fitted to frontal video, judged from the side. Every "
        "number is explained in docs/protocol.md and docs/benchmark.md.</p>"
        f"{''.join(body)}<h2>What was run</h2><pre>{text}</pre></html>\n"
    )
