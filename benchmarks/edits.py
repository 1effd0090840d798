"""Edits tuned people: does what the prior knows of smiles and age still work?

    python benchmarks/edits.py AVATAR... -o PICTURE

draws each person in the first moment of the recording from 0 and 45 degrees (rows) as
recorded, with smiles of 0.5 and 1, 15 and 30 years older and 20 years younger
(columns), on grey. Printed, from the front, in percent of the distance of the outer eye
corners: the width of the mouth, and how far the landmarks of nose and eyes move.
"""

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np

from talk3d.avatar import Avatar, load_avatar
from talk3d.benchmark.score import over_grey
from talk3d.edits import Edit, edited
from talk3d.face import LEFT_EYE, RIGHT_EYE, FaceNets, FaceTracker
from talk3d.face_models import model_files
from talk3d.trust.holders import avatar_consent
from talk3d.trust.pictures import avatar_stamp, write_picture
from talk3d.view import View

EDITS = (
    Edit(),
    Edit(smile=0.5),
    Edit(smile=1.0),
    Edit(years=15.0),
    Edit(years=30.0),
    Edit(years=-20.0),
)
YAWS = (0, 45)
CORNERS, CANTHI = (61, 291), (33, 263)
STEADY = (*LEFT_EYE, *RIGHT_EYE, 1, 4, 5, 6, 98, 168, 195, 197, 327)


def main() -> None:
    """Draw and measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("avatars", nargs="+", type=Path)
    parser.add_argument("-o", "--out", type=Path, required=True)
    options = parser.parse_args()
    nets = FaceNets(model_files(None))
    sheets = []
    for path in options.avatars:
        avatar = load_avatar(path)
        rows = [[shown(avatar, edit, yaw) for edit in EDITS] for yaw in YAWS]
        sheets += [np.hstack(row) for row in rows]
        marks = [landmarks(picture, nets) for picture in rows[0]]
        for edit, found in zip(EDITS, marks, strict=True):
            width, moved = across(found, CORNERS), apart(found, marks[0])
            print(f"{path.stem} {edit}: mouth {width:.1f} %, rest {moved:.2f} %")
    stamp = avatar_stamp(avatar_consent(options.avatars[0]), "edited synthetic heads")
    write_picture(options.out, np.vstack(sheets), stamp)


def shown(avatar: Avatar, edit: Edit, yaw: int) -> np.ndarray:
    """Return the first moment of a silence, on grey."""
    changed = replace(avatar, person=edited(avatar.person, edit))
    view = View.parse(f"{yaw},0")
    return over_grey(next(changed.speak(np.zeros(640, np.float32), view)))


def landmarks(picture: np.ndarray, nets: FaceNets) -> np.ndarray:
    """Return the landmarks of a face, pixels."""
    found = FaceTracker(nets).start(picture, nets.detect(picture)[0])
    if found is None:
        raise ValueError("an edited picture shows no face")
    return found


def across(marks: np.ndarray, pair: tuple[int, int]) -> float:
    """Return the distance of two landmarks."""
    first, second = (np.linalg.norm(marks[a] - marks[b]) for a, b in (pair, CANTHI))
    return 100 * float(first / second)


def apart(marks: np.ndarray, others: np.ndarray) -> float:
    """Return how far nose and eyes have moved, on average."""
    moved = np.linalg.norm(marks - others, axis=1)[list(STEADY)].mean()
    scale = np.linalg.norm(others[CANTHI[0]] - others[CANTHI[1]])
    return 100 * float(moved / scale)


if __name__ == "__main__":
    main()
