"""What is looked at and from where: poses, cameras, pictures.

World units and labels are those of ``talk3d.camera``; the head turns about the base of
the skull while the torso stays.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, UInt8

from talk3d.synthetic.head import to_world

__all__ = ["NECK_PIVOT", "ClipCamera", "Picture", "Pose", "head_motion"]

NECK_PIVOT = np.array([0.0, -5.5, -1.5], np.float32)
"""The point the head turns about, model cm."""


@dataclass(frozen=True)
class Pose:
    """What a person does in one picture."""

    expression: Float[np.ndarray, "53"]
    """Weights relative to the sealed neutral."""
    gaze: Float[np.ndarray, "4"]
    """Left yaw, pitch, right yaw, pitch in radians, head frame."""
    turn: Float[np.ndarray, "3 3"]
    """Rotation of the head against the torso."""


@dataclass(frozen=True)
class Picture:
    """A render with its ground truth, row 0 at the top."""

    image: UInt8[np.ndarray, "size size 4"]
    """Straight sRGB colour and coverage."""
    distance: Float[np.ndarray, "size size"]
    """Distance along the ray in world units; 0 where there is nothing."""
    normal: Float[np.ndarray, "size size 3"]
    """Unit normals with the axes of the head; hair's point away from its card, so leave
    hair out where normals are compared; 0 where there is nothing."""
    part: UInt8[np.ndarray, "size size"]
    """0 nothing, 1 skin, 2 lips, 3 mouth, 4 teeth, 5 eyes, 6 hair, 7 cloth, glasses."""


def head_motion(turn: Float[np.ndarray, "3 3"]) -> Float[np.ndarray, "4 4"]:
    """Return the head's motion in world units.

    A label's pose is the inverse of this times the camera's pose in the room.
    """
    pivot = to_world(NECK_PIVOT).astype(np.float64)
    motion = np.eye(4)
    motion[:3, :3] = turn
    motion[:3, 3] = pivot - turn @ pivot
    return motion


@dataclass(frozen=True)
class ClipCamera:
    """A camera in the torso's frame."""

    position: Float[np.ndarray, "3"]
    """Where the camera is, world units."""
    to_clip: Float[np.ndarray, "4 4"]
    """Projection from world to OpenGL's clip coordinates."""

    @classmethod
    def of_label(
        cls, label: Float[np.ndarray, "25"], motion: Float[np.ndarray, "4 4"]
    ) -> "ClipCamera":
        """Place a head-frame label where the moved head is."""
        pose = motion @ label[:16].reshape(4, 4).astype(np.float64)
        intrinsics = label[16:].reshape(3, 3)
        distance = float(np.linalg.norm(pose[:3, 3]))
        near, far = max(0.2, distance - 1.0), distance + 1.6
        (fx, _, cx), (_, fy, cy) = intrinsics[:2]
        projection = np.array(
            [
                [2 * fx, 0, 2 * cx - 1, 0],
                [0, -2 * fy, 1 - 2 * cy, 0],
                [0, 0, (far + near) / (far - near), -2 * far * near / (far - near)],
                [0, 0, 1, 0],
            ]
        )
        return cls(pose[:3, 3], projection @ np.linalg.inv(pose))
