"""Test what drives avatars: each driver moves its own part, from every side.

    python benchmarks/driving.py FOLDER...

Each folder is a person of ``talking.py`` whose avatar was scored. Printed, over all:

* share: one driver of a frame is exchanged for that of the sentence's other half, the
  picture changes, and so much of the change's energy (squared, on grey) lies in the
  driver's part of the front view: lips in the box of the mouth, or on the face below
  the nose; lids, brows and gaze in boxes around eyes with brows; turn and neck below
  the chin or on the background;
* lips: LMD of the talking avatar per yaw, of lip points that the truth's depth map
  shows (at least four), against the true points and against those found in the truth's
  own pictures, and what these are off.
"""

import argparse
import functools
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import torch

from talk3d.animator.model import DrivingBatch
from talk3d.animator.moving import Moving
from talk3d.avatar import Avatar, load_avatar
from talk3d.benchmark.score import over_grey
from talk3d.camera import project
from talk3d.evaluate.regions import (
    LIPS_INNER,
    LIPS_OUTER,
    box_around,
    box_mask,
    mouth_box,
)
from talk3d.face import LEFT_EYE, RIGHT_EYE, FaceNets
from talk3d.face_models import model_files
from talks import TEXTS, YAWS, Talk, drawn, driving_of, tracked

LIPS = list(LIPS_OUTER + LIPS_INNER)
BROWS = ((70, 63, 105, 66, 107), (300, 293, 334, 296, 336))
"""Right and left, from the temple to the nose."""
NOSE, CHIN = 2, 152
HIDDEN = 0.01
"""World units by which a hidden point lies behind what is seen."""
CANTHI = [33, 263]
FEWEST = 4


