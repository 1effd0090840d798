"""Laws of the camera conventions."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from talk3d import camera

angles = st.floats(-1.2, 1.2)


@given(yaw=angles, pitch=st.floats(-0.9, 0.9), focal=st.floats(2.5, 6.0))
def test_points_on_rays_project_to_their_pixel_centres(yaw, pitch, focal):
    label = camera.orbit_label(yaw, pitch, focal=focal)[None]
    origins, directions = camera.camera_rays(label, 4)
    uv, depth = camera.project(origins + 2.5 * directions, label)
    centres = (torch.arange(4) + 0.5) / 4
    expected = torch.cartesian_prod(centres, centres).flip(-1)
    # float32 on numbers of order one, divided by a focal length of at least 2.5
    torch.testing.assert_close(uv[0], expected, atol=2e-5, rtol=0)
    torch.testing.assert_close(depth, torch.full((1, 16), 2.5), atol=1e-5, rtol=0)


@given(yaw=angles, pitch=st.floats(-0.9, 0.9))
def test_yaw_and_pitch_are_those_of_the_orbit(yaw, pitch):
    label = camera.orbit_label(yaw, pitch, pivot=(0.0, 0.0, 0.0))
    found = torch.stack(camera.yaw_pitch(label))
    torch.testing.assert_close(found, torch.tensor([yaw, pitch]), atol=2e-5, rtol=0)


def test_positive_yaw_moves_the_camera_to_the_subjects_left():
    pose, _ = camera.unpack_label(camera.orbit_label(math.radians(30), 0.0))
    assert pose[0, 3] > 1


def test_positive_pitch_moves_the_camera_up():
    pose, _ = camera.unpack_label(camera.orbit_label(0.0, math.radians(30)))
    assert pose[1, 3] > 1


def test_the_frontal_pose_is_eg3ds():
    pose, _ = camera.unpack_label(camera.orbit_label(0.0, 0.0))
    torch.testing.assert_close(pose[:3, :3], torch.diag(torch.tensor([1.0, -1, -1])))


def test_the_pose_is_a_rotation():
    pose, _ = camera.unpack_label(camera.orbit_label(0.4, -0.3))
    rotation = pose[:3, :3]
    torch.testing.assert_close(rotation @ rotation.T, torch.eye(3), atol=1e-6, rtol=0)
    assert torch.linalg.det(rotation) > 0


def test_labels_round_trip():
    label = camera.orbit_label(0.2, 0.1)
    torch.testing.assert_close(camera.pack_label(*camera.unpack_label(label)), label)


def test_the_subjects_left_is_on_the_right_of_a_frontal_picture():
    uv, _ = camera.project(
        torch.tensor([[0.1, 0.0, 0.2]]), camera.orbit_label(0.0, 0.0)
    )
    assert uv[0, 0] > 0.5


def test_points_behind_the_camera_have_negative_depth():
    _, depth = camera.project(
        torch.tensor([[0.0, 0.0, 5.0]]), camera.orbit_label(0.0, 0.0)
    )
    assert depth.item() < 0


def test_a_focal_length_must_be_positive():
    with pytest.raises(ValueError, match=r"focal length 0\.0"):
        camera.intrinsics_matrix(0.0)


def test_a_window_sees_what_the_image_shows_there():
    label = camera.orbit_label(0.4, -0.2)[None]
    whole = camera.camera_rays(label, 16)[1].unflatten(1, (16, 16))
    corner = torch.tensor([[0.25, 0.5]])
    seen = camera.window_label(label, corner, 0.5)
    part = camera.camera_rays(seen, 8)[1].unflatten(1, (8, 8))
    torch.testing.assert_close(part, whole[:, 8:16, 4:12])
