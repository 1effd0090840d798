"""What our prior is told besides the identity: camera, expression and gaze.

The camera part is there for published networks' sake and is zero in ours; all zeros
ask for the neutral face with sealed lips that looks straight ahead.
"""

import torch
from jaxtyping import Float
from torch import Tensor

__all__ = ["condition_vector"]

_CAMERA_NUMBERS = 25


def condition_vector(
    expression: Float[Tensor, "batch 53"], gaze: Float[Tensor, "batch 4"]
) -> Float[Tensor, "batch 82"]:
    """Join the prior's condition: camera (zeroed), expression, gaze."""
    camera = torch.zeros(len(expression), 25, dtype=expression.dtype)
    return torch.cat([camera.to(expression.device), expression, gaze], dim=1)
