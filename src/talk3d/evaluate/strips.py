"""Lay pictures side by side for the eye: talking mouths, eyes, whole frames.

In: frames by label (uint8 sRGB), usually the truth first. Out: one uint8 sheet,
saved as PNG: a row per label, a column per moment, labels drawn beside them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image, ImageDraw, ImageFont

from talk3d.evaluate.regions import Box, box_around, mouth_box
from talk3d.face import LEFT_EYE, RIGHT_EYE

__all__ = [
    "both_eyes_box",
    "contact_sheet",
    "face_strips",
    "frame_strip",
    "pick_evenly",
    "pick_talking",
    "save_picture",
]

Frame = UInt8[np.ndarray, "height width 3"]
Frames = Sequence[np.ndarray]
Landmarks = Float[np.ndarray, "frames 478 2"]

_PAPER, _INK = 250, (30, 30, 30)
_GAP, _FONT_SIZE, _LABEL_PAD = 4, 14, 8


def pick_evenly(frames: range, count: int) -> list[int]:
    """Pick `count` frames, evenly spaced, each in the middle of its share."""
    count = min(count, len(frames))
    places = (np.arange(count) + 0.5) * len(frames) / count
    return [frames[int(place)] for place in places]


def pick_talking(gap: Float[np.ndarray, " frames"], count: int) -> list[int]:
    """Pick `count` frames from shut to open mouth, evenly over the ranks of the gap.

    Args:
        gap: Lip gap of the truth per frame; NaN frames are never picked.
        count: How many.

    Returns:
        Indices into `gap`, the smallest gap first.
    """
    known = np.flatnonzero(np.isfinite(gap))
    order = known[np.argsort(gap[known], kind="stable")]
    places = np.linspace(0, len(order) - 1, min(count, len(order))).round().astype(int)
    return [int(order[place]) for place in places]


def contact_sheet(
    rows: Mapping[str, Frames], *, columns: Sequence[str] = (), height: int = 128
) -> Frame:
    """Draw a labelled grid: one row per label, every tile `height` pixels high.

    Raises:
        ValueError: There is no row, or a row without pictures.
    """
    if not rows or any(len(row) == 0 for row in rows.values()):
        raise ValueError(
            f"A sheet needs at least one picture in each row; got "
            f"{ {label: len(row) for label, row in rows.items()} }."
        )
    font = ImageFont.load_default(_FONT_SIZE)
    margin = 2 * _LABEL_PAD + int(max(font.getlength(label) for label in rows))
    head = _FONT_SIZE + _LABEL_PAD if columns else 0
    tiles = {label: [_fit(tile, height) for tile in row] for label, row in rows.items()}
    count = max(len(row) for row in tiles.values())
    width = max(tile.shape[1] for row in tiles.values() for tile in row)
    size = (head + len(rows) * (height + _GAP), margin + count * (width + _GAP), 3)
    canvas = np.full(size, _PAPER, np.uint8)
    for line, row in enumerate(tiles.values()):
        top = head + line * (height + _GAP)
        for place, tile in enumerate(row):
            left = margin + place * (width + _GAP)
            canvas[top : top + height, left : left + tile.shape[1]] = tile
    page = Image.fromarray(canvas)
    draw = ImageDraw.Draw(page)
    for line, label in enumerate(tiles):
        middle = head + line * (height + _GAP) + height // 2
        draw.text((_LABEL_PAD, middle), label, _INK, font, anchor="lm")
    for place, label in enumerate(columns[:count]):
        left = margin + place * (width + _GAP) + width // 2
        draw.text((left, head // 2), label, _INK, font, anchor="mm")
    return np.asarray(page)


def frame_strip(
    videos: Mapping[str, Frames],
    boxes: Sequence[Box] | None,
    out: Path,
    *,
    columns: Sequence[str] = (),
    height: int = 128,
) -> Frame:
    """Save one strip: for each label its frames, cut to one box per moment.

    Args:
        videos: Frames by label, all lists equally long, frame k the same moment.
        boxes: One box per moment, of the truth; None shows whole frames.
        out: The PNG to write.
        columns: What to write above each moment.
        height: Pixels of each tile.

    Returns:
        The sheet.
    """
    if boxes is not None:
        videos = {
            label: [box.cut(frame) for frame, box in zip(frames, boxes, strict=True)]
            for label, frames in videos.items()
        }
    sheet = contact_sheet(videos, columns=columns, height=height)
    save_picture(sheet, out)
    return sheet


def face_strips(
    videos: Mapping[str, Frames],
    landmarks: Landmarks,
    folder: Path,
    *,
    columns: Sequence[str] = (),
) -> list[Path]:
    """Save `mouths.png`, `eyes.png` and `frames.png` of the same moments.

    Args:
        videos: A few picked frames by label, the truth first.
        landmarks: The truth's landmarks in these frames, [0, 1] of the picture.
        folder: Where to write; made if absent.
        columns: What to write above each moment.
    """
    folder.mkdir(parents=True, exist_ok=True)
    first = next(iter(videos.values()))[0]
    size = (first.shape[1], first.shape[0])
    mouths = [_squarer(mouth_box(points, size), size) for points in landmarks]
    eyes = [both_eyes_box(points, size) for points in landmarks]
    paths = [folder / f"{name}.png" for name in ("mouths", "eyes", "frames")]
    for path, boxes in zip(paths, (mouths, eyes, None), strict=True):
        height = {"mouths": 128, "eyes": 80}.get(path.stem, 160)
        frame_strip(videos, boxes, path, columns=columns, height=height)
    return paths


def both_eyes_box(points: Float[np.ndarray, "478 2"], size: tuple[int, int]) -> Box:
    """Box both eyes together, 30 % wider, and high enough for the brows' shadow."""
    box = box_around(points[list(LEFT_EYE + RIGHT_EYE)], size)
    grow = (box.bottom - box.top) // 2
    top, bottom = max(box.top - grow, 0), min(box.bottom + grow, size[1])
    return Box(box.left, top, box.right, bottom)


def save_picture(picture: Frame, path: Path) -> None:
    """Write a PNG, making its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture).save(path, compress_level=3)


def _squarer(box: Box, size: tuple[int, int]) -> Box:
    """Give a mouth box a fixed aspect of 4 to 3, so that opening shows as opening."""
    width, middle = box.right - box.left, (box.top + box.bottom) / 2
    half = max(width * 3 / 8, (box.bottom - box.top) / 2)
    top, bottom = round(max(middle - half, 0)), round(min(middle + half, size[1]))
    return Box(box.left, top, box.right, bottom)


def _fit(tile: np.ndarray, height: int) -> np.ndarray:
    """Scale a tile to a height."""
    width = max(round(tile.shape[1] * height / tile.shape[0]), 1)
    larger = height > tile.shape[0]
    method = cv2.INTER_CUBIC if larger else cv2.INTER_AREA
    return cv2.resize(tile, (width, height), interpolation=method)
