"""Test avatars that say what their person never said, in languages never heard.

    python benchmarks/talking.py -o FOLDER [--effort SHARE] [--head FILE] SEED...

Each seed is a synthetic person who is filmed while talking for 20 s (exact labels). The
prior is fitted and taught to speak; of the first people (--controls N) the same is done
from random weights, without the guard, as nothing is known of unseen sides. Then the
same person says a sentence in each of five languages that the hearing network was never
taught (Hungarian, Portuguese, Turkish, Greek, Hindi), and the avatar is told the sound;
head, lids, brows and gaze are the performance's. Held against the renderer's truth:

* lips: gap in the avatar's pictures (found by the face networks) against the true gap:
  correlation, offset, and whether it shuts at p, b and m; motion is its deviation over
  that found in the renderer's pictures; what the judge of lips and sound says of the
  avatar's mouth and of the one found in the renderer's pictures;
* sides: PSNR of the person and error of the face's surface, from -75 to 75 degrees,
  of the talking avatar and of the fitted person before it was taught to speak, who is
  told the true lips; sharpness of eyes and mouth.

The last row of a table of sides is of the people alone of whom there is a control. Per
person FOLDER/SEED/ours.json (random.json of a control) and strips; what is there is
kept. Printed: the means over all people named.
"""

import argparse
import functools
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import torch
from PIL import Image

from talk3d.animator.moving import Moving
from talk3d.animator.train import AnimatorTrainConfig
from talk3d.avatar import Avatar, load_avatar
from talk3d.benchmark.ours import shortened, unlearned
from talk3d.benchmark.score import over_grey
from talk3d.dataset import Subject
from talk3d.demo import shipped
from talk3d.evaluate.points import face_scale
from talk3d.face import FaceNets
from talk3d.face_models import model_files
from talk3d.judge.network import shipped_judge
from talk3d.judge.verdict import Verdict, judge_sync
from talk3d.lips import face_numbers, lip_shapes, upper_signals
from talk3d.person import load_person
from talk3d.personalize import PersonalizeConfig
from talk3d.pipeline import personalize_subject, train_subject
from talks import (
    TEXTS,
    YAWS,
    Talk,
    compared,
    drawn,
    driving_of,
    lip_gaps,
    talks_of,
    together,
    tracked,
)

SHUT = 2.0
"""Percent of the distance of the outer eye corners."""
SLACK = 3
"""Frames by which the offset is searched, and left out at both ends."""
ROWS = ("talking", "still", "random talking")


