"""Cameras: the one place where poses, intrinsics, labels and rays are defined.

World: right-handed, +y up, the face looks along +z, the subject's left is +x, the
origin lies inside the head; one world unit is 40 cm of the synthetic head model.
Camera axes: +x right, +y down, +z forward (OpenCV). ``cam2world`` is a 4x4 matrix.
Intrinsics are divided by the image size; pixel centres lie at half-integers. A label
is EG3D's 25 numbers: ``cam2world`` row-major (16), then intrinsics row-major (9).
Depth is the distance along the ray. Angles are radians: +yaw moves the camera toward
the subject's left, +pitch moves it up.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor

__all__ = [
    "DEFAULT_FOCAL",
    "DEFAULT_PIVOT",
    "DEFAULT_RADIUS",
    "camera_rays",
    "image_rays",
    "intrinsics_matrix",
    "look_at",
    "mean_label",
    "orbit_label",
    "pack_label",
    "project",
    "unpack_label",
    "window_label",
    "yaw_pitch",
]

DEFAULT_FOCAL = 4.2647
DEFAULT_RADIUS = 2.7
DEFAULT_PIVOT = (0.0, 0.0, 0.2)


def pack_label(
    cam2world: Float[Tensor, "*batch 4 4"], intrinsics: Float[Tensor, "*batch 3 3"]
) -> Float[Tensor, "*batch 25"]:
    """Join a pose and normalised intrinsics to EG3D's 25-number label."""
    return torch.cat([cam2world.flatten(-2), intrinsics.flatten(-2)], dim=-1)


def unpack_label(
    label: Float[Tensor, "*batch 25"],
) -> tuple[Float[Tensor, "*batch 4 4"], Float[Tensor, "*batch 3 3"]]:
    """Split a label into its pose and its normalised intrinsics."""
    pose, intrinsics = label.split([16, 9], dim=-1)
    return pose.unflatten(-1, (4, 4)), intrinsics.unflatten(-1, (3, 3))


def intrinsics_matrix(focal: float) -> Float[Tensor, "3 3"]:
    """Return normalised intrinsics with the principal point in the centre.

    Args:
        focal: focal length divided by the image width; must be positive.

    Raises:
        ValueError: if the focal length is not positive.
    """
    if focal <= 0:
        message = f"focal length {focal} is not usable: give a positive number"
        raise ValueError(message)
    return torch.tensor([[focal, 0.0, 0.5], [0.0, focal, 0.5], [0.0, 0.0, 1.0]])


def look_at(
    position: Float[Tensor, "*batch 3"], target: Float[Tensor, "*batch 3"]
) -> Float[Tensor, "*batch 4 4"]:
    """Return the pose of an upright camera at ``position`` that sees ``target``.

    World units. The view direction must not be vertical.
    """
    forward = torch.nn.functional.normalize(target - position, dim=-1)
    up = torch.zeros_like(forward)
    up[..., 1] = 1.0
    right = torch.nn.functional.normalize(torch.linalg.cross(forward, up), dim=-1)
    down = torch.linalg.cross(forward, right)
    pose = torch.zeros(*position.shape[:-1], 4, 4, dtype=position.dtype)
    pose = pose.to(position.device)
    pose[..., :3, :] = torch.stack([right, down, forward, position], dim=-1)
    pose[..., 3, 3] = 1.0
    return pose


def orbit_label(
    yaw: float,
    pitch: float,
    *,
    radius: float = DEFAULT_RADIUS,
    focal: float = DEFAULT_FOCAL,
    pivot: tuple[float, float, float] = DEFAULT_PIVOT,
) -> Float[Tensor, "25"]:
    """Return the label of a camera on a sphere about the origin, aimed at the pivot.

    Args:
        yaw: radians, positive toward the subject's left.
        pitch: radians, positive upward.
        radius: distance from the world origin in world units.
        focal: focal length divided by the image width.
        pivot: the point the camera looks at, in world units.
    """
    direction = (
        math.sin(yaw) * math.cos(pitch),
        math.sin(pitch),
        math.cos(yaw) * math.cos(pitch),
    )
    position = radius * torch.tensor(direction)
    return pack_label(look_at(position, torch.tensor(pivot)), intrinsics_matrix(focal))