def main() -> None:
    """Run the test."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("people", type=Path, nargs="+")
    given = parser.parse_args()
    torch.set_num_threads(1)
    nets = FaceNets(model_files(None, offline=True))
    shares: dict[str, list[float]] = defaultdict(list)
    lips: dict[tuple[str, int], list[float]] = defaultdict(list)
    for folder in given.people:
        avatar = load_avatar(folder / "ours" / "avatar.safetensors")
        for name in TEXTS:
            scene = _Scene(avatar, Talk.open(folder / name))
            for part, values in _shares(scene).items():
                shares[part] += values
            for yaw in YAWS:
                for row, values in _lips(scene, yaw, nets).items():
                    lips[row, yaw] += values
    for part, values in shares.items():
        print(f"{part:24} {np.mean(values):5.2f}")
    print(f"\n{'LMD, %':24}", *(f"{yaw:6d}" for yaw in YAWS))
    for row in ("avatar", "truth's pictures", "between both"):
        print(f"{row:24}", *(f"{np.nanmean(lips[row, yaw]):6.2f}" for yaw in YAWS))
    lost = sum(int(np.isnan(lips["avatar", yaw]).sum()) for yaw in YAWS)
    print(f"{lost} moments without a face or with fewer than {FEWEST} lip points")


@dataclass(frozen=True)
class _Scene:
    """An avatar and a sentence."""

    avatar: Avatar
    talk: Talk

    @functools.cached_property
    def moving(self) -> Moving:
        """The avatar, ready to move."""
        with torch.no_grad():
            return Moving.of(
                self.avatar.person, self.avatar.animator, self.avatar.rest()
            )

    def driving(self, frames: np.ndarray) -> DrivingBatch:
        """Return what drives frames."""
        index = torch.from_numpy(frames)
        return driving_of(self.talk.subject, self.avatar, index)

    def necks(self, frames: np.ndarray) -> torch.Tensor:
        """Return the neck motions of frames."""
        return torch.from_numpy(self.talk.subject.arrays["neck"][frames])

    @torch.no_grad()
    def pictures(
        self, driving: DrivingBatch, necks: torch.Tensor, cameras: np.ndarray
    ) -> np.ndarray:
        """Return pictures on grey, 0 to 1."""
        w, planes = self.moving.planes(driving)
        return drawn(self.avatar.person, w, planes, cameras, necks)[0]


def _shares(scene: _Scene) -> dict[str, list[float]]:
    """Return how much of each change lies where it belongs."""
    talk, seen = scene.talk, scene.talk.view(0)
    frames, camera = seen["frames"], seen["camera"]
    count = talk.subject.frames
    other = (frames + count // 2) % count
    now, then = scene.driving(frames), scene.driving(other)
    necks = scene.necks(frames)
    before = scene.pictures(now, necks, camera)
    changed = {
        "lips": scene.pictures(replace(now, audio=then.audio), necks, camera),
        "eyes": scene.pictures(replace(now, eye=then.eye), necks, camera),
        "torso": scene.pictures(
            replace(now, rotation=then.rotation), scene.necks(other), camera
        ),
    }
    size = before.shape[2], before.shape[1]
    regions: dict[str, tuple[str, Callable[[np.ndarray, np.ndarray], np.ndarray]]] = {
        "lips, box of the mouth": (
            "lips", lambda marks, _: box_mask((mouth_box(marks, size),), size)
        ),
        "lips, nose to chin": ("lips", lambda marks, _: _lower_face(marks, size)),
        "eyes and brows": ("eyes", lambda marks, _: _eyes(marks, size)),
        "torso and background": (
            "torso", lambda marks, alpha: _below(marks, size) | (alpha < 128)
        ),
    }  # fmt: skip
    result = {}
    for name, (driver, region) in regions.items():
        result[name] = []
        for k, frame in enumerate(frames):
            energy = ((changed[driver][k] - before[k]) ** 2).sum(-1)
            marks = talk.marks(int(frame), camera[k])
            inside = region(marks, seen["image"][k][..., 3])
            result[name].append(float(energy[inside].sum() / energy.sum()))
    return result


def _lower_face(marks: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    hull = cv2.convexHull(np.round(marks[:468] * size).astype(np.int32))
    face = cv2.fillConvexPoly(np.zeros(size[::-1], np.uint8), hull, 1) > 0
    rows = np.arange(size[1])[:, None]
    return face & (rows >= marks[NOSE, 1] * size[1])


def _eyes(marks: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    sides = zip((RIGHT_EYE, LEFT_EYE), BROWS, strict=True)
    boxes = (box_around(marks[[*eye, *brow]], size) for eye, brow in sides)
    return box_mask(tuple(boxes), size)


def _below(marks: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    rows = np.arange(size[1])[:, None]
    return np.broadcast_to(rows > marks[CHIN, 1] * size[1], size[::-1])


def _lips(scene: _Scene, yaw: int, nets: FaceNets) -> dict[str, list[float]]:
    """Return the LMD in percent of both pictures of every moment."""
    talk, seen = scene.talk, scene.talk.view(yaw)
    frames, camera = seen["frames"], seen["camera"]
    own = scene.pictures(scene.driving(frames), scene.necks(frames), camera)
    marks = [talk.marks(int(f), c) for f, c in zip(frames, camera, strict=True)]
    true = np.stack(marks)
    front = talk.marks(int(frames[0]), talk.view(0)["camera"][0])
    scale = np.linalg.norm(np.subtract(*front[CANTHI]))
    shown = {
        "avatar": [np.round(255 * picture).astype(np.uint8) for picture in own],
        "truth's pictures": [np.ascontiguousarray(over_grey(p)) for p in seen["image"]],
    }
    found = {row: tracked(pictures, true, nets) for row, pictures in shown.items()}
    pairs = {row: (points, true) for row, points in found.items()}
    pairs["between both"] = found["avatar"], found["truth's pictures"]
    result = {}
    for row, (one, other) in pairs.items():
        result[row] = []
        for k, frame in enumerate(frames):
            visible = _visible(talk, int(frame), camera[k], seen["depth"][k])
            off = (one[k] - other[k])[LIPS][visible]
            off = np.linalg.norm(off - off.mean(0), axis=1) if len(off) else off
            few = len(off) < FEWEST
            result[row].append(np.nan if few else 100 * float(off.mean() / scale))
    return result


def _visible(
    talk: Talk, frame: int, camera: np.ndarray, depth: np.ndarray
) -> np.ndarray:
    """Tell which lip points the truth shows."""
    points = torch.from_numpy(talk.points(frame)[LIPS])
    place, distance = project(points, torch.from_numpy(camera))
    size = len(depth)
    column, row = np.clip((place.numpy() * size).astype(int), 0, size - 1).T
    return distance.numpy() < depth[row, column] + HIDDEN


if __name__ == "__main__":
    main()
