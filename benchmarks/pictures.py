"""Draws the pictures of the README from a synthetic subject and its avatar.

    python benchmarks/pictures.py SUBJECT GENERATOR AVATAR -o docs/images

writes ``yaw.jpg`` (the person from -60 to 60 degrees) and ``talking.jpg`` (frames of
the test part: above the video, below the avatar), both marked.
"""

import argparse
from pathlib import Path

import numpy as np

from talk3d.avatar import composite, load_avatar
from talk3d.dataset import Subject
from talk3d.person import load_person
from talk3d.pipeline import yaw_sheet
from talk3d.speaking import background
from talk3d.trust.holders import avatar_consent
from talk3d.trust.pictures import avatar_stamp, write_picture

MOMENTS = 7


def main() -> None:
    """Draw both pictures."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("subject", "generator", "avatar"):
        parser.add_argument(name, type=Path)
    parser.add_argument("-o", "--out", type=Path, required=True)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    sheet = yaw_sheet(load_person(options.generator))
    consent = avatar_consent(options.avatar)
    stamp = avatar_stamp(consent, "a synthetic head from all sides")
    write_picture(options.out / "yaw.jpg", sheet, stamp)
    strip = talking(Subject.open(options.subject), options.avatar)
    stamp = avatar_stamp(consent, "a synthetic head below its recording", seen=True)
    write_picture(options.out / "talking.jpg", strip, stamp)


def talking(subject: Subject, avatar: Path) -> np.ndarray:
    """Return evenly spread test frames: truth above, avatar below."""
    loaded, wave = load_avatar(avatar), subject.audio()
    backdrop = background("keep", loaded)
    chosen = np.linspace(subject.test.start, subject.test.stop - 1, MOMENTS).astype(int)
    shown = [next(loaded.replay(wave, range(i, i + 1))) for i in chosen.tolist()]
    truth = np.hstack([subject.frame(i) for i in chosen.tolist()])
    return np.vstack([truth, np.hstack([composite(p, backdrop) for p in shown])])


if __name__ == "__main__":
    main()
