"""The classical rival: a mean head mesh, fitted to landmarks, wearing the video.

Comes in: a task. Goes out: pictures and depth of its shots. Four steps:

1. *Shape*: identity weights of the small built-in head, by least squares on the
   landmarks of the training frames whose cameras are known.
2. *Pose*: each shot's recorded expression and gaze move the mesh.
3. *Texture*: training frames spread over yaw, and those most alike in expression, are
   projected onto the mesh. A pixel takes their weighted mean; a frame weighs by how
   squarely it saw the spot, and nothing where the spot was hidden.
4. *Picture*: triangles are painted from far to near.

The mesh has no hair and no shoulders, as such meshes have none.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from jaxtyping import Float
from PIL import Image

from talk3d.benchmark.task import Task
from talk3d.camera import project, yaw_pitch
from talk3d.dataset import Subject
from talk3d.face_depth import fit_identity
from talk3d.painting import Painted, paint
from talk3d.synthetic.builtin import builtin_head
from talk3d.synthetic.head import HeadModel, to_world

__all__ = ["draw_mesh"]

_SPREAD_FRAMES = 6
_ALIKE_FRAMES = 2
_HIDDEN = 0.02
_SHARP = 4.0
_NEVER = 1e-4
_UNSEEN = 1e-5

Points = Float[np.ndarray, "n 3"]
Label = Float[np.ndarray, " 25"]


@dataclass(frozen=True)
class _Source:
    """A training frame that colours the mesh."""

    picture: Float[np.ndarray, "size size 3"]
    matte: Float[np.ndarray, "size size"]
    vertices: Points
    label: Label
    depth: Float[np.ndarray, "size size"]


def draw_mesh(task: Task, out: Path, *, oversample: int = 2) -> None:
    """Write the mesh's pictures (RGBA) and depth of all shots.

    Args:
        task: The task.
        out: Where the pictures go.
        oversample: Samples per pixel and axis.
    """
    out.mkdir(parents=True, exist_ok=True)
    subject, head = task.subject(), builtin_head()
    rest = head.shape(fit_identity(subject, np.array(task.train)))
    cameras, driving = task.cameras(), task.driving()
    sources: dict[int, _Source] = {}
    yaw = yaw_pitch(torch.from_numpy(subject.arrays["camera"]))[0].numpy()
    for row, shot in enumerate(task.shots):
        expression = driving["expression"][row]
        named = _sources(task, subject, yaw, expression)
        for frame in named:
            if frame not in sources:
                sources[frame] = _source(head, rest, subject, frame)
        chosen = [sources[frame] for frame in named]
        vertices = _posed(head, rest, expression, driving["gaze"][row])
        seen = paint(
            vertices, head.triangles, cameras[row], size=oversample * task.size
        )
        colour = _coloured(head.triangles, seen, chosen)
        side = (task.size, task.size)
        picture = cv2.resize(colour, side, interpolation=cv2.INTER_AREA)
        straight = picture[..., :3] / np.maximum(picture[..., 3:], 1e-3)
        rgba = np.concatenate([straight, picture[..., 3:]], -1)
        codes = np.clip(rgba * 255 + 0.5, 0, 255).astype(np.uint8)
        Image.fromarray(codes).save(out / f"{shot.name}.png", compress_level=3)
        np.save(out / f"{shot.name}.npy", seen.depth[::oversample, ::oversample])


def _posed(
    head: HeadModel, rest: Points, expression: np.ndarray, gaze: np.ndarray
) -> Points:
    """Return the vertices with an expression and a gaze, world units."""
    moved = head.turn_eyes(head.express(rest, expression), rest, gaze)
    return to_world(moved.astype(np.float32))


def _sources(
    task: Task, subject: Subject, yaw: np.ndarray, expression: np.ndarray
) -> list[int]:
    """Name the training frames that colour a shot."""
    train = np.array(task.train)
    order = train[np.argsort(yaw[train], kind="stable")]
    spread = order[np.linspace(0, len(order) - 1, _SPREAD_FRAMES).astype(int)]
    off = np.square(subject.arrays["expression"][train] - expression).sum(-1)
    alike = train[np.argsort(off, kind="stable")[:_ALIKE_FRAMES]]
    return list(dict.fromkeys([*alike.tolist(), *spread.tolist()]))


def _source(head: HeadModel, rest: Points, subject: Subject, frame: int) -> _Source:
    arrays = subject.arrays
    vertices = _posed(head, rest, arrays["expression"][frame], arrays["gaze"][frame])
    label = arrays["camera"][frame]
    seen = paint(vertices, head.triangles, label, size=subject.size)
    return _Source(
        picture=subject.frame(frame).astype(np.float32) / 255,
        matte=subject.matte(frame).astype(np.float32) / 255,
        vertices=vertices,
        label=label,
        depth=seen.depth,
    )


def _coloured(
    triangles: np.ndarray, seen: Painted, sources: list[_Source]
) -> Float[np.ndarray, "size size 4"]:
    """Return premultiplied colour and coverage."""
    inside = seen.triangle >= 0
    corner = triangles[seen.triangle[inside]]
    weights = seen.weights[inside][..., None]
    colour, total = np.zeros((len(corner), 3)), np.zeros(len(corner))
    for k, source in enumerate(sources):
        points = (source.vertices[corner] * weights).sum(1)
        sample, trust = _looked_up(source, corner, points)
        share = trust * (4.0 if k < _ALIKE_FRAMES else 1.0)
        colour += sample * share[:, None]
        total += share
    # What lay outside the person in all frames takes the person's mean colour.
    colour += _UNSEEN * colour.sum(0) / max(total.sum(), 1e-9)
    total += _UNSEEN
    result = np.zeros((*inside.shape, 4), np.float32)
    result[inside, :3] = colour / total[:, None]
    result[inside, 3] = 1
    return result


def _looked_up(
    source: _Source, corner: np.ndarray, points: Points
) -> tuple[Float[np.ndarray, "n 3"], Float[np.ndarray, " n"]]:
    """Return a frame's colour at points of its mesh, and how much to trust it."""
    place, distance = project(torch.from_numpy(points), torch.from_numpy(source.label))
    size = len(source.depth)
    at = (place.numpy() * size - 0.5).astype(np.float32)
    picture = np.dstack([source.picture, source.matte, source.depth])
    found = _sampled(picture, at)
    a, b, c = (source.vertices[corner[:, k]] for k in range(3))
    normal = np.cross(b - a, c - a)
    normal /= np.maximum(np.linalg.norm(normal, axis=-1, keepdims=True), 1e-12)
    toward = source.label[[3, 7, 11]] - points
    toward /= np.linalg.norm(toward, axis=-1, keepdims=True)
    square = np.clip((normal * toward).sum(-1), 0, 1)
    open_to_view = distance.numpy() < found[:, 4] + _HIDDEN
    person = found[:, 3] ** 2
    trust = np.where(open_to_view, square**_SHARP * person, 0.0)
    # What no frame saw takes what lies before or beside it, rather than a hole.
    return found[:, :3], trust + _NEVER * (square + 1e-2) * person


def _sampled(
    picture: Float[np.ndarray, "size size c"], at: Float[np.ndarray, "n 2"]
) -> Float[np.ndarray, "n c"]:
    """Interpolate a picture at pixel positions; OpenCV takes no long rows."""
    wide = 1024
    padded = np.pad(at, ((0, -len(at) % wide), (0, 0))).reshape(-1, wide, 2)
    found = cv2.remap(
        picture,
        padded[..., 0],
        padded[..., 1],
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,
    )
    return found.reshape(-1, picture.shape[-1])[: len(at)]
