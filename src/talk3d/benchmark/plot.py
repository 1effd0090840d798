"""Draw line plots as SVG: plain text that any browser shows.

In: points by label and panel. Out: one SVG with the panels side by side and a legend.
"""

from __future__ import annotations

import html
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

__all__ = ["Panel", "svg"]

_COLOURS = ("#d1495b", "#edae49", "#00798c", "#6b6b6b", "#a5b452", "#7b4fa3", "#222222")
_WIDTH, _HEIGHT = 360, 250
_LEFT, _TOP, _RIGHT, _BOTTOM = 44, 30, 12, 34
_LEGEND = 28

Points = Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Panel:
    """One set of axes."""

    title: str
    """Above it."""
    lines: Mapping[str, Points]
    """Points by label, x ascending; labels share colours over the panels."""


def svg(panels: Sequence[Panel], *, across: str, columns: int = 2) -> str:
    """Draw panels in a grid.

    Args:
        panels: What to draw.
        across: What the x axes show.
        columns: Panels beside each other.

    Raises:
        ValueError: There is nothing to draw.
    """
    if not panels or not any(panel.lines for panel in panels):
        raise ValueError("There is no line to draw: give at least one panel with one.")
    labels = list(dict.fromkeys(label for panel in panels for label in panel.lines))
    colour = {name: _COLOURS[k % len(_COLOURS)] for k, name in enumerate(labels)}
    rows = math.ceil(len(panels) / columns)
    width, top = columns * _WIDTH, rows * _HEIGHT
    legend = _legend(colour, top, width)
    height = top + _LEGEND * math.ceil(len(legend) / 4)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        f'width="{width}" height="{height}" font-family="sans-serif" font-size="11">',
        f'<rect width="{width}" height="{height}" fill="#fff"/>',
    ]
    for k, panel in enumerate(panels):
        x, y = (k % columns) * _WIDTH, (k // columns) * _HEIGHT
        inner = _panel(panel, colour, across)
        parts.append(f'<g transform="translate({x} {y})">{inner}</g>')
    parts += [*legend, "</svg>\n"]
    return "\n".join(parts)


def _panel(panel: Panel, colour: Mapping[str, str], across: str) -> str:
    points = [point for line in panel.lines.values() for point in line]
    if not points:
        return ""
    low_x, high_x = _range([x for x, _ in points])
    ticks = _ticks(*_range([y for _, y in points]))
    low_y, high_y = ticks[0], ticks[-1]

    def place(x: float, y: float) -> tuple[float, float]:
        right, bottom = _WIDTH - _RIGHT, _HEIGHT - _BOTTOM
        column = _LEFT + (x - low_x) / (high_x - low_x) * (right - _LEFT)
        return column, bottom - (y - low_y) / (high_y - low_y) * (bottom - _TOP)

    parts = [f'<text x="{_LEFT}" y="18" font-weight="bold">{_safe(panel.title)}</text>']
    for tick in ticks:
        x, y = place(low_x, tick)
        parts.append(
            f'<path d="M{x:.1f} {y:.1f}H{_WIDTH - _RIGHT}" stroke="#ddd"/>'
            f'<text x="{x - 5:.1f}" y="{y + 4:.1f}" text-anchor="end">{tick:g}</text>'
        )
    for tick in _marks(sorted({x for x, _ in points})):
        x, y = place(tick, low_y)
        parts.append(
            f'<text x="{x:.1f}" y="{y + 14:.1f}" text-anchor="middle">{tick:.0f}</text>'
        )
    middle = (_LEFT + _WIDTH - _RIGHT) / 2
    parts.append(
        f'<text x="{middle}" y="{_HEIGHT - 6}" text-anchor="middle">'
        f"{_safe(across)}</text>"
    )
    for label, line in panel.lines.items():
        spots = [place(x, y) for x, y in line]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in spots)
        paint = colour[label]
        parts.append(
            f'<polyline points="{path}" fill="none" stroke="{paint}" stroke-width="2"/>'
        )
        parts += [
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2.5" fill="{paint}"/>'
            for x, y in spots
        ]
    return "".join(parts)


def _legend(colour: Mapping[str, str], top: int, width: int) -> list[str]:
    """Return the legend's entries, as many lines as they need."""
    parts, x, y = [], float(_LEFT), top + _LEGEND / 2
    for label, paint in colour.items():
        wide = 42 + 6.4 * len(label)
        if x + wide > width and x > _LEFT:
            x, y = float(_LEFT), y + _LEGEND
        parts.append(
            f'<path d="M{x:.0f} {y:.0f}h18" stroke="{paint}" stroke-width="3"/>'
            f'<text x="{x + 23:.0f}" y="{y + 4:.0f}">{_safe(label)}</text>'
        )
        x += wide
    return parts


def _range(values: Sequence[float]) -> tuple[float, float]:
    low, high = min(values), max(values)
    return (low, high) if high > low else (low - 0.5, high + 0.5)


def _ticks(low: float, high: float) -> list[float]:
    """Return four to eight round numbers that enclose a range."""
    rough = (high - low) / 5
    power = 10 ** math.floor(math.log10(rough))
    step = next(power * k for k in (1, 2, 5, 10) if power * k >= rough)
    first, last = math.floor(low / step), math.ceil(high / step)
    return [round(float(k * step), 10) for k in range(first, last + 1)]


def _marks(values: Sequence[float]) -> Sequence[float]:
    """Keep at most eleven places for numbers under the axis."""
    step = math.ceil(len(values) / 11)
    return values[::step]


def _safe(text: str) -> str:
    return html.escape(text)