def main() -> None:
    """Run the test."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("seeds", type=int, nargs="+")
    parser.add_argument("-o", "--out", type=Path, required=True)
    parser.add_argument("--effort", type=float, default=0.5)
    parser.add_argument("--controls", type=int, default=2)
    parser.add_argument("--prior", type=Path)
    parser.add_argument("--head", type=Path)
    given = parser.parse_args()
    torch.set_num_threads(1)
    prior = given.prior or shipped("prior-small.safetensors")
    results = []
    for place, seed in enumerate(given.seeds):
        folder = given.out / str(seed)
        rows = ("ours", "random") if place < given.controls else ("ours",)
        for row in rows:
            if not (folder / f"{row}.json").is_file():
                talks = talks_of(folder, seed, given.head)
                fit = _fitted(folder, row, prior, effort=given.effort)
                scores = json.dumps(_scored(folder, talks, row, fit))
                (folder / f"{row}.json").write_text(scores)
        results.append(_merged(folder, rows))
        print(seed, json.dumps(results[-1]["lips"]), flush=True)
    _show(results)


@dataclass(frozen=True)
class _Fit:
    """A person before and after it was taught to speak."""

    still: Path
    talking: Path


def _fitted(folder: Path, row: str, prior: Path, *, effort: float) -> _Fit:
    """Fit and teach; from the prior or from random weights."""
    out = folder / row
    out.mkdir(parents=True, exist_ok=True)
    config = shortened(PersonalizeConfig(), effort, seed=0)
    if row == "random":
        prior = unlearned(prior, out / "unlearned.safetensors", seed=0)
        config = replace(config, guard=0.0)
    still, talking = out / "person.safetensors", out / "avatar.safetensors"
    if not still.is_file():
        personalize_subject(folder / "own", prior, still, config, _quiet)
    if not talking.is_file():
        learning = AnimatorTrainConfig()
        learning = replace(learning, steps=max(1, round(effort * learning.steps)))
        if row == "random":
            learning = replace(learning, guard=0.0)
        nets = FaceNets(model_files(None, offline=True))
        train_subject(folder / "own", still, talking, learning, _quiet, nets=nets)
    return _Fit(still, talking)


@functools.lru_cache(maxsize=2)
def _opened(avatar: Path) -> Avatar:
    return load_avatar(avatar)


def _quiet(stage: str, part: float) -> None:
    del stage, part


def _scored(folder: Path, talks: list[Talk], row: str, fit: _Fit) -> dict:
    ours = row == "ours"
    shown = ("talking", "still") if ours else ("random talking",)
    sides: dict[str, dict[str, list[dict[str, float]]]] = {}
    for yaw in YAWS:
        sides[str(yaw)] = {
            name: [one for talk in talks for one in _side(talk, yaw, fit, name)]
            for name in shown
        }
    if not ours:
        return {"sides": sides}
    nets = FaceNets(model_files(None, offline=True))
    lips = [_lips(talk, fit.talking, nets, folder) for talk in talks]
    for yaw in (0, 45):
        _strip(talks, yaw, fit, folder / f"strip{yaw:+d}.png")
    return {"lips": dict(zip(TEXTS, lips, strict=True)), "sides": sides}


def _merged(folder: Path, rows: tuple[str, ...]) -> dict:
    """Return the scores of one person."""
    parts = [json.loads((folder / f"{row}.json").read_text()) for row in rows]
    for part in parts[1:]:
        for yaw, scores in part["sides"].items():
            parts[0]["sides"][yaw] |= scores
    return parts[0]


def _lips(
    talk: Talk, avatar: Path, nets: FaceNets, folder: Path
) -> dict[str, float | list[bool]]:
    """Compare the gap that pictures show with the true one, frame by frame."""
    subject = talk.subject
    marks, cameras = subject.arrays["landmarks"], subject.arrays["camera"]
    pictures = list(_spoken(talk, avatar, cameras, range(0)))
    shown = [np.ascontiguousarray(over_grey(picture)) for picture in pictures]
    truth = [subject.frame(k) for k in range(subject.frames)]
    tracks = [tracked(seen, marks, nets) for seen in (shown, truth)]
    judged, best = (_judged(track, subject) for track in tracks)
    true = lip_gaps(marks, cameras)
    found, floor = (lip_gaps(track, cameras) for track in tracks)
    shut = {"shut": found, "shut in truth's pictures": floor, "shut in truth": true}
    closures = {name: _closures(gap, talk) for name, gap in shut.items()}
    inner = slice(SLACK, len(true) - SLACK)
    scores = [
        together(np.roll(found, -lag)[inner], true[inner])
        for lag in range(-SLACK, SLACK + 1)
    ]
    Image.fromarray(np.hstack(shown[:: max(1, len(shown) // 12)])).save(
        folder / f"{subject.path.name}.jpg", quality=92
    )
    return {
        "correlation": scores[SLACK],
        "of truth's pictures": together(floor[inner], true[inner]),
        "offset ms": 1000 / subject.fps * (int(np.argmax(scores)) - SLACK),
        "motion": float(np.nanstd(found) / np.nanstd(floor)),
        "faces lost": int(np.isnan(found).sum()),
        "faces lost in truth's pictures": int(np.isnan(floor).sum()),
        "judge offset ms": 1000 * judged.offset,
        "judge": judged.confidence,
        "judge of truth's pictures": best.confidence,
    } | closures


def _judged(track: np.ndarray, subject: Subject) -> Verdict:
    """Return what the judge says of lips and sound."""
    pixels = track * subject.size
    return judge_sync(
        shipped_judge(),
        pixels,
        subject.audio(),
        fps=subject.fps,
        scale=face_scale(pixels),
    )


def _closures(gap: np.ndarray, talk: Talk) -> list[bool]:
    """Tell of every p, b and m whether the lips shut; a lost face is not shut."""
    fps, gap = talk.subject.fps, np.nan_to_num(gap, nan=np.inf)
    return [
        bool(gap[int(p.start * fps) : int(np.ceil(p.end * fps)) + 1].min() < SHUT)
        for p in talk.phonemes
        if p.name in ("p", "b", "m")
    ]


def _spoken(
    talk: Talk, avatar: Path, cameras: np.ndarray, frames: range | np.ndarray
) -> Iterator[np.ndarray]:
    """Yield straight RGBA pictures of the avatar told the sound."""
    loaded, subject = _opened(avatar), talk.subject
    index = torch.tensor(list(frames) or list(range(subject.frames)))
    driving = driving_of(subject, loaded, index)
    necks = torch.from_numpy(subject.arrays["neck"])[index]
    yield from loaded.render(driving, torch.from_numpy(cameras), necks)


def _side(talk: Talk, yaw: int, fit: _Fit, name: str) -> list[dict[str, float]]:
    """Score the pictures of one side."""
    seen, avatar = talk.view(yaw), _opened(fit.talking)
    subject, frames = talk.subject, torch.from_numpy(seen["frames"])
    driving = driving_of(subject, avatar, frames)
    person = avatar.person
    if name == "still":
        person = load_person(fit.still)
        true = torch.from_numpy(
            lip_shapes(subject.arrays["landmarks"], subject.arrays["camera"])
        )[frames]
        face = face_numbers(
            avatar.space.encode(true), upper_signals(subject.arrays)[frames]
        )
        gaze = torch.from_numpy(subject.arrays["gaze"])[frames]
        with torch.no_grad():
            w = person.styles(face, gaze)
            planes = person.planes(w)
    else:
        with torch.no_grad():
            moving = Moving.of(person, avatar.animator, avatar.rest())
            w, planes = moving.planes(driving)
    necks = torch.from_numpy(subject.arrays["neck"])[frames]
    pictures, depths = drawn(person, w, planes, seen["camera"], necks)
    return [
        compared(picture, depth, seen, k, talk)
        for k, (picture, depth) in enumerate(zip(pictures, depths, strict=True))
    ]


def _strip(talks: list[Talk], yaw: int, fit: _Fit, path: Path) -> None:
    """Draw the truth above the avatar, faces cut out, twice enlarged."""
    columns = []
    for talk in talks:
        seen = talk.view(yaw)
        pictures = _spoken(talk, fit.talking, seen["camera"], seen["frames"])
        for k, picture in enumerate(pictures):
            pair = [over_grey(seen["image"][k]), over_grey(picture)]
            side = len(pair[0])
            cut = slice(side // 6, side - side // 6)
            columns.append(np.vstack([p[cut, cut] for p in pair]))
    strip = np.hstack(columns)
    Image.fromarray(cv2.resize(strip, None, fx=2, fy=2)).save(path)


def _show(results: list[dict]) -> None:
    """Print the means over all people."""
    names = ("correlation", "of truth's pictures", "offset ms", "motion")
    names += ("judge offset ms", "judge", "judge of truth's pictures")
    print("\nlanguage  " + "  ".join(names) + "  shut; in truth's pictures; in truth")
    for language in (*TEXTS, "all"):
        chosen = TEXTS if language == "all" else (language,)
        rows = [result["lips"][name] for result in results for name in chosen]
        cells = [f"{np.mean([row[name] for row in rows]):8.2f}" for name in names]
        for kind in ("shut", "shut in truth's pictures", "shut in truth"):
            closures = [one for row in rows for one in row[kind]]
            cells.append(f"{np.mean(closures):6.2f} of {len(closures)}")
        print(f"{language:8}", *cells)
    for score in ("psnr", "surface"):
        print(f"\n{score:15}", *(f"{yaw:7d}" for yaw in YAWS))
        for row in ROWS:
            print(f"{row:15}", *(f"{_mean(results, y, row, score):7.2f}" for y in YAWS))
        both = [r for r in results if "random talking" in r["sides"]["0"]]
        means = (_mean(both, yaw, "talking", score) for yaw in YAWS)
        print(f"{'talking, these':15}", *(f"{mean:7.2f}" for mean in means))
    print(f"\n{'sharpness':15}", *(f"{yaw:7d}" for yaw in YAWS))
    for region in ("eyes", "mouth"):
        ratios = [
            _mean(results, yaw, "talking", region)
            / _mean(results, yaw, "talking", f"{region} of truth")
            for yaw in YAWS
        ]
        print(f"{region:15}", *(f"{ratio:7.2f}" for ratio in ratios))


def _mean(results: list[dict], yaw: int, row: str, score: str) -> float:
    rows = [result["sides"][str(yaw)].get(row, []) for result in results]
    values = [one[score] for row in rows for one in row]
    return float(np.nanmean(values)) if values else float("nan")


if __name__ == "__main__":
    main()
