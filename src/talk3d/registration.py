"""Registration: a recording's poses made to agree with the person drawn from it.

Comes in: a subject, its personalised generator and an animator. Goes out: by how much
every frame's head and torso are to be moved so that what is drawn and what was recorded
coincide, and the subject with cameras and necks moved so.

Poses that are found before there is a person are a pixel and more off where a head
turns quickly, and what is learned from them is blurred by as much. A drawing of the
same moment has the same face in the same light and a depth in every pixel: optical flow
leads from it to the frame, and one rigid motion of the head explains the flow where
skin and hair are rigid, another one of the torso where nothing moves with the head
(Gauss-Newton, robust weights, held at no motion by a prior).

A *move* is six numbers: a turn (rotation vector, radians) about the head frame's origin
and a shift (world units), both along the camera's axes.
"""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import torch
from jaxtyping import Bool, Float, Int, UInt8
from scipy.spatial.transform import Rotation

from talk3d.animator.model import Animator, DrivingBatch
from talk3d.animator.moving import Moving
from talk3d.animator.train import Drivers
from talk3d.camera import image_rays, unpack_label
from talk3d.checkpoint import tensors_sha256
from talk3d.dataset import TRACKED, Subject, tracked_camera
from talk3d.interrupted import StateFile
from talk3d.neck import head_share, rest_points
from talk3d.pace import Pace
from talk3d.person import Person, person_state
from talk3d.precision import body_precision
from talk3d.rigid import fine_detail, rigid_area

__all__ = ["moved", "register", "rigid_move"]

_LIMIT = 2000
"""Frames that are looked at; those between them are moved like their neighbours."""
_COARSEST = 16
_CHECKPOINT = 50
_GRID = 3
"""The flow is looked at in every so many pixels."""
_ROUND_TRIP = 1.0
_FAR = 1 / 32
"""Longest flow that is believed, part of the picture's side."""
_REACH = 3.0
"""Flow is as certain as the detail within so many pixels."""
_DETAIL = 25.0
"""Squared slope (grey values per pixel) of clearly seen detail."""
_SOLID, _PERSON = 0.95, 200
"""Least alpha of what is drawn, and matte of what was recorded."""
_LEAST = 60
_TOGETHER = 200.0
"""Neighbouring pixels err alike: more than so many count no more."""
_SIGMA = np.array([0.026, 0.026, 0.026, 0.02, 0.02, 0.06])
"""Standard deviation of moves."""
_OUTLIER = 0.7
"""Errors (pixels) above this count by their size only (Huber 1964)."""
_STEPS = 6

_RESTING = 0.01
"""Share of the head's motion that a torso's points have at most."""

Move = Float[np.ndarray, "6"]
Moves = Float[np.ndarray, "frames 2 6"]
"""Of the head and of the torso."""
Picture = UInt8[np.ndarray, "size size 3"]


def register(
    subject: Subject,
    person: Person,
    animator: Animator,
    *,
    frames: range,
    state: Path,
    minutes: float | None = None,
) -> Iterator[tuple[int, int, Moves]]:
    """Yield the frames done, how many it will be at this pace, and all moves so far.

    Frames go from far apart to close together, so that moves make sense whenever the
    time is up.

    Args:
        subject: the recording the person was fitted to.
        person: drawn on its device, where the animator is, too.
        animator: moves the person.
        frames: those that are looked at; others are moved like their neighbours.
        state: file of what is done; when it exists, the work goes on from it.
        minutes: time limit; none: all frames are looked at.

    Raises:
        ValueError: if the state is of another person, recording or animator.
    """
    valid = subject.arrays["valid"] > 0
    order = _far_apart(np.array([frame for frame in frames if valid[frame]], int))
    file, camera = StateFile(state), torch.from_numpy(subject.arrays["camera"])
    about = {
        "subject": subject.fingerprint(),
        "poses": tensors_sha256({"camera": camera}),
        "person": tensors_sha256(person_state(person)),
        "animator": tensors_sha256(animator.state_dict()),
        "frames": [frames.start, frames.stop, frames.step],
    }
    pace = Pace(len(order), None if minutes is None else 60 * minutes)
    found, done = np.zeros((len(order), 2, 6)), 0
    saved = file.read(about)
    if saved is not None:
        found, done = saved["moves"].numpy(), saved["done"]
        pace.before = saved["seconds"]
    easel = _Easel(subject, person, animator)

    def keep() -> None:
        kept = {"moves": torch.from_numpy(found), "done": done}
        file.write(about, kept | {"seconds": pace.spent()})

    yield done, pace.length(done), _between(order[:done], found, subject.frames)
    while pace.part(done) < 1:
        found[done] = easel.moves(int(order[done]))
        done += 1
        if done % _CHECKPOINT == 0:
            keep()
        yield done, pace.length(done), _between(order[:done], found, subject.frames)
    keep()


