"""An adapter to copy: answers every shot with the most frontal training frame.

    python still.py GIVEN OUT

A real system would fit itself to ``video.mp4`` and ``train`` of ``cameras.json``, be
driven by ``audio.wav`` at the shots' ``seconds``, and render each shot's ``label``.
"""

import json
import math
import sys
from pathlib import Path

import av

MIDDLE_COLUMN = slice(2, 15, 4)


def main(given: Path, out: Path) -> None:
    """Write one PNG for every shot."""
    cameras = json.loads((given / "cameras.json").read_text())
    train = cameras["train"]
    best = min(range(len(train)), key=lambda k: abs(yaw(train[k]["label"])))
    with av.open(str(given / "video.mp4")) as video:
        frames = video.decode(video=0)
        picture = next(frame for k, frame in enumerate(frames) if k == best)
    for shot in cameras["shots"]:
        picture.to_image().save(out / f"{shot['name']}.png")


def yaw(label: list[float]) -> float:
    """Return where the camera stands, radians; + is the subject's left."""
    forward = label[MIDDLE_COLUMN][:3]
    return math.atan2(-forward[0], -forward[2])


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
