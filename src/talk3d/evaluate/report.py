"""What an evaluation found: scores of all rows, aims met or not, as JSON."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from talk3d.evaluate.align import Lag, Place
from talk3d.evaluate.scores import Score

__all__ = ["DELIVERED", "RESULT", "TRUTH_ROWS", "Bar", "Report", "as_json", "bars"]

RESULT = "result"
"""Label of the judged row."""
DELIVERED = "result, as delivered"
"""Label of the result without its lag taken out."""
RIVALS = (
    "nearest frame (pose)",
    "nearest frame (sound)",
    "result, mouth frozen",
    "lips at rest",
    "rolled audio",
)
"""Rows whose mouths must be further off than the result's; others only stand by."""
TRUTH_ROWS = ("truth", "truth re-encoded", "truth at 64 px", "truth, mouth frozen")
"""Rows made of the truth's own frames: no rivals, but what the numbers mean."""

_LOW_AIMS = {
    "matte/psnr": 26.0,
    "matte/sharpness": 0.6,
    "mouth/sharpness": 0.6,
    "eyes/sharpness": 0.6,
}
_HIGH_AIMS = {"face/jitter": 1.2}
_MOUTH_ERRORS = ("lips/lmd", "mouth/mae")
_BETTER = 0.9


@dataclass(frozen=True)
class Bar:
    """One aim and whether it is met."""

    metric: str
    """Name of the score."""
    rival: str | None
    """Row whose score divides the result's; None for the score itself."""
    sense: str
    """`at least` or `at most`."""
    value: float
    """What was measured."""
    aim: float
    """The bar."""
    met: bool
    """Whether the value is on the right side of it."""


@dataclass(frozen=True)
class Report:
    """What was found; written as `report.json`."""

    result: str
    """File name of the result."""
    reference: str
    """Name of the subject or video."""
    frames: int
    """Judged frames."""
    first: int
    """The recording's frame that was judged first."""
    fps: float
    """Frames per second."""
    size: tuple[int, int]
    """Width and height the numbers were measured at."""
    place: Place
    """Where in the result the judged part was found."""
    lag: Lag
    """By how much the result's pictures are late."""
    rows: dict[str, dict[str, Score]]
    """Scores by row, the result first."""
    bars: list[Bar]
    """The aims."""
    notes: list[str] = field(default_factory=list)
    """What a reader must know."""
    missing: dict[str, str] = field(default_factory=dict)
    """What was not computed, and why."""


def bars(rows: Mapping[str, Mapping[str, Score]]) -> list[Bar]:
    """Hold the result against the aims of docs/protocol.md."""
    own, found = rows[RESULT], []
    for metric, aim in _LOW_AIMS.items():
        if metric in own:
            value = own[metric].mean
            found.append(Bar(metric, None, "at least", value, aim, value >= aim))
    for metric, aim in _HIGH_AIMS.items():
        if metric in own:
            value = own[metric].mean
            found.append(Bar(metric, None, "at most", value, aim, value <= aim))
    for rival in RIVALS:
        row = rows.get(rival, {})
        for metric in _MOUTH_ERRORS:
            if metric in own and metric in row and row[metric].mean > 0:
                value = own[metric].mean / row[metric].mean
                met = value <= _BETTER
                found.append(Bar(metric, rival, "at most", value, _BETTER, met))
    return found


def as_json(report: Report) -> str:
    """Write a report as JSON; numbers that are not finite become null."""
    return json.dumps(_plain(dataclasses.asdict(report)), indent=1, allow_nan=False)


def _plain(value: object) -> object:
    """Make a tree of JSON: tuples to lists, numbers that are not finite to null."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
