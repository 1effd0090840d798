"""From where an avatar is seen, and the cameras of that.

Comes in: what was asked for, and the recorded cameras. Goes out: a camera per frame, in
which the head moves as it was recorded.
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from talk3d.camera import look_at, mean_label, pack_label, unpack_label

__all__ = ["View", "seen_from"]


@dataclass(frozen=True)
class View:
    """From where the avatar is seen."""

    kind: str
    """``recorded``, ``front``, ``orbit`` or ``fixed``."""
    yaw: float = 0.0
    """Radians, for ``fixed``; the swing of ``orbit``."""
    pitch: float = 0.0
    """Radians, for ``fixed``."""

    @classmethod
    def parse(cls, text: str) -> "View":
        """Read ``recorded``, ``front``, ``orbit`` or ``YAW,PITCH`` in degrees.

        Raises:
            ValueError: if the text is none of these.
        """
        if text in ("recorded", "front"):
            return cls(text)
        if text == "orbit":
            return cls(text, yaw=math.radians(45))
        try:
            yaw, pitch = (float(part) for part in text.split(","))
        except ValueError:
            yaw = pitch = math.nan
        if not (abs(yaw) <= 180 and abs(pitch) < 90):
            message = (
                f"the view {text!r} is not known: give recorded, front, orbit, or"
                " degrees as YAW,PITCH (-180 to 180, -90 to 90), for example 30,0"
            )
            raise ValueError(message)
        return cls("fixed", math.radians(yaw), math.radians(pitch))


def seen_from(
    view: View,
    cameras: Float[Tensor, "frames 25"],
    recording: Float[Tensor, "all 25"],
) -> Float[Tensor, "frames 25"]:
    """Return the cameras of a view; the head moves in it as in the recording.

    With ``C`` a recorded camera in the head frame and ``M`` their mean, the head's
    pose before a camera that stands still is ``inv(C)``; a new camera ``V`` beside
    the mean head sees it from ``C inv(M) V``.
    """
    if view.kind == "recorded":
        return cameras
    pose, intrinsics = unpack_label(cameras)
    mean, _ = unpack_label(mean_label(recording))
    if view.kind == "orbit":
        turn = torch.arange(len(cameras)) * (2 * math.pi / 150)
        yaw, pitch = view.yaw * turn.sin(), torch.zeros(len(cameras))
    else:
        yaw = torch.full((len(cameras),), view.yaw)
        pitch = torch.full((len(cameras),), view.pitch)
    radius = mean[:3, 3].norm()
    direction = torch.stack(
        [yaw.sin() * pitch.cos(), pitch.sin(), yaw.cos() * pitch.cos()], dim=-1
    )
    pivot = torch.tensor([0.0, 0.0, 0.05]).expand(len(cameras), -1)
    wanted = look_at(direction * radius, pivot)
    centred = intrinsics.clone()
    centred[:, :2, 2] = 0.5
    return pack_label(pose @ torch.linalg.inv(mean) @ wanted, centred)
