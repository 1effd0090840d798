"""What lips do besides what sound tells: they move further, and along with the head.

Sound alone tells small movements, and nothing of what a recording's lips do as its head
turns: people nod as they open the mouth, and landmarks of turned lips are read a little
otherwise. The animator learned from the lips as they were read, so told lips must go
the same way.
"""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

__all__ = ["Turned", "articulation"]

_ARTICULATION = 1.25, 2.0
"""Lips are told cautiously: they move at least and at most so many times as far."""
_DOUBT = 0.1
"""Where a head turns by this (radians, root mean square), half is believed."""


@dataclass(frozen=True)
class Turned:
    """How a person's lips change with the turn of the head."""

    ahead: Float[Tensor, "2"]
    """Mean yaw and pitch of the recording, radians."""
    weight: Float[Tensor, "2 numbers"]
    """Lips per radian of each."""

    def lips(
        self, rotation: Float[Tensor, "frames 3"]
    ) -> Float[Tensor, "frames numbers"]:
        """Return what is added to the lips: head rotation as in a subject."""
        return (rotation[:, :2] - self.ahead) @ self.weight

    @classmethod
    def of(
        cls,
        left: Float[np.ndarray, "frames numbers"],
        rotation: Float[Tensor, "frames 3"],
    ) -> "Turned":
        """Fit it to a recording by a ridge.

        Args:
            left: lips less those that sound tells.
            rotation: of the head, radians.
        """
        angles = rotation[:, :2].double()
        ahead = angles.mean(dim=0)
        turn, rest = angles - ahead, torch.from_numpy(left).double()
        square = turn.T @ turn / len(turn) + _DOUBT**2 * torch.eye(2).double()
        shared = turn.T @ (rest - rest.mean(dim=0)) / len(turn)
        return cls(ahead.float(), torch.linalg.solve(square, shared).float())


def articulation(share: float) -> float:
    """Return how many times as far as told lips move, if told lips move too little.

    Half of what is missing, in the logarithm: sound that tells little of a recording's
    lips tells small movements, and lips that hardly move do not talk.

    Args:
        share: of the recording's movement that is told.
    """
    least, most = _ARTICULATION
    return min(max(least, max(share, 1e-6) ** -0.5), most)
