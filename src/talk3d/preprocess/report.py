"""The capture report: one JSON-ready dictionary and one self-contained HTML page."""

import base64
import html
import io
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image

from talk3d.preprocess.checks import Finding

__all__ = ["coverage_plot", "html_page"]

_MARKS = {"good": "✓", "note": "·", "warning": "!"}
_STYLE = """
body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;
color:#222;background:#fff}h1{font-size:1.4rem}h2{font-size:1.1rem;margin-top:2rem}
td,th{padding:.25rem .8rem .25rem 0;text-align:left;vertical-align:top}
.warning{color:#a33}.note{color:#666}.good{color:#276}img{margin:.2rem;width:9rem}
@media (prefers-color-scheme:dark){body{color:#ddd;background:#111}.warning{color:#f88}
.note{color:#999}.good{color:#7c9}}
"""


def html_page(
    title: str,
    verdict: str,
    findings: list[Finding],
    numbers: dict[str, Any],
    pictures: list[UInt8[np.ndarray, "size size 3"]],
    angles: Float[np.ndarray, "frames 2"],
) -> str:
    """Return a page that needs nothing from outside.

    Args:
        title: Name of the video.
        verdict: One sentence.
        findings: What was found.
        numbers: Further values by name.
        pictures: Example pictures.
        angles: Yaw and pitch of the head per frame, radians.
    """
    rows = "".join(
        f'<tr class="{f.level}"><td>{_MARKS[f.level]}</td><th>{html.escape(f.topic)}'
        f"</th><td>{html.escape(f.text)}</td></tr>"
        for f in findings
    )
    values = "".join(
        f"<tr><th>{html.escape(name)}</th><td>{html.escape(str(value))}</td></tr>"
        for name, value in numbers.items()
    )
    shown = "".join(f'<img alt="" src="{_data_uri(picture)}">' for picture in pictures)
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>'
        f"{html.escape(title)}</title><style>{_STYLE}</style>"
        f"<h1>{html.escape(title)}</h1><p>{html.escape(verdict)}</p>"
        f"<table>{rows}</table><p>{shown}</p>"
        f"<h2>Where the head looks</h2>{coverage_plot(angles)}"
        f"<h2>Numbers</h2><table>{values}</table></html>\n"
    )


def coverage_plot(angles: Float[np.ndarray, "frames 2"]) -> str:
    """Return an SVG of yaw (across) and pitch (up), a dot per frame, degrees."""
    degrees = np.degrees(angles)
    reach = 60.0
    lines, dots = [], []
    for mark in range(-45, 46, 15):
        place = (mark / reach + 1) * 150
        lines.append(f'<path d="M{place:.1f} 0V300M0 {place:.1f}H300"/>')
        lines.append(f'<text x="{place + 2:.1f}" y="298">{mark}°</text>')
        if mark:
            lines.append(f'<text x="2" y="{300 - place - 2:.1f}">{mark}°</text>')
    step = max(1, len(degrees) // 1500)
    for yaw, pitch in np.clip(degrees[::step], -reach, reach):
        x, y = (yaw / reach + 1) * 150, (1 - pitch / reach) * 150
        dots.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2"/>')
    low, high = degrees.min(0), degrees.max(0)
    caption = (
        f"yaw {low[0]:.0f}° to {high[0]:.0f}° (positive: toward the subject's left), "
        f"pitch {low[1]:.0f}° to {high[1]:.0f}° (positive: up)"
    )
    return (
        '<svg viewBox="0 0 300 300" width="300" height="300" role="img" aria-label='
        f'"{html.escape(caption)}"><g stroke="#8884" fill="#888" font-size="8">'
        f'{"".join(lines)}</g><g fill="#27a" fill-opacity=".5">{"".join(dots)}</g>'
        f"</svg><p>{html.escape(caption)}</p>"
    )


def _data_uri(picture: UInt8[np.ndarray, "size size 3"]) -> str:
    buffer = io.BytesIO()
    Image.fromarray(picture).resize((160, 160)).save(buffer, "JPEG", quality=80)
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}"
