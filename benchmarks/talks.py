"""Synthetic people who are filmed while talking, and sentences they never say.

Comes in: a seed. Goes out: a recording with exact labels, and sentences in languages
that the hearing network was never taught, with the truth from many sides. Scores of
pictures of them.
"""

import functools
import json
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from safetensors.numpy import load_file
from torch import Tensor

from talk3d.animator.model import DrivingBatch
from talk3d.avatar import Avatar
from talk3d.benchmark.score import over_grey
from talk3d.camera import project
from talk3d.dataset import Subject
from talk3d.evaluate import metrics
from talk3d.evaluate.regions import eye_boxes, mouth_box
from talk3d.face import FaceNets, FaceTracker, Roi
from talk3d.frames import driving_signals
from talk3d.lips import lip_rim, lip_shapes
from talk3d.person import Person
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
"""Of a sentence, seen from every side; its first and last frames do not count."""
SECONDS = 20.0
OVERSAMPLE = 2
SKIN = (1, 2)
MM = 400.0


@dataclass(frozen=True)
class Talk:
    """A sentence said by a person, with the truth."""

    subject: Subject
    phonemes: list[Phoneme]

    @classmethod
    def open(cls, path: Path) -> "Talk":
        """Read a sentence."""
        said = json.loads((path / "truth" / "truth.json").read_text())["phonemes"]
        parts = tuple(Phoneme(*entry) for entry in said)
        return cls(Subject.open(path), split_phonemes(parts))

    def view(self, yaw: int) -> dict[str, np.ndarray]:
        """Return the truth from a side: image, depth, part, camera, frames."""
        folder = self.subject.path / "truth"
        frames = json.loads((folder / "truth.json").read_text())["frames"]
        seen = load_file(folder / f"yaw{yaw:+d}.safetensors")
        seen["frames"] = np.array(frames)
        return {name: values[1:-1] for name, values in seen.items()}

    @functools.cached_property
    def _points(self) -> np.ndarray:
        path = self.subject.path / "truth" / "arrays.safetensors"
        return load_file(path)["landmarks_3d"]

    def points(self, frame: int) -> np.ndarray:
        """Return the landmarks of a frame, world units."""
        return self._points[frame]

    def marks(self, frame: int, label: np.ndarray) -> np.ndarray:
        """Return the landmarks in a picture, 0 to 1."""
        place = torch.from_numpy(self.points(frame))
        return project(place, torch.from_numpy(label))[0].numpy()


def talks_of(folder: Path, seed: int, head: Path | None) -> list[Talk]:
    """Write the recording and the sentences."""
    own = TalkConfig(seed=seed, seconds=SECONDS, oversample=OVERSAMPLE, truth_frames=0)
    jobs = {"own": own} | {
        name: TalkConfig(
            seed=seed,
            text=text,
            voice=name,
            oversample=OVERSAMPLE,
            truth_yaws=YAWS,
            truth_frames=MOMENTS + 2,
        )
        for name, text in TEXTS.items()
    }
    for name, config in jobs.items():
        if not (folder / name / "subject.json").is_file():
            write_talk(folder / name, config, head=head)
    return [Talk.open(folder / name) for name in TEXTS]


def lip_gaps(marks: np.ndarray, cameras: np.ndarray) -> np.ndarray:
    """Return the gap of the lips, in percent of the distance of the eye corners.

    It is NaN where no face was found.
    """
    known = np.isfinite(marks).all((1, 2))
    gaps = np.full(len(marks), np.nan)
    gaps[known] = lip_shapes(marks[known], cameras[known]) @ lip_rim()
    return gaps


def together(one: np.ndarray, other: np.ndarray) -> float:
    """Return the correlation of two courses where both are known."""
    pair = np.stack([one, other])
    return float(np.corrcoef(pair[:, np.isfinite(pair).all(0)])[0, 1])


def tracked(
    pictures: list[np.ndarray], truth: np.ndarray, nets: FaceNets
) -> np.ndarray:
    """Find the landmarks of pictures, 0 to 1, looking where the truth has the face.

    They are NaN where no face is found.
    """
    found = []
    for picture, marks in zip(pictures, truth, strict=True):
        size = len(picture)
        face = marks[:468] * size
        low, high = face.min(0), face.max(0)
        centre, across = (low + high) / 2, face[263] - face[33]
        roll = float(np.arctan2(across[1], across[0]))
        roi = Roi(
            float(centre[0]), float(centre[1]), 1.5 * float((high - low).max()), roll
        )
        points = FaceTracker(nets).start(picture, roi)
        found.append(np.full_like(marks, np.nan) if points is None else points / size)
    return np.stack(found).astype(np.float32)


def driving_of(subject: Subject, avatar: Avatar, index: Tensor) -> DrivingBatch:
    """Return what drives frames: lips from the sound, the rest from the performance."""
    eye, *head = (signal[index] for signal in driving_signals(subject.arrays))
    told = avatar.told(avatar.voice.in_time(), subject.audio(), index.numpy(), head[0])
    return DrivingBatch(avatar.space.encode(told), eye, *head)


@torch.no_grad()
def drawn(
    person: Person, w: Tensor, planes: Tensor, cameras: np.ndarray, necks: Tensor
) -> tuple[np.ndarray, np.ndarray]:
    """Return pictures on grey, 0 to 1, and the depth of what is solid in them."""
    network = person.generator
    view = network.render(
        planes, torch.from_numpy(cameras), network.sampling(), neck=necks
    )
    picture = (network.upsample(view, w) + 1) / 2
    shown = picture[:, :3] + 0.5 * (1 - picture[:, 3:])
    depth = torch.where(view.alpha > 0.5, view.depth, 0.0)
    return shown.clamp(0, 1).permute(0, 2, 3, 1).numpy(), depth[:, 0].numpy()


def compared(
    picture: np.ndarray, depth: np.ndarray, seen: dict, k: int, talk: Talk
) -> dict[str, float]:
    """Score a picture of a sentence against what a side shows at its moment ``k``."""
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
