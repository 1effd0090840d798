"""Are lips and lids drawn where they are told? Test parts drawn with and without aim.

    python benchmarks/aim.py RUN...

RUN: a folder of ``self_driven.py``. Prints, without aim, with lips aimed and with lids
aimed as well: LMD in percent, deviation of the lip gap over the truth's and its
correlation; mean error of how far the eyes are open, their 2nd percentile, and above
them the truth's own.
"""

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from talk3d.avatar import Avatar, composite, load_avatar
from talk3d.dataset import Subject
from talk3d.evaluate.points import eye_opening, face_scale, lip_distance, lip_gap
from talk3d.evaluate.scores import track
from talk3d.face import FaceNets
from talk3d.face_models import model_files
from talk3d.frames import driving_signals
from talk3d.lips import lip_space
from talk3d.speaking import background


def main() -> None:
    """Print a table per run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", nargs="+", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    nets = FaceNets(model_files(None))
    for folder in options.runs:
        print(f"{folder.name}\n{'':12}   LMD    gap   corr   eyes  least")
        run(folder, nets)


def run(folder: Path, nets: FaceNets) -> None:
    """Print the rows of a run."""
    subject = Subject.open(folder / "work" / "subject")
    avatar, part = load_avatar(folder / "avatar.safetensors"), subject.test
    truth = track(lambda k: subject.frame(part[k]), len(part), nets=nets)
    scale = face_scale(truth)
    gap, eyes = lip_gap(truth, scale=scale), eye_opening(truth)

    def show(label: str, found: np.ndarray) -> None:
        error = np.nanmean(lip_distance(found, truth, scale=scale))
        own, opening = lip_gap(found, scale=scale), eye_opening(found)
        known = np.isfinite(own) & np.isfinite(gap)
        alike = np.corrcoef(own[known], gap[known])[0, 1]
        lips = f"{error:5.2f} {np.nanstd(own) / np.nanstd(gap):6.2f} {alike:6.2f}"
        lids = f"{np.nanmean(np.abs(opening - eyes)):6.3f}"
        print(f"{label:12} {lips} {lids} {np.nanpercentile(opening, 2):6.3f}")

    show("truth", truth)
    plate = background("keep", avatar)
    for label, aimed in _aims(avatar, subject):
        pictures = [composite(p, plate) for p in aimed.replay(subject.audio(), part)]
        show(label, track(pictures.__getitem__, len(part), nets=nets))


def _aims(avatar: Avatar, subject: Subject) -> list[tuple[str, Avatar]]:
    """Return an avatar as if it had not been aimed, and step by step as it is."""
    lips = replace(avatar, eye=driving_signals(subject.arrays)[0])
    without = replace(lips, space=lip_space(subject))
    return [("without", without), ("lips", lips), ("lips, lids", avatar)]


if __name__ == "__main__":
    main()
