"""Landmarks free of the head's motion.

Comes in: landmarks of a video and its cameras. Goes out: the same points on the face,
seen from the front. A landmark is put back by as much as the network's points slide on
a turned head, then carried along its ray to the depth that it has, on average, on
people who talk.
"""

import numpy as np
import torch
from jaxtyping import Float

from talk3d.camera import image_rays
from talk3d.face import load_face_shape
from talk3d.slide import view_slide

__all__ = ["unposed_landmarks"]

CANTHI = (33, 263)
_PERCENT = 100.0


def unposed_landmarks(
    landmarks: Float[np.ndarray, "frames 478 2"],
    camera: Float[np.ndarray, "frames 25"],
) -> Float[np.ndarray, "frames 478 2"]:
    """Return where the points lie in the head frame.

    Args:
        landmarks: crop coordinates, 0 to 1.
        camera: EG3D labels in the head frame.

    Returns:
        x to the subject's left, y up, from the head frame's origin, percent of the
        distance of the outer eye corners (median of the video).
    """
    shape = load_face_shape()
    depth = torch.from_numpy(shape.talking_depth).double()
    pose = camera[:, :16].reshape(-1, 4, 4).astype(np.float64)
    distance = -(pose[:, :3, 3] * pose[:, :3, 2]).sum(1)
    slide = view_slide(shape.talking_slide, pose[:, :3, :3].transpose(0, 2, 1))
    marks = landmarks - slide * (camera[:, 16] / distance)[:, None, None]
    origins, directions = image_rays(
        torch.from_numpy(camera).double(), torch.from_numpy(marks)
    )
    along = (depth - origins[..., 2]) / directions[..., 2]
    flat = (origins + along[..., None] * directions)[..., :2].numpy()
    canthi = flat[:, CANTHI[0]] - flat[:, CANTHI[1]]
    return flat * (_PERCENT / np.median(np.linalg.norm(canthi, axis=-1)))
