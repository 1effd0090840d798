"""Measure the seam of an avatar laid back into its video.

    python benchmarks/full_frame.py AVATAR VIDEO [-o SHEET] [--frames N]

The avatar says the recording's own sound. Printed: the mean gradient of brightness at
the outline of the avatar, and at the sides of its square, over that of the source frame
there (1: no seam); the largest within a few pixels counts, as outlines differ a little.
SHEET: source above, result below.
"""

import argparse
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from talk3d.avatar import load_avatar
from talk3d.inlay import Crop, SourceFrames, inlay
from talk3d.video import read_audio
from talk3d.view import View

OUTLINE = 3
"""Width of the outline, pixels."""
NEAR = 9
"""Width of the square in which the largest gradient counts, pixels."""
SHOWN = 6


def main() -> None:
    """Print the seam."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("avatar", type=Path)
    parser.add_argument("video", type=Path)
    parser.add_argument("-o", "--out", type=Path)
    parser.add_argument("--frames", type=int, default=50)
    given = parser.parse_args()
    avatar = load_avatar(given.avatar)
    crop = Crop(*avatar.info["place"])
    end = crop.start + given.frames / avatar.fps
    wave = read_audio(given.video, start=crop.start, end=end)
    sources = SourceFrames(given.video, fps=avatar.fps, start=crop.start)
    plate = avatar.plate.permute(1, 2, 0).numpy()
    slopes, tiles = [], []
    step = max(1, given.frames // SHOWN)
    for index, picture in enumerate(avatar.speak(wave, View.parse("recorded"))):
        source = sources[index]
        laid = inlay(picture, plate, source, crop)
        places = _outline(picture, source, crop), _sides(source, crop)
        slopes.append(
            [_slope(image)[p].mean() for p in places for image in (laid, source)]
        )
        if index % step == 0:
            tiles.append(np.concatenate([_around(source, crop), _around(laid, crop)]))
    mean = np.mean(slopes, axis=0)
    print(
        f"outline {mean[0] / mean[1]:.2f}, sides of the square {mean[2] / mean[3]:.2f}"
    )
    if given.out:
        Image.fromarray(np.concatenate(tiles, axis=1)).save(given.out)


def _slope(image: np.ndarray) -> np.ndarray:
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32)
    slope = np.hypot(cv2.Sobel(grey, -1, 1, 0), cv2.Sobel(grey, -1, 0, 1))
    return cv2.dilate(slope, np.ones((NEAR, NEAR), np.uint8))


def _outline(picture: np.ndarray, source: np.ndarray, crop: Crop) -> np.ndarray:
    """Return the pixels of the source frame on the avatar's outline."""
    side = round(crop.side)
    solid = cv2.resize(picture[..., 3], (side, side), interpolation=cv2.INTER_CUBIC)
    edge = cv2.morphologyEx(
        (solid > 127).astype(np.uint8),
        cv2.MORPH_GRADIENT,
        np.ones((OUTLINE, OUTLINE), np.uint8),
    )
    height, width = source.shape[:2]
    whole = np.zeros((height, width), bool)
    rows, columns = np.nonzero(edge)
    rows, columns = rows + round(crop.y), columns + round(crop.x)
    inside = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
    whole[rows[inside], columns[inside]] = True
    return whole


def _sides(source: np.ndarray, crop: Crop) -> np.ndarray:
    whole = np.zeros(source.shape[:2], np.uint8)
    corner = round(crop.x), round(crop.y)
    other = round(crop.x + crop.side), round(crop.y + crop.side)
    return cv2.rectangle(whole, corner, other, 1, OUTLINE) > 0


def _around(image: np.ndarray, crop: Crop) -> np.ndarray:
    """Return the square and half as much again, at a fixed size."""
    reach = round(crop.side / 4)
    left, top = max(0, round(crop.x) - reach), max(0, round(crop.y) - reach)
    side = round(crop.side) + 2 * reach
    cut = image[top : top + side, left : left + side]
    return cv2.resize(cut, (320, 320 * cut.shape[0] // cut.shape[1]))


if __name__ == "__main__":
    main()
