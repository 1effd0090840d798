"""Errors by skin tone, sex and age of synthetic people.

In: tasks and their pooled scores. Out: a Markdown table. A prior that serves some
people better than others shows it here.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from talk3d.benchmark.summary import COLUMNS, Pool
from talk3d.synthetic.people import draw_person_looks

__all__ = ["by_group", "groups_of"]

_SHOWN = ("matte/psnr", "face/psnr", "surface/mm")
_SKINS = ("light skin", "medium skin", "dark skin")
_AGES = ((40, "18 to 39 years"), (60, "40 to 59 years"), (81, "60 to 80 years"))


def groups_of(subject: Path) -> tuple[str, str, str]:
    """Return the sex, age and skin tone that a synthetic talker was drawn with.

    Skin is light, medium or dark by thirds of the range of melanin.

    Args:
        subject: folder written by ``write_talk``.
    """
    note = json.loads((subject / "truth" / "truth.json").read_text())
    looks = draw_person_looks(note["config"]["seed"])
    age = next(name for end, name in _AGES if looks.age < end)
    skin = _SKINS[min(int(3 * looks.skin.melanin), 2)]
    return "women" if looks.woman else "men", age, skin


def by_group(pooled: Pool, groups: Sequence[Sequence[str]], row: str) -> str:
    """Write a row's scores over all shots of each group of people as a table.

    Args:
        pooled: the scores.
        groups: what each task's person belongs to, in the order of the tasks.
        row: whose scores.
    """
    titles = " | ".join(COLUMNS[metric].title for metric in _SHOWN)
    lines = [f"| All views, {row} | people | {titles} |", "|---" * 5 + "|"]
    for group in ("women", "men", *(name for _, name in _AGES), *_SKINS):
        members = [k for k, own in enumerate(groups) if group in own]
        shots = np.flatnonzero(np.isin(pooled.task, members))
        cells = [(m, pooled.cell(row, m, shots)) for m in _SHOWN]
        shown = [
            "-" if cell is None else f"{cell.mean:.{COLUMNS[metric].digits}f}"
            for metric, cell in cells
        ]
        lines.append(f"| {group} | {len(members)} | {' | '.join(shown)} |")
    return "\n".join(lines) + "\n"
