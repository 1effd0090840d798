"""How well `talk3d.sync` tells right sound from shifted sound.

    python benchmarks/sync_judge.py CLIP[=SECONDS]... [--length 2 4 6]

CLIP is a subject folder or a video, SECONDS by how much its sound is known to be late
(0 if not given). Printed for docs/results.md: the offset found for each clip, the
largest error over sound moved by -400 to 400 ms in steps of 40 and whether the answers
rise with it; then, for windows of each length that half overlap, the area under the
ROC of `Offset.in_step` and of the plain -|offset|: windows in sync against the same
windows with sound moved by 0.2, 0.4 and 1 s either way. Moved sound is real sound of
the same clip; nothing is padded.
"""

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from talk3d.dataset import AUDIO_RATE, Subject
from talk3d.evaluate.points import face_scale, lip_gap
from talk3d.face import FaceNets, FaceTracker
from talk3d.face_models import model_files
from talk3d.sync import Offset, sound_offset
from talk3d.video import read_audio, read_frames

FPS = 25.0
STEPS = np.arange(-10, 11) * 0.04
WRONG = (-1.0, -0.4, -0.2, 0.2, 0.4, 1.0)
REACH = 0.4


@dataclass(frozen=True)
class Clip:
    """A talking face."""

    name: str
    gap: np.ndarray
    wave: np.ndarray
    late: float

    def judge(self, first: int, count: int, moved: float) -> Offset | None:
        """Judge some frames, the sound in sync but for `moved`; None off the ends."""
        start = round((first / FPS + self.late - moved) * AUDIO_RATE)
        stop = start + round(count / FPS * AUDIO_RATE)
        if start < 0 or stop > len(self.wave):
            return None
        gap, wave = self.gap[first : first + count], self.wave[start:stop]
        return sound_offset(gap, wave, fps=FPS, rate=AUDIO_RATE)


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("clips", nargs="+")
    parser.add_argument("--length", nargs="+", type=float, default=[2, 4, 6])
    options = parser.parse_args()
    clips = [opened(text) for text in options.clips]
    print("| clip | seconds | known | found | confidence | in step | error | rises |")
    for clip in clips:
        offsets(clip)
    print("| seconds | right | wrong | ROC of in step | ROC of -|offset| | by clip |")
    for length in options.length:
        judged(clips, length)


def opened(text: str) -> Clip:
    """Read CLIP=SECONDS."""
    name, _, late = text.partition("=")
    path = Path(name)
    if path.is_dir():
        subject = Subject.open(path)
        valid = subject.arrays["valid"][:, None, None] > 0
        track = np.where(valid, subject.arrays["landmarks"], np.nan)
        wave = subject.audio()
    else:
        tracker = FaceTracker(FaceNets(model_files(offline=True)))
        lost = np.full((478, 2), np.nan, np.float32)
        found = [tracker.update(frame) for frame in read_frames(path, fps=FPS)]
        track = np.stack([lost if points is None else points for points in found])
        wave = read_audio(path, rate=AUDIO_RATE)
    gap = lip_gap(track, scale=face_scale(track))
    return Clip(path.stem, gap, wave, float(late or 0))


def offsets(clip: Clip) -> None:
    """Print what is found for the clip as it is, and for moved sound."""
    own = sound_offset(clip.gap, clip.wave, fps=FPS, rate=AUDIO_RATE)
    edge = round((REACH + abs(clip.late)) * FPS) + 1
    count = min(len(clip.gap), int(len(clip.wave) / AUDIO_RATE * FPS)) - 2 * edge
    found = [clip.judge(edge, count, moved) for moved in STEPS]
    told = np.array([np.nan if one is None else one.seconds for one in found])
    error, rises = np.abs(told - STEPS).max(), bool((np.diff(told) > 0).all())
    cells = (
        clip.name,
        f"{len(clip.gap) / FPS:.1f}",
        f"{clip.late:+.2f}",
        f"{own.seconds:+.3f}",
        f"{own.confidence:.2f}",
        f"{own.in_step:+.2f}",
        f"{error:.3f}",
        "yes" if rises else "no",
    )
    print("|", " | ".join(cells), "|", flush=True)


def judged(clips: list[Clip], length: float) -> None:
    """Print the areas for windows of one length."""
    count = round(length * FPS)
    right: dict[str, list[Offset]] = {}
    wrong: dict[str, list[Offset]] = {}
    for clip in clips:
        for first in range(0, len(clip.gap) - count + 1, count // 2):
            for moved in (0.0, *WRONG):
                one = clip.judge(first, count, moved)
                if one is not None:
                    side = wrong if moved else right
                    side.setdefault(clip.name, []).append(one)
    steps = [[in_step(one) for one in flat(side)] for side in (right, wrong)]
    plain = [[near(one) for one in flat(side)] for side in (right, wrong)]
    both = right, wrong
    each = [
        f"{name} {area(*([in_step(one) for one in side[name]] for side in both)):.2f}"
        for name in right
        if name in wrong
    ]
    sizes = len(steps[0]), len(steps[1])
    print(
        f"| {length:g} | {sizes[0]} | {sizes[1]} | {area(*steps):.3f} | "
        f"{area(*plain):.3f} | {', '.join(each)} |",
        flush=True,
    )


def flat(side: dict[str, list[Offset]]) -> list[Offset]:
    """Join the clips."""
    return [one for part in side.values() for one in part]


def in_step(one: Offset) -> float:
    """Score a window."""
    return one.in_step if np.isfinite(one.seconds) else -2.0


def near(one: Offset) -> float:
    """Score a window by its offset alone."""
    return -abs(one.seconds) if np.isfinite(one.seconds) else -2.0


def area(right: list[float], wrong: list[float]) -> float:
    """Return the share of pairs in the right order (ties half): the ROC's area."""
    first, second = np.array(right)[:, None], np.array(wrong)[None]
    return float(((first > second) + 0.5 * (first == second)).mean())


if __name__ == "__main__":
    main()
