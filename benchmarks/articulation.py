"""How far should lips move? Test parts drawn with told lips that move more.

    python benchmarks/articulation.py RUN... [--gains 0.8 1 1.2 1.6]

RUN: a folder of ``self_driven.py``. Prints, of every gain: LMD in percent, deviation of
the lip gap over the truth's, and the judge's confidence, offset (s) and *in step*;
above them the truth's own.
"""

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from talk3d.avatar import composite, load_avatar
from talk3d.dataset import Subject
from talk3d.evaluate.points import face_scale, lip_distance, lip_gap
from talk3d.evaluate.scores import track
from talk3d.face import FaceNets
from talk3d.face_models import model_files
from talk3d.judge.network import shipped_judge
from talk3d.judge.verdict import judge_sync
from talk3d.speaking import background

RATE = 16_000


def main() -> None:
    """Print a table per run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--gains", nargs="+", type=float, default=[0.8, 1, 1.2, 1.6])
    options = parser.parse_args()
    torch.set_num_threads(1)
    nets = FaceNets(model_files(None))
    for folder in options.runs:
        print(f"{folder.name}\n{'':8}   LMD    gap  confidence  offset  in step")
        run(folder, options.gains, nets)


def run(folder: Path, gains: list[float], nets: FaceNets) -> None:
    """Print the rows of a run."""
    subject = Subject.open(folder / "work" / "subject")
    avatar, part = load_avatar(folder / "avatar.safetensors"), subject.test
    truth = track(lambda k: subject.frame(part[k]), len(part), nets=nets)
    scale, wave = face_scale(truth), subject.audio()
    first, last = (round(n / subject.fps * RATE) for n in (part.start, part.stop))
    wide = np.nanstd(lip_gap(truth, scale=scale))

    def show(label: str, found: np.ndarray) -> None:
        error = np.nanmean(lip_distance(found, truth, scale=scale))
        gap = np.nanstd(lip_gap(found, scale=scale)) / wide
        sound = wave[first:last]
        said = judge_sync(shipped_judge(), found, sound, fps=subject.fps, scale=scale)
        numbers = f"{said.confidence:9.2f} {said.offset:+9.2f} {said.in_step:8.2f}"
        print(f"{label:8} {error:5.2f} {gap:6.2f} {numbers}")

    show("truth", truth)
    plate = background("keep", avatar)
    for gain in gains:
        moved = replace(avatar, voice=avatar.voice.articulated(gain))
        pictures = [composite(p, plate) for p in moved.replay(wave, part)]
        show(f"{gain:g}", track(pictures.__getitem__, len(part), nets=nets))


if __name__ == "__main__":
    main()
