"""The neck: the head is rigid, the torso stays, and the inverse undoes the motion."""

import math

import numpy as np
import torch

from talk3d.neck import head_share, posed_points, rest_points
from talk3d.synthetic.head import rotation
from talk3d.synthetic.view import head_motion


def test_the_inverse_finds_every_point_of_a_turned_body() -> None:
    chance = torch.Generator().manual_seed(0)
    around = torch.tensor([0.4, 0.8, 0.5])  # neck, head and shoulders, not the air
    rest = (torch.rand(500, 3, generator=chance) - 0.5) * around
    neck = torch.tensor(head_motion(rotation(0.12, -0.08, 0.06))).float()
    found = rest_points(posed_points(rest[None], neck[None]), neck[None])[0]
    assert (found - rest).norm(dim=-1).max() < 2.5e-3


def test_chin_is_head_and_collar_is_torso() -> None:
    share = head_share(torch.tensor([[0.0, -0.216, 0.257], [0.0, -0.4, 0.09]]))
    np.testing.assert_allclose(share, [1.0, 0.0])


def test_a_torso_point_follows_the_whole_motion() -> None:
    neck = torch.eye(4)
    neck[:3, 3] = torch.tensor([0.01, 0.02, 0.0])
    angle = math.radians(5)
    neck[0, 0] = neck[2, 2] = math.cos(angle)
    neck[0, 2], neck[2, 0] = math.sin(angle), -math.sin(angle)
    point = torch.tensor([[[0.1, -0.45, -0.1]]])
    expected = point @ neck[:3, :3].T + neck[:3, 3]
    torch.testing.assert_close(rest_points(point, neck[None]), expected)
