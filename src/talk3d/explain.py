"""Show what an avatar's tokens do in one frame of a speech.

Above, where on the head the U-Net listens to each token; below, what the picture owes
to it: the change when the driver is set to its mean over the recording.
"""

from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor
from torch.nn import functional

from talk3d.animator.model import DrivingBatch
from talk3d.animator.moving import Moving
from talk3d.animator.tokens import TOKENS
from talk3d.avatar import Avatar
from talk3d.camera import camera_rays
from talk3d.eg3d.generator import Rendering
from talk3d.eg3d.triplane import sample_planes

__all__ = ["explain"]

_CHANGE_GAIN = 4.0
_HEAT = (1.0, 0.25, 0.1)


@torch.inference_mode()
def explain(
    avatar: Avatar, wave: Float[np.ndarray, " samples"], frame: int, *, seed: int = 0
) -> UInt8[np.ndarray, "height width 3"]:
    """Draw a sheet: the frame, then a column per token (``TOKENS``).

    Attention is the mean over blocks, heads and the three planes at the surface that a
    pixel shows; red is 1, all tokens of a pixel sum to 1. The lower row is grey where
    nothing changes, and shows changes four times as large. The null token drives
    nothing, so its lower picture is grey.

    Args:
        avatar: who speaks.
        wave: 16 kHz mono sound.
        frame: which of its frames.
        seed: as for ``Avatar.speak``.

    Raises:
        ValueError: if the sound ends before the frame.
    """
    driving, motion = avatar.driven(wave, seed=seed)
    count = len(driving.audio)
    if not 0 <= frame < count:
        message = (
            f"the sound has frames 0 to {count - 1}, not {frame}: give one of them"
        )
        raise ValueError(message)
    camera = motion.mix_cameras(avatar.camera)[frame : frame + 1]
    neck = motion.mix(avatar.neck.flatten(1)).unflatten(1, (4, 4))[frame : frame + 1]
    device = avatar.person.z.device
    rest = avatar.rest().to(device)
    now = driving.rows(torch.tensor([frame])).to(device)
    moving = Moving.of(avatar.person, avatar.animator, rest)
    view = _View(moving, camera.to(device), neck.to(device))
    picture, rendering = view.draw(now)
    heat = view.attention(now, rendering, picture.shape[-1])
    upper, lower = [picture], [picture]
    for index, token in enumerate(TOKENS):
        tint = picture.new_tensor(_HEAT)[:, None, None]
        upper.append(picture + (tint - picture) * heat[index])
        change = torch.zeros_like(picture)
        if hasattr(rest, token):
            still, _ = view.draw(replace(now, **{token: getattr(rest, token)}))
            change = _CHANGE_GAIN * (picture - still)
        lower.append(0.5 + change)
    rows = [torch.cat(row, dim=2) for row in (upper, lower)]
    sheet = torch.cat(rows, dim=1).clamp(0, 1).permute(1, 2, 0)
    return (255 * sheet + 0.5).to(torch.uint8).cpu().numpy()


class _View:
    """Draws one moment from one camera."""

    def __init__(self, moving: Moving, camera: Tensor, neck: Tensor) -> None:
        self._moving, self._camera, self._neck = moving, camera, neck
        self._network = moving.person.generator

    def draw(
        self, driving: DrivingBatch
    ) -> tuple[Float[Tensor, "3 size size"], Rendering]:
        """Return the picture on grey, 0 to 1, and the rendering behind it."""
        w, planes = self._moving.planes(driving)
        network = self._network
        rendering = network.render(
            planes, self._camera, network.sampling(), neck=self._neck
        )
        picture = (network.upsample(rendering, w)[0].float() + 1) / 2
        return picture[:3] + 0.5 * (1 - picture[3:]), rendering

    def attention(
        self, driving: DrivingBatch, rendering: Rendering, size: int
    ) -> Float[Tensor, "tokens size size"]:
        """Return how much the surface that each pixel shows listens to each token."""
        animator = self._moving.animator
        tokens = animator.tokens(driving).float()
        maps = animator.attention(self._moving.encoded, tokens).mean(dim=(1, 3))
        origins, directions = camera_rays(self._camera, rendering.depth.shape[-1])
        depth = rendering.depth.flatten(1)[..., None]
        rules = self._network.config.volume
        seen = sample_planes(
            maps.permute(0, 1, 4, 2, 3).contiguous(),
            origins + depth * directions,
            axes=rules.axes,
            box=rules.box,
        )
        shown = seen[0].T.unflatten(1, rendering.depth.shape[-2:])
        shown = shown * (rendering.alpha[0] > 0.5)
        return functional.interpolate(shown[None], size=(size, size), mode="bilinear")[
            0
        ]
