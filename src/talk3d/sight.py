"""What a recording shows of a person, point by point.

Comes in: planes of a person and frames of the recording. Goes out: points of the
surface that the frames see, with their colour as the planes have it and as the frames
show it.
"""

from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from talk3d.camera import camera_rays
from talk3d.eg3d.generator import Generator
from talk3d.frames import FrameStore
from talk3d.neck import rest_points

__all__ = ["colours_in_sight"]

_SIDE, _FRAMES, _SOLID = 48, 4, 0.95
"""Rays per side, frames and opacity of what tells colours in sight."""


def colours_in_sight(
    prior: Generator, planes: Float[Tensor, "1 3 c h w"], store: FrameStore
) -> tuple[Float[Tensor, "n 3"], Float[Tensor, "n 3"], Float[Tensor, "n 3"]]:
    """Return what spread frames see: points, their colour in planes and in frames.

    Args:
        prior: draws the planes.
        planes: of the person as found in the prior.
        store: the frames.

    Returns:
        Points at rest in world units; colours from 0 to 1.
    """
    batch = store.batch(store.spread(_FRAMES)).to(planes.device)
    view = prior.render(
        planes, batch.camera, prior.sampling(), neck=batch.neck, size=_SIDE
    )
    origins, directions = camera_rays(batch.camera, _SIDE)
    points = origins + directions * view.depth.flatten(2).transpose(1, 2)
    size = (_SIDE, _SIDE)
    truth = functional.interpolate(batch.premultiplied(), size=size, mode="area")
    shown, wanted = (
        ((picture + 1) / 2).flatten(2).transpose(1, 2)
        for picture in (view.picture(), truth)
    )
    both = (shown[..., 3] > _SOLID) & (wanted[..., 3] > _SOLID)
    shown, wanted = (
        (picture[both][:, :3] / picture[both][:, 3:]).clamp(0, 1)
        for picture in (shown, wanted)
    )
    return rest_points(points, batch.neck)[both], shown, wanted
