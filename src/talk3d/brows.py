"""What the brows do: raised on either side, drawn together.

Comes in: landmarks of a video and its cameras. Goes out: three numbers per frame. Sound
does not say them; like blinks and gaze they are the recording's.
"""

import numpy as np
from jaxtyping import Float

from talk3d.unposed import unposed_landmarks

__all__ = ["BROW_NUMBERS", "brow_signals"]

BROW_NUMBERS = 3
"""Left raised, right raised, drawn apart."""
_LEFT, _RIGHT = (300, 293, 334, 296, 336), (70, 63, 105, 66, 107)
_LEFT_CORNERS, _RIGHT_CORNERS = (263, 362), (33, 133)
_INNER = (336, 107)
_TYPICAL = 3.0
"""Percent of the distance of the outer eye corners."""


def brow_signals(
    landmarks: Float[np.ndarray, "frames 478 2"],
    camera: Float[np.ndarray, "frames 25"],
) -> Float[np.ndarray, "frames 3"]:
    """Return how far brows are raised above the eye corners and drawn apart.

    Args:
        landmarks: crop coordinates, 0 to 1.
        camera: EG3D labels in the head frame.

    Returns:
        Left raised, right raised, inner ends apart; 0 is the video's median, 1 is
        three percent of the distance of the outer eye corners.
    """
    points = unposed_landmarks(landmarks, camera)
    left, right = (
        points[:, list(brow), 1].mean(1) - points[:, list(corners), 1].mean(1)
        for brow, corners in ((_LEFT, _LEFT_CORNERS), (_RIGHT, _RIGHT_CORNERS))
    )
    apart = points[:, _INNER[0], 0] - points[:, _INNER[1], 0]
    signals = np.stack([left, right, apart], axis=1) / _TYPICAL
    return (signals - np.median(signals, axis=0)).astype(np.float32)
