"""Landmarks of faces whose shape is known, as the landmark network marks them."""

import numpy as np
import torch

from talk3d.camera import project
from talk3d.face import load_face_shape
from talk3d.slide import view_slide


def marked(faces: np.ndarray, labels: list[torch.Tensor]):
    """Return landmarks (0 to 1) and cameras of faces, each seen by its camera."""
    cameras = torch.stack(labels)
    points, _ = project(torch.from_numpy(faces), cameras)
    pose = cameras.numpy()[:, :16].reshape(-1, 4, 4)
    turn = pose[:, :3, :3].transpose(0, 2, 1)
    distance = np.einsum("fk,fk->f", -pose[:, :3, 3], pose[:, :3, 2])
    scale = (cameras.numpy()[:, 16] / distance)[:, None, None]
    slide = view_slide(load_face_shape().talking_slide, turn) * scale
    return (points.numpy() + slide).astype(np.float32), cameras.numpy()
