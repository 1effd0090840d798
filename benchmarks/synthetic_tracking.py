"""Compare what preprocess finds in a synthetic clip with the truth."""

import numpy as np
import torch
from safetensors.numpy import load_file
from scipy.spatial.transform import Rotation

from talk3d.camera import project
from talk3d.dataset import Subject
from talk3d.lips import LIP_POINTS, seen_lips

__all__ = ["compare"]

CM = 40.0
"""Centimetres per world unit."""
CANTHI = 2 * 4.46 / CM
"""Mean distance of the outer corners of the eyes, world units."""


def compare(true: Subject, found: Subject) -> dict[str, float | None]:
    """Return errors of cameras and lips: degrees and per cent.

    Turned too far: by what share of the true turns from the mean pose. Lips: their
    points, centred, about their mean error, of the distance of the outer eye corners.
    """
    x, y, _, scale = found.arrays["crop"].tolist()
    count = min(true.frames, found.frames)
    poses, places = [], []
    for subject, shift, zoom in (
        (true, np.zeros(2), float(true.size)),
        (found, np.array([x, y]), found.size / scale),
    ):
        label = subject.arrays["camera"][:count].astype(np.float64)
        poses.append(np.linalg.inv(label[:, :16].reshape(-1, 4, 4)))
        centre, distance = project(
            torch.zeros(count, 1, 3, dtype=torch.float64), torch.tensor(label)
        )
        focal = label[:, 16] * zoom
        pixels = centre[:, 0].numpy() * zoom + shift
        places.append((pixels, distance[:, 0].numpy() / focal, focal))
    relative = poses[1][:, :3, :3].transpose(0, 2, 1) @ poses[0][:, :3, :3]
    u, _, v = np.linalg.svd(relative.mean(0))
    constant = u @ v
    left = relative @ constant.T
    angle = np.degrees(
        np.arccos(np.clip((np.trace(left, axis1=1, axis2=2) - 1) / 2, -1, 1))
    )
    fixed = np.degrees(np.arccos(np.clip((np.trace(constant) - 1) / 2, -1, 1)))
    (here, near, f), (there, near_found, f_found) = places
    side = np.linalg.norm(there - here, axis=1) * near  # world units at the head
    yaw = np.degrees(np.ptp(true.arrays["rotation"][:count, 0]))
    view = np.degrees(2 * np.arctan(0.5 * true.size / f[0]))
    wide = view >= 25 and yaw >= 30
    return {
        "rotation": float(np.median(angle)),
        "constant": float(fixed),
        "turned too far": 100 * (_turn_share(*poses) - 1),
        "lips": _lip_error(true, found, count),
        "lateral": float(100 * np.median(side) / CANTHI),
        "distance/focal": float(100 * np.median(np.abs(near_found / near - 1))),
        "focal": float(100 * abs(f_found[0] / f[0] - 1)) if wide else None,
        "focal (any)": float(100 * abs(f_found[0] / f[0] - 1)),
        "yaw span": float(yaw),
        "view": float(view),
    }


def _turn_share(true: np.ndarray, found: np.ndarray) -> float:
    """Return how far poses turn from their mean, where the true ones turn by 1."""
    turns = []
    for poses in (true, found):
        turned = Rotation.from_matrix(poses[:, :3, :3])
        turns.append((turned * turned.mean().inv()).as_rotvec())
    return float((turns[0] * turns[1]).sum() / (turns[0] ** 2).sum())


def _lip_error(true: Subject, found: Subject, count: int) -> float:
    """Return how far seen lips are from the true ones, less the mean miss."""
    points = load_file(true.path / "truth" / "arrays.safetensors")["landmarks_3d"]
    canthi = np.linalg.norm(points[:, 33, :2] - points[:, 263, :2], axis=-1).mean()
    lips = points[:count, list(LIP_POINTS), :2] * (100 / canthi)
    seen = seen_lips(found)[:count].reshape(count, -1, 2)
    off = seen - (lips - lips.mean(1, keepdims=True))
    return float(np.linalg.norm(off - off.mean(0), axis=-1).mean())