def moved(subject: Subject, moves: Moves) -> Subject:
    """Return the subject with heads and torsos moved."""
    labels = subject.arrays["camera"].astype(np.float64)
    pose, neck = labels[:, :16].reshape(-1, 4, 4).copy(), subject.arrays["neck"]
    seen = np.linalg.inv(pose)
    head, torso = (_motions(moves[:, k], seen[:, :3, 3]) for k in range(2))
    labels[:, :16] = (pose @ np.linalg.inv(head)).reshape(-1, 16)
    arrays = {
        TRACKED: tracked_camera(subject.arrays),
        "camera": labels.astype(np.float32),
        "neck": (neck @ pose @ np.linalg.inv(torso) @ head @ seen).astype(np.float32),
    }
    return replace(subject, arrays=subject.arrays | arrays)


def _motions(
    moves: Float[np.ndarray, "frames 6"], origin: Float[np.ndarray, "frames 3"]
) -> Float[np.ndarray, "frames 4 4"]:
    """Return moves about an origin as matrices."""
    turn = Rotation.from_rotvec(moves[:, :3]).as_matrix()
    motion = np.tile(np.eye(4), (len(moves), 1, 1))
    motion[:, :3, :3] = turn
    motion[:, :3, 3] = origin + moves[:, 3:] - np.einsum("fij,fj->fi", turn, origin)
    return motion


def rigid_move(
    points: Float[np.ndarray, "n 3"],
    places: Float[np.ndarray, "n 2"],
    certainty: Float[np.ndarray, "n 2 2"],
    *,
    origin: Float[np.ndarray, "3"],
    label: Float[np.ndarray, "25"],
) -> Move:
    """Return the move that takes points of a body to where they are seen.

    Args:
        points: of the body, camera axes, world units.
        places: where they are seen after the move, (column, row) in pixels.
        certainty: of each place, inverse square pixels, at most about one.
        origin: of the head frame, camera axes.
        label: intrinsics in pixels are its last nine numbers.
    """
    (fx, _, cx), (_, fy, cy), _ = label[16:].reshape(3, 3)
    move = np.zeros(6)
    share = certainty * min(1.0, _TOGETHER / len(points))
    for _ in range(_STEPS):
        turned = Rotation.from_rotvec(move[:3]).apply(points - origin)
        x, y, z = (turned + origin + move[3:]).T
        error = places - np.stack([fx * x / z + cx, fy * y / z + cy], -1)
        slope = np.zeros((len(points), 2, 3))
        slope[:, 0, 0], slope[:, 0, 2] = fx / z, -fx * x / z**2
        slope[:, 1, 1], slope[:, 1, 2] = fy / z, -fy * y / z**2
        slope = np.concatenate([np.cross(turned[:, None], slope), slope], -1)
        length = np.linalg.norm(error, axis=1)
        weight = share / np.maximum(1.0, length / _OUTLIER)[:, None, None]
        pull = np.einsum("nij,nik->njk", slope, weight)
        matrix = np.einsum("njk,nkl->jl", pull, slope) + np.diag(_SIGMA**-2.0)
        vector = np.einsum("njk,nk->j", pull, error) - move / _SIGMA**2
        step = np.linalg.solve(matrix, vector)
        turn = Rotation.from_rotvec(step[:3]) * Rotation.from_rotvec(move[:3])
        move = np.concatenate([turn.as_rotvec(), move[3:] + step[3:]])
    return move


