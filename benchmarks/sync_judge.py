"""How well `talk3d.sync` and the judge tell right sound from shifted sound.

    python benchmarks/sync_judge.py CLIP[=SECONDS]... [--length 2 4 6]

CLIP is a subject folder or a video, SECONDS by how much its sound is known to be late
(0 if not given). Printed for docs/results.md: the offset found for each clip, the
largest error over sound moved by -400 to 400 ms in steps of 40 and whether the answers
rise with it; then, for windows of each length that half overlap, the area under the
ROC of `Offset.in_step`, of the plain -|offset|, and of the judge's `Verdict.in_step`:
windows in sync against the same windows with sound moved by 0.2, 0.4 and 1 s either
way. Moved sound is real sound of the same clip; nothing is padded.
"""

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from talk3d.dataset import AUDIO_RATE, Subject
from talk3d.evaluate.points import face_scale, lip_gap
from talk3d.face import FaceNets, FaceTracker
from talk3d.face_models import model_files
from talk3d.judge.network import shipped_judge
from talk3d.judge.verdict import Verdict, judge_sync
from talk3d.sync import Offset, sound_offset
from talk3d.video import read_audio, read_frames

FPS = 25.0
STEPS = np.arange(-10, 11) * 0.04
WRONG = (-1.0, -0.4, -0.2, 0.2, 0.4, 1.0)
REACH = 0.4
NEVER = -100.0
Judged = tuple[Offset, Verdict]


@dataclass(frozen=True)
class Clip:
    """A talking face."""

    name: str
    track: np.ndarray
    gap: np.ndarray
    wave: np.ndarray
    late: float

    def judge(self, first: int, count: int, moved: float) -> Judged | None:
        """Judge some frames, the sound in sync but for `moved`; None off the ends."""
        start = round((first / FPS + self.late - moved) * AUDIO_RATE)
        stop = start + round(count / FPS * AUDIO_RATE)
        if start < 0 or stop > len(self.wave):
            return None
        shown, wave = slice(first, first + count), self.wave[start:stop]
        return (
            sound_offset(self.gap[shown], wave, fps=FPS, rate=AUDIO_RATE),
            self.verdict(self.track[shown], wave),
        )

    def verdict(self, track: np.ndarray, wave: np.ndarray) -> Verdict:
        """Ask the judge."""
        scale = face_scale(self.track)
        return judge_sync(shipped_judge(), track, wave, fps=FPS, scale=scale)


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("clips", nargs="+")
    parser.add_argument("--length", nargs="+", type=float, default=[2, 4, 6])
    options = parser.parse_args()
    clips = [opened(text) for text in options.clips]
    print(
        "| clip | seconds | known | found | confidence | in step | error | rises "
        "| judge: found | confidence | in step | error |"
    )
    for clip in clips:
        offsets(clip)
    print("| seconds | right | wrong | in step | -offset | judge | by clip | judge |")
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
    return Clip(path.stem, track, gap, wave, float(late or 0))


def offsets(clip: Clip) -> None:
    """Print what is found for the clip as it is, and for moved sound."""
    own = sound_offset(clip.gap, clip.wave, fps=FPS, rate=AUDIO_RATE)
    edge = round((REACH + abs(clip.late)) * FPS) + 1
    count = min(len(clip.gap), int(len(clip.wave) / AUDIO_RATE * FPS)) - 2 * edge
    found = [clip.judge(edge, count, moved) for moved in STEPS]
    pairs = [(np.nan, np.nan) if one is None else seconds(one) for one in found]
    told, judged = np.array(pairs).T
    error, rises = np.abs(told - STEPS).max(), bool((np.diff(told) > 0).all())
    verdict = clip.verdict(clip.track, clip.wave)
    cells = (
        clip.name,
        f"{len(clip.gap) / FPS:.1f}",
        f"{clip.late:+.2f}",
        f"{own.seconds:+.3f}",
        f"{own.confidence:.2f}",
        f"{own.in_step:+.2f}",
        f"{error:.3f}",
        "yes" if rises else "no",
        f"{verdict.offset:+.3f}",
        f"{verdict.confidence:.1f}",
        f"{verdict.in_step:+.1f}",
        f"{np.abs(judged - STEPS).max():.3f}",
    )
    print("|", " | ".join(cells), "|", flush=True)


def judged(clips: list[Clip], length: float) -> None:
    """Print the areas for windows of one length."""
    count = round(length * FPS)
    right: dict[str, list[Judged]] = {}
    wrong: dict[str, list[Judged]] = {}
    for clip in clips:
        for first in range(0, len(clip.gap) - count + 1, count // 2):
            for moved in (0.0, *WRONG):
                one = clip.judge(first, count, moved)
                if one is not None:
                    side = wrong if moved else right
                    side.setdefault(clip.name, []).append(one)
    whole = [
        area(*([measure(one) for one in flat(side)] for side in (right, wrong)))
        for measure in (in_step, near, by_judge)
    ]
    each = [by_clip(right, wrong, measure) for measure in (in_step, by_judge)]
    cells = (
        f"{length:g}",
        str(len(flat(right))),
        str(len(flat(wrong))),
        *(f"{value:.3f}" for value in whole),
        *each,
    )
    print("|", " | ".join(cells), "|", flush=True)


def by_clip(
    right: dict[str, list[Judged]],
    wrong: dict[str, list[Judged]],
    measure: Callable[[Judged], float],
) -> str:
    """Return the area of every clip."""
    areas = {
        name: area(
            [measure(one) for one in right[name]], [measure(one) for one in wrong[name]]
        )
        for name in right
        if name in wrong
    }
    return ", ".join(f"{name} {value:.2f}" for name, value in areas.items())


def flat(side: dict[str, list[Judged]]) -> list[Judged]:
    """Join the clips."""
    return [one for part in side.values() for one in part]


def seconds(one: Judged) -> tuple[float, float]:
    """Return both offsets."""
    return one[0].seconds, one[1].offset


def in_step(one: Judged) -> float:
    """Score a window."""
    return one[0].in_step if np.isfinite(one[0].seconds) else NEVER


def near(one: Judged) -> float:
    """Score a window by its offset alone."""
    return -abs(one[0].seconds) if np.isfinite(one[0].seconds) else NEVER


def by_judge(one: Judged) -> float:
    """Score a window by the judge."""
    return one[1].in_step if np.isfinite(one[1].offset) else NEVER


def area(right: list[float], wrong: list[float]) -> float:
    """Return the share of pairs in the right order (ties half): the ROC's area."""
    first, second = np.array(right)[:, None], np.array(wrong)[None]
    return float(((first > second) + 0.5 * (first == second)).mean())


if __name__ == "__main__":
    main()