def camera_rays(
    label: Float[Tensor, "batch 25"], size: int
) -> tuple[Float[Tensor, "batch rays 3"], Float[Tensor, "batch rays 3"]]:
    """Return origins and unit directions of all pixel rays, row by row.

    Args:
        label: EG3D labels.
        size: pixels per side; the image is square.
    """
    centres = (torch.arange(size, device=label.device) + 0.5) / size
    rows, columns = torch.meshgrid(centres, centres, indexing="ij")
    points = torch.stack([columns, rows], dim=-1).reshape(1, -1, 2).to(label.dtype)
    return image_rays(label, points.expand(label.shape[0], -1, -1))


def image_rays(
    label: Float[Tensor, "batch 25"], points: Float[Tensor, "batch rays 2"]
) -> tuple[Float[Tensor, "batch rays 3"], Float[Tensor, "batch rays 3"]]:
    """Return origins and unit directions of the rays through image points.

    Args:
        label: EG3D labels.
        points: (column, row) divided by the image size, 0 to 1.
    """
    pose, intrinsics = unpack_label(label)
    fx, skew, cx = (intrinsics[:, 0, i, None] for i in range(3))
    fy, cy = intrinsics[:, 1, 1, None], intrinsics[:, 1, 2, None]
    y = (points[..., 1] - cy) / fy
    x = (points[..., 0] - cx - skew * y) / fx
    camera = torch.stack([x, y, torch.ones_like(x)], dim=-1)
    world = camera @ pose[:, :3, :3].transpose(1, 2)
    directions = torch.nn.functional.normalize(world, dim=-1)
    return pose[:, None, :3, 3].expand_as(directions), directions


def project(
    points: Float[Tensor, "*batch n 3"], label: Float[Tensor, "*batch 25"]
) -> tuple[Float[Tensor, "*batch n 2"], Float[Tensor, "*batch n"]]:
    """Project world points into the image.

    Returns:
        Image points (column, row) divided by the image size, and the distance along
        the ray in world units (negative behind the camera).
    """
    pose, intrinsics = unpack_label(label)
    offset = points - pose[..., None, :3, 3]
    camera = offset @ pose[..., :3, :3]
    image = camera @ intrinsics.transpose(-1, -2)
    distance = offset.norm(dim=-1) * camera[..., 2].sign()
    return image[..., :2] / image[..., 2:], distance


def yaw_pitch(
    label: Float[Tensor, "*batch 25"],
) -> tuple[Float[Tensor, "*batch"], Float[Tensor, "*batch"]]:
    """Return the direction from which a camera looks, in radians.

    The angles are those of the reversed view direction, so an off-centre crop does
    not change them.
    """
    pose, _ = unpack_label(label)
    backward = -pose[..., :3, 2]
    yaw = torch.atan2(backward[..., 0], backward[..., 2])
    return yaw, torch.asin(backward[..., 1].clamp(-1.0, 1.0))


def window_label(
    label: Float[Tensor, "*batch 25"],
    corner: Float[Tensor, "*batch 2"],
    side: float,
) -> Float[Tensor, "*batch 25"]:
    """Return the camera that sees a square window of the image and nothing else.

    Args:
        label: the camera of the whole image.
        corner: left and upper bound of the window, over the image's size.
        side: side of the window, over the image's size.
    """
    pose, intrinsics = unpack_label(label)
    window = intrinsics.clone()
    window[..., :2, :] /= side
    window[..., :2, 2] -= corner / side
    return pack_label(pose, window)


def mean_label(cameras: Float[Tensor, "frames 25"]) -> Float[Tensor, "25"]:
    """Return the mean of cameras, its rotation made orthogonal again."""
    pose, intrinsics = unpack_label(cameras.mean(0))
    left, _, right = torch.linalg.svd(pose[:3, :3])
    pose = pose.clone()
    pose[:3, :3] = left @ right
    return pack_label(pose, intrinsics)
