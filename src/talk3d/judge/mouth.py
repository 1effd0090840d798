"""What the judge sees of a mouth: four lengths.

In: landmarks, frames x 478 x 2, any unit, any turn of the head in the picture. Out: gap
of the inner lips, height of the outer lips, width of the outer and of the inner lips,
percent of the distance between the outer corners of the eyes. Numbering of the points:
``talk3d.face``.
"""

import torch
from jaxtyping import Float
from torch import Tensor

__all__ = ["LENGTHS", "mouth_lengths"]

LENGTHS = 4
"""Numbers of a frame."""
_GAP = ((81, 178), (82, 87), (13, 14), (312, 317), (311, 402))
_HEIGHT, _WIDTH, _INNER = ((37, 84), (0, 17), (267, 314)), ((61, 291),), ((78, 308),)


def mouth_lengths(
    landmarks: Float[Tensor, "*frames 478 2"], scale: Float[Tensor, "*#frames"] | float
) -> Float[Tensor, "*frames 4"]:
    """Measure a mouth.

    Args:
        landmarks: of each frame.
        scale: distance between the outer corners of the eyes, seen from the front, in
            the landmarks' unit.
    """
    lengths = []
    for pairs in (_GAP, _HEIGHT, _WIDTH, _INNER):
        ends = zip(*pairs, strict=True)
        first, second = (landmarks[..., list(points), :] for points in ends)
        lengths.append((first - second).norm(dim=-1).mean(-1) / scale)
    return 100 * torch.stack(lengths, dim=-1)
