"""The torso: how the head moves against it.

Comes in: the solved cameras of a video. Goes out: the neck motion of every frame (see
``talk3d.neck``), with the torso taken to stay before the camera.
"""

import numpy as np
from jaxtyping import Float
from scipy.spatial.transform import Rotation

__all__ = ["neck_motions"]


def neck_motions(
    camera: Float[np.ndarray, "frames 25"],
) -> Float[np.ndarray, "frames 4 4"]:
    """Return the motion of the head against a torso that stays before the camera.

    With ``C`` the pose of the camera in the head frame and ``M`` its mean, a point
    ``p`` of the torso is seen at ``inv(C) p``, which the mean head has at
    ``M inv(C) p``.

    Args:
        camera: EG3D labels in the head frame.
    """
    pose = camera[:, :16].reshape(-1, 4, 4).astype(np.float64)
    mean = pose.mean(0)
    mean[:3, :3] = Rotation.from_matrix(pose[:, :3, :3]).mean().as_matrix()
    return (mean @ np.linalg.inv(pose)).astype(np.float32)