class _Easel:
    """Draws the frames of a recording and compares them."""

    def __init__(self, subject: Subject, person: Person, animator: Animator) -> None:
        self._subject, self._generator = subject, person.generator
        arrays, device = subject.arrays, person.z.device
        self._drivers = told = Drivers.of(subject).to(device)
        rest = DrivingBatch.rest(told.eye, told.rotation, told.landmark)
        self._moving = Moving.of(person, animator, rest)
        self._camera, self._neck = (
            torch.from_numpy(arrays[name]).to(device) for name in ("camera", "neck")
        )
        self._plate = subject.plate().astype(np.float32)
        self._flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
        self._flow.setFinestScale(0)

    def moves(self, frame: int) -> Float[np.ndarray, "2 6"]:
        """Return how head and torso are to be moved; zeros where they are not seen."""
        colour, alpha, depth = self._drawn(frame)
        subject, size = self._subject, len(colour)
        matte = subject.matte(frame)
        rows, columns = np.mgrid[0:size:_GRID, 0:size:_GRID].reshape(2, -1)
        solid, found = alpha[rows, columns] > _SOLID, np.zeros((2, 6))
        if solid.sum() < _LEAST:
            return found
        rows, columns = rows[solid], columns[solid]
        flow, certainty = self._followed(colour, subject.frame(frame), rows, columns)
        sure = np.isfinite(flow).all(1)
        rows, columns, flow, certainty = (
            x[sure] for x in (rows, columns, flow, certainty)
        )
        places = np.stack([columns, rows], -1) + 0.5
        label = subject.arrays["camera"][frame].astype(np.float64)
        points, origin = _seen(places / size, depth[rows, columns], label)
        head = rigid_area(subject.arrays["landmarks"][frame], matte) > 0
        torso = self._resting(points, frame) & (matte[rows, columns] > _PERSON)
        label[16:22] *= size
        for k, part in enumerate((head[rows, columns], torso)):
            if part.sum() >= _LEAST:
                found[k] = rigid_move(
                    points[part],
                    (places + flow)[part],
                    certainty[part],
                    origin=origin,
                    label=label,
                )
        return found

    def _resting(
        self, points: Float[np.ndarray, "n 3"], frame: int
    ) -> Bool[np.ndarray, " n"]:
        """Return which points, on camera axes, do not move with the head."""
        pose = self._subject.arrays["camera"][frame, :16].reshape(4, 4)
        placed = torch.from_numpy(points @ pose[:3, :3].T + pose[:3, 3]).float()
        rest = rest_points(placed[None], self._neck[frame : frame + 1].cpu())
        return (head_share(rest)[0] < _RESTING).numpy()

    @torch.inference_mode()
    def _drawn(self, frame: int) -> tuple[Picture, np.ndarray, np.ndarray]:
        """Return colour before the background, alpha, and distance along the ray."""
        generator, one = self._generator, slice(frame, frame + 1)
        driving = self._drivers.batch(torch.tensor([frame]))
        w, planes = self._moving.planes(driving)
        given = planes, self._camera[one], generator.sampling()
        rendering = generator.render(*given, neck=self._neck[one], half=True)
        with body_precision(w.device):
            picture = generator.upsample(rendering, w)
        shown = (
            ((picture[0].float() + 1) / 2).clamp(0, 1).permute(1, 2, 0).cpu().numpy()
        )
        colour = 255 * shown[..., :3] + (1 - shown[..., 3:]) * self._plate
        depth = rendering.depth[0, 0].float().cpu().numpy()
        size = shown.shape[:2][::-1]
        deep = cv2.resize(depth, size, interpolation=cv2.INTER_LINEAR)
        return (colour + 0.5).clip(0, 255).astype(np.uint8), shown[..., 3], deep

    def _followed(
        self,
        drawn: Picture,
        recorded: Picture,
        rows: Int[np.ndarray, " n"],
        columns: Int[np.ndarray, " n"],
    ) -> tuple[Float[np.ndarray, "n 2"], Float[np.ndarray, "n 2 2"]]:
        """Return the flow of some pixels, NaN where it is lost, and its certainty."""
        first, second = fine_detail(drawn), fine_detail(recorded)
        empty = np.zeros((*first.shape, 2), np.float32)
        there = self._flow.calc(first, second, empty.copy())[rows, columns]
        returning = self._flow.calc(second, first, empty)
        ends = (there + np.stack([columns, rows], -1)).astype(np.float32)
        back = cv2.remap(
            returning, ends[:, None, 0], ends[:, None, 1], cv2.INTER_LINEAR
        )
        lost = np.linalg.norm(there + back.reshape(there.shape), axis=1) > _ROUND_TRIP
        lost |= np.linalg.norm(there, axis=1) > _FAR * len(drawn)
        x, y = (
            cv2.Sobel(first, cv2.CV_32F, *way, scale=1 / 8) for way in ((1, 0), (0, 1))
        )
        around = [
            cv2.GaussianBlur(product, (0, 0), _REACH)[rows, columns]
            for product in (x * x, x * y, x * y, y * y)
        ]
        detail = np.stack(around, -1).reshape(-1, 2, 2)
        strength = np.trace(detail, axis1=1, axis2=2)
        certainty = detail / (_DETAIL + strength)[:, None, None]
        return np.where(lost[:, None], np.nan, there), certainty


def _seen(
    places: Float[np.ndarray, "n 2"],
    depth: Float[np.ndarray, " n"],
    label: Float[np.ndarray, "25"],
) -> tuple[Float[np.ndarray, "n 3"], Float[np.ndarray, "3"]]:
    """Return points seen in a picture, and the head frame's origin, on camera axes."""
    camera = torch.from_numpy(label)[None]
    origins, directions = image_rays(camera, torch.from_numpy(places)[None])
    turn = unpack_label(camera)[0][0, :3, :3].numpy()
    points = (directions[0].numpy() * depth[:, None]) @ turn
    return points, -origins[0, 0].numpy() @ turn


def _far_apart(valid: Int[np.ndarray, " valid"]) -> Int[np.ndarray, " frames"]:
    """Return at most so many frames, those that are far apart first."""
    chosen = np.linspace(0, len(valid) - 1, min(_LIMIT, len(valid)))
    frames, stride, order = valid[chosen.round().astype(int)], _COARSEST, []
    order.append(frames[::stride])
    while stride > 1:
        order.append(frames[stride // 2 :: stride])
        stride //= 2
    return np.concatenate(order)


def _between(
    frames: Int[np.ndarray, " done"], found: Float[np.ndarray, "chosen 2 6"], count: int
) -> Moves:
    """Return moves of all frames: between those looked at, linearly."""
    if not len(frames):
        return np.zeros((count, 2, 6))
    order = np.argsort(frames)
    known, values = frames[order], found[: len(frames)][order]
    flat = values.reshape(len(known), -1).T
    every = np.stack([np.interp(np.arange(count), known, v) for v in flat], -1)
    return every.reshape(count, 2, 6)
