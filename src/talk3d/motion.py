"""Motion without an end: a recording goes on past its last frame along similar poses.

Comes in: the head signals of a recording. Goes out: for every frame to be shown, the
two recorded frames it mixes and how much of the second. Where the recording ends,
another moment with nearly the same pose and motion is faded in, so nothing jumps, and
which moment it is comes from a seed, so no loop is seen.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from talk3d.camera import pack_label, unpack_label

__all__ = ["Motion", "continued"]

_FADE = 15
_CHOICES = 5
_SHORTEST = 3 * _FADE


@dataclass(frozen=True)
class Motion:
    """Which recorded frames make up the shown ones."""

    first: Int[Tensor, " frames"]
    """A recorded frame."""
    second: Int[Tensor, " frames"]
    """Another one."""
    share: Float[Tensor, " frames"]
    """How much of the second, 0 to 1."""

    def mix(self, signal: Float[Tensor, "all n"]) -> Float[Tensor, "frames n"]:
        """Return a recorded signal along the motion."""
        share = self.share[:, None]
        return signal[self.first] * (1 - share) + signal[self.second] * share

    def mix_cameras(
        self, cameras: Float[Tensor, "all 25"]
    ) -> Float[Tensor, "frames 25"]:
        """Return recorded cameras along the motion, rotations kept orthogonal."""
        pose, intrinsics = unpack_label(self.mix(cameras))
        left, _, right = torch.linalg.svd(pose[:, :3, :3])
        pose = pose.clone()
        pose[:, :3, :3] = left @ right
        return pack_label(pose, intrinsics)


def continued(
    rotation: Float[Tensor, "all 3"],
    landmark: Float[Tensor, "all 6"],
    count: int,
    *,
    seed: int,
) -> Motion:
    """Lay out ``count`` frames of motion from a recording.

    Args:
        rotation: head rotation of the recording.
        landmark: head position of the recording.
        count: frames wanted.
        seed: chooses where the motion goes on.
    """
    total = len(rotation)
    chance = torch.Generator().manual_seed(seed)
    if total < _SHORTEST:
        still = torch.arange(count) % (2 * total)
        there = torch.where(still < total, still, 2 * total - 1 - still)
        return Motion(there, there, torch.zeros(count))
    features = torch.cat([4 * rotation, landmark], dim=1)
    speed = torch.cat([features[1:] - features[:-1], torch.zeros(1, 9)])
    state = torch.cat([features, 5 * speed], dim=1)
    first, second, share = [], [], []
    start = 0
    while len(first) < count:
        end = total - _FADE
        first += range(start, end)
        second += range(start, end)
        share += [0.0] * (end - start)
        target = _similar(state, end, chance)
        first += range(end, total)
        second += range(target, target + _FADE)
        share += [(k + 1) / (_FADE + 1) for k in range(_FADE)]
        start = target + _FADE
    return Motion(
        torch.tensor(first[:count]),
        torch.tensor(second[:count]),
        torch.tensor(share[:count]),
    )


def _similar(state: Tensor, end: int, chance: torch.Generator) -> int:
    """Choose one of the frames of the first part most like frame ``end``."""
    last = max(1, (len(state) - 2 * _FADE) * 2 // 3)
    distance = (state[:last] - state[end]).norm(dim=1)
    nearest = distance.topk(min(_CHOICES, last), largest=False).indices
    return int(nearest[torch.randint(len(nearest), (), generator=chance)])
