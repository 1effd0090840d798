"""Score the rows of a task, picture by picture.

Every picture is laid on 0.5 grey, the truth likewise. Scores per shot, NaN where one
cannot be measured:

| name            | what                                              | unit     |
|-----------------|---------------------------------------------------|----------|
| `matte/psnr`    | inside the true person                            | dB       |
| `matte/ssim`    | likewise                                          | -1..1    |
| `matte/power`   | power above a quarter of Nyquist; `power_truth`   | codes²   |
| `face/psnr`     | inside the hull of the true landmarks and person  | dB       |
| `face/power`    | likewise; `power_truth`                           | codes²   |
| `cover/iou`     | covered area: both ÷ either                       | 0..1     |
| `surface/mm`    | median depth error on face skin that both show    | mm       |
| `points/error`  | landmarks that the truth shows, against its own   | % of eye |
| `lips/lmd`      | the same of the lips after both are centred       | distance |
| `identity/same` | cosine of an embedder's vectors, within 40° of yaw | -1..1    |

Landmarks are found by the same networks in every row, starting from the true place.
In the row `truth` they are held against the exact ones: the networks' own error.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Bool, Float, UInt8
from PIL import Image

from talk3d.benchmark.controls import Pictures
from talk3d.benchmark.task import Task
from talk3d.encoder.network import WIDEST
from talk3d.evaluate import metrics, structure
from talk3d.evaluate.points import face_scale
from talk3d.evaluate.regions import LIPS_INNER, LIPS_OUTER, matte_mask, shrink
from talk3d.face import FaceNets, FaceTracker, Roi

__all__ = ["Embedder", "Scores", "folder_row", "measure", "over_grey", "read_depth"]

Scores = dict[str, Float[np.ndarray, " shots"]]
"""Scores of one row."""
Embedder = Callable[[UInt8[np.ndarray, "height width 4"]], Float[np.ndarray, " n"]]
"""Turns straight colour and matte of a face into a vector of its identity."""
Points = Float[np.ndarray, "478 2"]

_MM_PER_UNIT = 400.0
_SKIN = (1, 2)
_FACE_POINTS = 468
_LIPS = list(LIPS_OUTER + LIPS_INNER)
_FRONT = 15.0
_ROI_MARGIN = 1.5
_FEWEST = 4
_WHOLE = 0.999


def folder_row(folder: Path, task: Task) -> Pictures:
    """Return the pictures a system wrote, scaled to the task's size.

    Raises:
        ValueError: A picture is missing; the message names it.
    """
    missing = [s.name for s in task.shots if not (folder / f"{s.name}.png").is_file()]
    if missing:
        raise ValueError(
            f"{folder} lacks {len(missing)} of {len(task.shots)} pictures, first "
            f"{missing[0]}.png; write one PNG for every shot of cameras.json."
        )

    def picture(shot: int) -> np.ndarray:
        with Image.open(folder / f"{task.shots[shot].name}.png") as image:
            rgba = np.asarray(image.convert("RGBA"))
        if rgba.shape[:2] == (task.size, task.size):
            return rgba
        shrinks = rgba.shape[0] > task.size
        way = cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC
        return cv2.resize(rgba, (task.size, task.size), interpolation=way)

    return picture


def read_depth(
    folder: Path, task: Task, shot: int
) -> Float[np.ndarray, "size size"] | None:
    """Return the depth a system wrote (world units, 0 = nothing), or None."""
    path = folder / f"{task.shots[shot].name}.npy"
    if not path.is_file():
        return None
    depth = np.load(path, allow_pickle=False).astype(np.float32)
    side = (task.size, task.size)
    whole = cv2.resize((depth > 0).astype(np.float32), side) > _WHOLE
    return np.where(whole, cv2.resize(depth, side), np.float32(0))


def over_grey(
    picture: UInt8[np.ndarray, "size size 4"],
) -> UInt8[np.ndarray, "size size 3"]:
    """Lay a picture on 0.5 grey."""
    alpha = picture[..., 3:].astype(np.float32) / 255
    mixed = picture[..., :3] * alpha + 127.5 * (1 - alpha)
    return (mixed + 0.5).astype(np.uint8)


def measure(
    task: Task,
    rows: Mapping[str, Pictures],
    *,
    nets: FaceNets | None,
    embedder: Embedder | None = None,
) -> dict[str, Scores]:
    """Score every row in every shot.

    Args:
        task: The task.
        rows: Pictures by row; `truth` is scored against what is known exactly.
        nets: The face networks; without them nothing is said of landmarks.
        embedder: Tells people apart; without one nothing is said of identity.
    """
    unknown = np.full(len(task.shots), np.nan)
    found: dict[str, Scores] = {name: {} for name in rows}
    known = task.truth_arrays()
    scale = _scale(task, known["landmarks"] * task.size)
    for shot in range(len(task.shots)):
        judge = _Judge(task, shot, known, nets=nets, scale=scale, embedder=embedder)
        for name, pictures in rows.items():
            for metric, value in judge.scores(name, pictures(shot)).items():
                found[name].setdefault(metric, unknown.copy())[shot] = value
    return found


def _scale(task: Task, marks: Float[np.ndarray, "shots 478 2"]) -> float:
    """Return the frontal distance of the outer canthi, pixels."""
    front = [k for k, shot in enumerate(task.shots) if abs(shot.yaw) <= _FRONT]
    if front:
        return face_scale(marks[front])
    subject = task.subject()
    return face_scale(subject.arrays["landmarks"][list(task.train)] * task.size)


class _Judge:
    """Scores pictures of one shot."""

    def __init__(
        self,
        task: Task,
        shot: int,
        known: Mapping[str, np.ndarray],
        *,
        nets: FaceNets | None,
        scale: float,
        embedder: Embedder | None,
    ) -> None:
        self._task, self._shot, self._nets, self._scale = task, shot, nets, scale
        truth = task.truth(shot)
        self._marks = known["landmarks"][shot] * task.size
        shown = known["visible"][shot] > 0 if "visible" in known else None
        self._shown = np.ones(len(self._marks), bool) if shown is None else shown
        self._person = matte_mask(truth[..., 3])
        self._face = _hull(self._marks, task.size) & self._person
        self._truth = _codes(over_grey(truth))
        self._power = metrics.detail_power(self._truth)
        self._depth = known["depth"][shot] if "depth" in known else None
        self._part = known["part"][shot] if "part" in known else None
        self._embedder = embedder
        self._vector = self._embedded(truth)
        self._found = self._landmarks(over_grey(truth))

    def scores(self, row: str, picture: np.ndarray) -> dict[str, float]:
        """Measure one picture."""
        shown = over_grey(picture)
        codes, power = _codes(shown), metrics.detail_power(_codes(shown))
        scores: dict[str, float] = {}
        for name, mask in (("matte", self._person), ("face", self._face)):
            core = shrink(mask)
            scores[f"{name}/psnr"] = metrics.psnr(codes, self._truth, mask=mask)
            scores[f"{name}/power"] = metrics.masked_mean(power, core)
            scores[f"{name}/power_truth"] = metrics.masked_mean(self._power, core)
        scores["matte/ssim"] = structure.ssim(
            metrics.on_grey(codes, self._person),
            metrics.on_grey(self._truth, self._person),
            mask=self._person,
        )
        covered = matte_mask(picture[..., 3])
        both, either = covered & self._person, covered | self._person
        if not covered.all():
            scores["cover/iou"] = float(both.sum() / max(either.sum(), 1))
        depth = read_depth(self._task.row(row), self._task, self._shot)
        scores["surface/mm"] = self._surface(depth)
        return scores | self._face_scores(row, picture)

    def _surface(self, depth: np.ndarray | None) -> float:
        if depth is None or self._depth is None or self._part is None:
            return math.nan
        skin = self._face & np.isin(self._part, _SKIN)
        both = skin & (self._depth > 0) & (depth > 0)
        if not both.any():
            return math.nan
        off = np.abs(depth - self._depth.astype(np.float32))[both]
        return float(np.median(off)) * _MM_PER_UNIT

    def _face_scores(self, row: str, picture: np.ndarray) -> dict[str, float]:
        scores: dict[str, float] = {}
        if self._vector is not None:
            vector = self._embedded(picture)
            if vector is not None:
                lengths = np.linalg.norm(vector) * np.linalg.norm(self._vector)
                scores["identity/same"] = float(vector @ self._vector / lengths)
        if self._nets is None:
            return scores
        shown = over_grey(picture)
        own = self._found if row == "truth" else self._landmarks(shown)
        goal = self._marks if row == "truth" else self._found
        scores["face/found"] = float(own is not None)
        if own is None or goal is None:
            return scores
        face = self._shown[:_FACE_POINTS]
        lips = [k for k in _LIPS if self._shown[k]]
        if face.sum() >= _FEWEST:
            off = np.linalg.norm(own - goal, axis=-1)[:_FACE_POINTS][face]
            scores["points/error"] = float(off.mean()) / self._scale * 100
        if len(lips) >= _FEWEST:
            one, other = own[lips], goal[lips]
            off = (one - one.mean(0)) - (other - other.mean(0))
            mean = float(np.linalg.norm(off, axis=-1).mean())
            scores["lips/lmd"] = mean / self._scale * 100
        return scores

    def _landmarks(self, picture: np.ndarray) -> Points | None:
        """Find the landmarks, looking where the truth has the face."""
        if self._nets is None:
            return None
        marks = self._marks[:_FACE_POINTS]
        low, high = marks.min(0), marks.max(0)
        centre, side = (low + high) / 2, float((high - low).max()) * _ROI_MARGIN
        across = self._marks[263] - self._marks[33]
        roll = math.atan2(across[1], across[0]) if across[0] > 1 else 0.0
        roi = Roi(float(centre[0]), float(centre[1]), side, roll)
        return FaceTracker(self._nets).start(np.ascontiguousarray(picture), roi)

    def _embedded(self, picture: np.ndarray) -> np.ndarray | None:
        """Return the person's embedding, of views that the embedder knows, cut out."""
        known = abs(self._task.shots[self._shot].yaw) <= WIDEST
        if self._embedder is None or not known or (picture[..., 3] == 255).all():
            return None
        return self._embedder(picture)


def _hull(marks: Points, size: int) -> Bool[np.ndarray, "size size"]:
    """Mark the convex hull of the face's landmarks."""
    hull = cv2.convexHull(np.round(marks[:_FACE_POINTS]).astype(np.int32))
    canvas = np.zeros((size, size), np.uint8)
    cv2.fillConvexPoly(canvas, hull, 1)
    return canvas > 0


def _codes(picture: np.ndarray) -> Float[np.ndarray, "size size 3"]:
    return picture.astype(np.float32) / 255
