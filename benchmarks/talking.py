"""Test avatars that say what their person never said, in languages never heard.

    python benchmarks/talking.py -o FOLDER [--effort SHARE] [--head FILE] SEED...

Each seed is a synthetic person who is filmed while talking for 20 s (exact labels). The
prior is fitted and taught to speak; of the first people (--controls N) the same is done
from random weights. Then the same person says a sentence in each of five languages that
the hearing network was never taught (Hungarian, Portuguese, Turkish, Greek, Hindi), and
the avatar is told the sound; head, lids, brows and gaze are the performance's. Held
against the renderer's truth:

* lips: gap in the avatar's pictures (found by the face networks) against the true gap:
  correlation, offset, and whether it shuts at p, b and m; motion is its deviation over
  that found in the renderer's pictures; what the judge of lips and sound says of the
  avatar's mouth and of the one found in the renderer's pictures;
* sides: PSNR of the person and error of the face's surface, from -75 to 75 degrees,
  of the talking avatar and of the fitted person before it was taught to speak, who is
  told the true lips; sharpness of eyes and mouth.

Per person FOLDER/SEED/scores.json and strips; what is there is kept. Printed: the means
over all people named.
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
from safetensors.numpy import load_file
from torch import Tensor

from talk3d.animator.model import DrivingBatch
from talk3d.animator.moving import Moving
from talk3d.animator.train import AnimatorTrainConfig
from talk3d.avatar import Avatar, load_avatar
from talk3d.benchmark.ours import shortened, unlearned
from talk3d.benchmark.score import over_grey
from talk3d.camera import project
from talk3d.dataset import Subject
from talk3d.demo import shipped
from talk3d.evaluate import metrics
from talk3d.evaluate.points import face_scale
from talk3d.evaluate.regions import eye_boxes, mouth_box
from talk3d.face import FaceNets, FaceTracker, Roi
from talk3d.face_models import model_files
from talk3d.frames import driving_signals
from talk3d.judge.network import shipped_judge
from talk3d.judge.verdict import Verdict, judge_sync
from talk3d.lips import face_numbers, lip_rim, lip_shapes, upper_signals
from talk3d.person import Person, load_person
from talk3d.personalize import PersonalizeConfig
from talk3d.pipeline import personalize_subject, train_subject
from talk3d.synthetic.articulation import split_phonemes
from talk3d.synthetic.speech import Phoneme
from talk3d.synthetic.talking import TalkConfig, write_talk

TEXTS = {
    "hu": "A boldog kutya a piros labdával játszik a kertben, majd mama süteményt hoz"
    " az asztalra.",
    "pt": "O menino pequeno brinca com a bola vermelha no parque, e a mãe prepara uma"
    " boa sopa.",
    "tr": "Küçük çocuk parkta kırmızı topla oynuyor, annesi mutfakta bir pasta"
    " yapıyor.",
    "el": "Το μικρό παιδί παίζει με την κόκκινη μπάλα, και η μαμά μου ετοιμάζει μια"
    " καλή σούπα.",
    "hi": "छोटा बच्चा बाग में लाल गेंद से खेलता है और माँ सबके लिए भोजन बनाती है।",
}
YAWS = (-75, -60, -45, -30, 0, 30, 45, 60, 75)
MOMENTS = 2
SECONDS = 20.0
OVERSAMPLE = 2
SHUT = 2.0
"""Percent of the distance of the outer eye corners."""
SLACK = 3
"""Frames by which the offset is searched."""
SKIN = (1, 2)
MM = 400.0
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
        scores = folder / "scores.json"
        if not scores.is_file():
            talks = _talks(folder, seed, given.head)
            rows = ("ours", "random") if place < given.controls else ("ours",)
            fits = {
                row: _fitted(folder, row, prior, effort=given.effort) for row in rows
            }
            scores.write_text(json.dumps(_scored(folder, talks, fits)))
        results.append(json.loads(scores.read_text()))
        print(seed, json.dumps(results[-1]["lips"]), flush=True)
    _show(results)


@dataclass(frozen=True)
class _Fit:
    """A person before and after it was taught to speak."""

    still: Path
    talking: Path


@dataclass(frozen=True)
class _Talk:
    """A sentence said by a person, with the truth."""

    subject: Subject
    phonemes: list[Phoneme]

    @classmethod
    def open(cls, path: Path) -> "_Talk":
        said = json.loads((path / "truth" / "truth.json").read_text())["phonemes"]
        parts = tuple(Phoneme(*entry) for entry in said)
        return cls(Subject.open(path), split_phonemes(parts))

    def view(self, yaw: int) -> dict[str, np.ndarray]:
        """Return the truth from a side: image, depth, part, camera, frames."""
        folder = self.subject.path / "truth"
        frames = json.loads((folder / "truth.json").read_text())["frames"]
        seen = load_file(folder / f"yaw{yaw:+d}.safetensors")
        return seen | {"frames": np.array(frames)}

    def marks(self, frame: int, label: np.ndarray) -> np.ndarray:
        """Return the landmarks in a picture, 0 to 1."""
        points = load_file(self.subject.path / "truth" / "arrays.safetensors")
        place = points["landmarks_3d"][frame]
        return project(torch.from_numpy(place), torch.from_numpy(label))[0].numpy()


def _talks(folder: Path, seed: int, head: Path | None) -> list[_Talk]:
    """Write the recording and the sentences."""
    own = TalkConfig(seed=seed, seconds=SECONDS, oversample=OVERSAMPLE, truth_frames=0)
    jobs = {"own": own} | {
        name: TalkConfig(
            seed=seed,
            text=text,
            voice=name,
            oversample=OVERSAMPLE,
            truth_yaws=YAWS,
            truth_frames=MOMENTS,
        )
        for name, text in TEXTS.items()
    }
    for name, config in jobs.items():
        if not (folder / name / "subject.json").is_file():
            write_talk(folder / name, config, head=head)
    return [_Talk.open(folder / name) for name in TEXTS]


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
        learning = replace(learning, steps=round(effort * learning.steps))
        train_subject(folder / "own", still, talking, learning, _quiet)
    return _Fit(still, talking)


@functools.lru_cache(maxsize=2)
def _opened(avatar: Path) -> Avatar:
    return load_avatar(avatar)


def _quiet(stage: str, part: float) -> None:
    del stage, part


def _scored(folder: Path, talks: list[_Talk], fits: dict[str, _Fit]) -> dict:
    nets, ours = FaceNets(model_files(None, offline=True)), fits["ours"]
    shown = [(ours, "talking", "talking"), (ours, "still", "still")]
    if "random" in fits:
        shown.append((fits["random"], "talking", "random talking"))
    lips = [_lips(talk, ours.talking, nets, folder) for talk in talks]
    sides: dict[str, dict[str, list[dict[str, float]]]] = {}
    for yaw in YAWS:
        sides[str(yaw)] = {
            row: [one for talk in talks for one in _side(talk, yaw, fit, name)]
            for fit, name, row in shown
        }
    for yaw in (0, 45):
        _strip(talks, yaw, ours, folder / f"strip{yaw:+d}.png")
    names = dict(zip(TEXTS, lips, strict=True))
    return {"lips": names, "sides": sides}


def _lips(
    talk: _Talk, avatar: Path, nets: FaceNets, folder: Path
) -> dict[str, float | list[bool]]:
    """Compare the gap that pictures show with the true one, frame by frame."""
    subject = talk.subject
    pictures = list(_spoken(talk, avatar, subject.arrays["camera"], range(0)))
    shown = [np.ascontiguousarray(over_grey(picture)) for picture in pictures]
    truth = [subject.frame(k) for k in range(subject.frames)]
    tracks = [_tracked(frames, subject, nets) for frames in (shown, truth)]
    judged, best = (_judged(track, subject) for track in tracks)
    true = _gaps(subject.arrays["landmarks"], subject)
    found, floor = (_gaps(track, subject) for track in tracks)
    shut = {"shut": found, "shut in truth's pictures": floor, "shut in truth": true}
    closures = {name: _closures(gap, talk) for name, gap in shut.items()}
    scores = [_together(found, true, lag) for lag in range(-SLACK, SLACK + 1)]
    Image.fromarray(np.hstack(shown[:: max(1, len(shown) // 12)])).save(
        folder / f"{subject.path.name}.jpg", quality=92
    )
    return {
        "correlation": _together(found, true, 0),
        "of truth's pictures": _together(floor, true, 0),
        "offset ms": 1000 / subject.fps * (int(np.argmax(scores)) - SLACK),
        "motion": float(found.std() / floor.std()),
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


def _together(found: np.ndarray, true: np.ndarray, lag: int) -> float:
    """Return the correlation when what was found is taken to be so many frames late."""
    inner = slice(SLACK, len(true) - SLACK)
    return float(np.corrcoef(np.roll(found, -lag)[inner], true[inner])[0, 1])


def _closures(gap: np.ndarray, talk: _Talk) -> list[bool]:
    """Tell of every p, b and m whether the lips shut."""
    fps = talk.subject.fps
    return [
        bool(gap[int(p.start * fps) : int(np.ceil(p.end * fps)) + 1].min() < SHUT)
        for p in talk.phonemes
        if p.name in ("p", "b", "m")
    ]


def _gaps(marks: np.ndarray, subject: Subject) -> np.ndarray:
    return lip_shapes(marks, subject.arrays["camera"]) @ lip_rim()


def _tracked(
    pictures: list[np.ndarray], subject: Subject, nets: FaceNets
) -> np.ndarray:
    """Find the landmarks of pictures, looking where the truth has the face."""
    found = []
    for picture, marks in zip(pictures, subject.arrays["landmarks"], strict=True):
        face = marks[:468] * subject.size
        low, high = face.min(0), face.max(0)
        centre, across = (low + high) / 2, face[263] - face[33]
        roll = float(np.arctan2(across[1], across[0]))
        roi = Roi(
            float(centre[0]), float(centre[1]), 1.5 * float((high - low).max()), roll
        )
        points = FaceTracker(nets).start(picture, roi)
        found.append(marks if points is None else points / subject.size)
    return np.stack(found).astype(np.float32)


def _spoken(
    talk: _Talk, avatar: Path, cameras: np.ndarray, frames: range | np.ndarray
) -> Iterator[np.ndarray]:
    """Yield straight RGBA pictures of the avatar told the sound."""
    loaded, subject = _opened(avatar), talk.subject
    index = torch.tensor(list(frames) or list(range(subject.frames)))
    driving = _driving(talk, loaded.voice, loaded.space, index)
    necks = torch.from_numpy(subject.arrays["neck"])[index]
    yield from loaded.render(driving, torch.from_numpy(cameras), necks)


def _driving(talk: _Talk, voice, space, index: Tensor) -> DrivingBatch:  # noqa: ANN001
    subject = talk.subject
    times = (index.numpy() + 0.5) / subject.fps
    lips = space.encode(voice.in_time().lips(subject.audio(), times))
    signals = (signal[index] for signal in driving_signals(subject.arrays))
    return DrivingBatch(lips, *signals)


def _side(talk: _Talk, yaw: int, fit: _Fit, name: str) -> list[dict[str, float]]:
    """Score the pictures of one side."""
    seen, avatar = talk.view(yaw), _opened(fit.talking)
    subject, frames = talk.subject, torch.from_numpy(seen["frames"])
    driving = _driving(talk, avatar.voice, avatar.space, frames)
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
            w, planes = Moving.of(person, avatar.animator).planes(driving)
    necks = torch.from_numpy(subject.arrays["neck"])[frames]
    pictures, depths = _drawn(person, w, planes, seen["camera"], necks)
    return [
        _compared(picture, depth, seen, k, talk)
        for k, (picture, depth) in enumerate(zip(pictures, depths, strict=True))
    ]


@torch.no_grad()
def _drawn(
    person: Person, w: Tensor, planes: Tensor, cameras: np.ndarray, necks: Tensor
) -> tuple[np.ndarray, np.ndarray]:
    network = person.generator
    view = network.render(
        planes, torch.from_numpy(cameras), network.sampling(), neck=necks
    )
    picture = (network.upsample(view, w) + 1) / 2
    shown = picture[:, :3] + 0.5 * (1 - picture[:, 3:])
    depth = torch.where(view.alpha > 0.5, view.depth, 0.0)
    return shown.clamp(0, 1).permute(0, 2, 3, 1).numpy(), depth[:, 0].numpy()


def _compared(
    picture: np.ndarray, depth: np.ndarray, seen: dict, k: int, talk: _Talk
) -> dict[str, float]:
    truth = over_grey(seen["image"][k]).astype(np.float32) / 255
    size = (truth.shape[1], truth.shape[0])
    marks = talk.marks(int(seen["frames"][k]), seen["camera"][k])
    scores = {"psnr": metrics.psnr(picture, truth, mask=seen["image"][k][..., 3] > 127)}
    hull = cv2.convexHull(np.round(marks[:468] * size).astype(np.int32))
    face = cv2.fillConvexPoly(np.zeros(truth.shape[:2], np.uint8), hull, 1) > 0
    known = cv2.resize((depth > 0).astype(np.float32), size) > 0.999
    both = face & np.isin(seen["part"][k], SKIN) & (seen["depth"][k] > 0) & known
    off = np.abs(cv2.resize(depth, size) - seen["depth"][k])[both]
    scores["surface"] = float(np.median(off)) * MM if both.any() else float("nan")
    power, wanted = (metrics.detail_power(p) for p in (picture, truth))
    boxes = {"mouth": (mouth_box(marks, size),), "eyes": eye_boxes(marks, size)}
    for region, parts in boxes.items():
        for label, values in (("", power), (" of truth", wanted)):
            cut = np.concatenate([box.cut(values).ravel() for box in parts])
            scores[region + label] = float(cut.mean())
    return scores


def _strip(talks: list[_Talk], yaw: int, fit: _Fit, path: Path) -> None:
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
