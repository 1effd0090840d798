"""What our prior is told besides the identity: camera, expression and gaze.

The camera part is zero in the prior that we ship; priors trained with pose conditioning
and published networks use it. Zeros in the rest ask for the neutral face with sealed
lips that looks straight ahead.
"""

import torch
from jaxtyping import Float
from torch import Tensor

__all__ = ["CONDITION_DIMS", "condition_vector"]

CONDITION_DIMS = (25, 53, 4)
"""Numbers of camera, expression and gaze."""


def condition_vector(
    expression: Float[Tensor, "batch 53"],
    gaze: Float[Tensor, "batch 4"],
    camera: Float[Tensor, "batch 25"] | None = None,
) -> Float[Tensor, "batch 82"]:
    """Join the prior's condition: camera (zeros if not given), expression, gaze."""
    if camera is None:
        camera = expression.new_zeros(len(expression), CONDITION_DIMS[0])
    return torch.cat([camera, expression, gaze], dim=1)
