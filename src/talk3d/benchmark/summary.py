"""Reduce scores of pictures to bins of the camera's place, and write tables.

In: scores per shot of every row, from one or more tasks of a kind. Out: the mean of
each bin with its spread and count, Markdown tables, and points for plots.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from talk3d.benchmark.score import Scores
from talk3d.benchmark.task import Shot

__all__ = ["COLUMNS", "Cell", "Column", "Pool", "markdown", "pool", "signed_bins"]


@dataclass(frozen=True)
class Column:
    """How a score is shown."""

    title: str
    """With its unit."""
    digits: int
    """Digits after the point."""
    better: str
    """``higher``, ``lower`` or ``one`` (near 1)."""


COLUMNS: Mapping[str, Column] = {
    "matte/psnr": Column("PSNR of the person, dB", 2, "higher"),
    "face/psnr": Column("PSNR of the face, dB", 2, "higher"),
    "matte/ssim": Column("SSIM of the person", 3, "higher"),
    "face/sharpness": Column("Sharpness of the face ÷ truth's", 2, "one"),
    "cover/iou": Column("Covered area, both ÷ either", 3, "higher"),
    "surface/mm": Column("Surface error of the face, mm", 1, "lower"),
    "points/error": Column("Face landmarks, % of eye distance", 1, "lower"),
    "lips/lmd": Column("LMD of the lips, %", 2, "lower"),
    "identity/same": Column("Identity, cosine", 3, "higher"),
}
"""Scores in the order of the tables."""


@dataclass(frozen=True)
class Cell:
    """One score of one row in one bin."""

    mean: float
    """Mean over the pictures; for sharpness the ratio of mean powers."""
    spread: float
    """Standard deviation over the pictures."""
    shots: int
    """Pictures it was measured in."""


@dataclass(frozen=True)
class Pool:
    """Shots of all tasks of a kind with the scores of the rows they share."""

    shots: tuple[Shot, ...]
    """All of them."""
    rows: Mapping[str, Scores]
    """Scores over these shots by row."""
    task: tuple[int, ...]
    """The task of each shot, counted from 0."""

    def bins(self) -> dict[str, np.ndarray]:
        """Return the table's bins: the shots of each, by the size of the angle."""
        bins: dict[str, list[int]] = {}
        ranked = sorted(range(len(self.shots)), key=lambda k: _rank(self.shots[k]))
        for k in ranked:
            bins.setdefault(_bin(self.shots[k]), []).append(k)
        return {name: np.array(shots) for name, shots in bins.items()}

    def cell(self, row: str, metric: str, shots: np.ndarray) -> Cell | None:
        """Reduce one score over some shots; None where it was not measured."""
        scores = self.rows[row]
        if metric.endswith("/sharpness"):
            region = metric.removesuffix("/sharpness")
            own, truth = (
                scores[f"{region}/{k}"][shots] for k in ("power", "power_truth")
            )
            known = np.isfinite(own) & np.isfinite(truth)
            if not known.any() or truth[known].sum() <= 0:
                return None
            ratio = float(own[known].sum() / truth[known].sum())
            spread = float((own[known] / np.maximum(truth[known], 1e-12)).std())
            return Cell(ratio, spread, int(known.sum()))
        if metric not in scores:
            return None
        values = scores[metric][shots]
        known = values[np.isfinite(values)]
        if len(known) == 0:
            return None
        return Cell(float(known.mean()), float(known.std()), len(known))


def pool(parts: Sequence[tuple[Sequence[Shot], Mapping[str, Scores]]]) -> Pool:
    """Join tasks; rows that not all of them have are left out."""
    common = [name for name in parts[0][1] if all(name in rows for _, rows in parts)]
    shots = tuple(shot for part, _ in parts for shot in part)
    rows: dict[str, Scores] = {}
    for name in common:
        metrics = {metric for _, scored in parts for metric in scored[name]}
        rows[name] = {
            metric: np.concatenate(
                [
                    scored[name].get(metric, np.full(len(part), np.nan))
                    for part, scored in parts
                ]
            )
            for metric in sorted(metrics)
        }
    tasks = tuple(k for k, (part, _) in enumerate(parts) for _ in part)
    return Pool(shots, rows, tasks)


def signed_bins(pooled: Pool) -> dict[float, np.ndarray]:
    """Return the shots of every group on the horizon by its mean yaw, degrees."""
    groups: dict[str, list[int]] = {}
    for k, shot in enumerate(pooled.shots):
        if not shot.group.startswith("pitch"):
            groups.setdefault(shot.group, []).append(k)
    places = {
        float(np.mean([pooled.shots[k].yaw for k in rows])): np.array(rows)
        for rows in groups.values()
    }
    return dict(sorted(places.items()))


def markdown(pooled: Pool, metric: str, names: Mapping[str, str]) -> str:
    """Write one score as a table: rows by bins.

    Args:
        pooled: The scores.
        metric: One of ``COLUMNS``.
        names: What to call the rows; rows not named are left out.

    Returns:
        Nothing where no row has the score.
    """
    column, bins = COLUMNS[metric], pooled.bins()
    lines = []
    for row, title in names.items():
        if row not in pooled.rows:
            continue
        cells = [pooled.cell(row, metric, shots) for shots in bins.values()]
        if all(cell is None for cell in cells):
            continue
        shown = ["-" if c is None else f"{c.mean:.{column.digits}f}" for c in cells]
        lines.append(f"| {title} | {' | '.join(shown)} |")
    if not lines:
        return ""
    head = f"| {column.title} | {' | '.join(bins)} |"
    return "\n".join([head, "|---" * (len(bins) + 1) + "|", *lines]) + "\n"


def _bin(shot: Shot) -> str:
    """Name the bin of a shot: both sides together."""
    kind, _, angle = _split(shot.group)
    return f"{abs(angle):g}°" if kind == "yaw" else f"{kind} {abs(angle):g}°"


def _rank(shot: Shot) -> tuple[bool, float]:
    kind, _, angle = _split(shot.group)
    return (kind == "pitch", abs(angle))


def _split(group: str) -> tuple[str, float, float]:
    """Take a group's name apart: kind, sign, signed degrees."""
    kind = "pitch" if group.startswith("pitch") else "yaw"
    angle = float(group.removeprefix(kind))
    return kind, math.copysign(1, angle), angle
