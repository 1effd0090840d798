"""Poses refined by pictures of a textured head whose poses are known."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from talk3d.face import FaceShape, load_face_shape
from talk3d.preprocess.crop import Crop, to_crop
from talk3d.preprocess.pose import HeadTrack, project_points
from talk3d.preprocess.refine import key_frames, refine_track

SIZE, FRAMES = 160, 24
CENTRE, AXES = np.array([0.0, 0.03, -0.06]), np.array([0.21, 0.30, 0.29])


def paint(points: np.ndarray) -> np.ndarray:
    """Return the grey value of points of the head: a sum of waves."""
    rng = np.random.default_rng(0)
    waves = rng.normal(0, 45, (3, 24))
    phases = rng.uniform(0, 2 * np.pi, 24)
    return 128 + 22 * np.sin(points @ waves + phases).sum(-1) / np.sqrt(6)


def draw(track: HeadTrack, frame: int) -> tuple[np.ndarray, np.ndarray]:
    """Render the ellipsoid of a frame: picture and matte."""
    turn, shift = track.rotation[frame], track.translation[frame]
    x, y = np.meshgrid(np.arange(SIZE) + 0.5, np.arange(SIZE) + 0.5)
    flat = np.stack([x, y], -1) - np.array(track.centre)
    ray = np.concatenate([flat / track.focal, np.ones((SIZE, SIZE, 1))], -1) @ turn
    start, way = (-shift @ turn - CENTRE) / AXES, ray / AXES
    square, half = (way**2).sum(-1), way @ start
    inside = half**2 - square * (start @ start - 1)
    along = (-half - np.sqrt(np.maximum(inside, 0))) / square
    value = paint(-shift @ turn + along[..., None] * ray)
    matte = np.where(inside > 0, 255, 0).astype(np.uint8)
    grey = np.clip(np.where(inside > 0, value, 90), 0, 255).astype(np.uint8)
    return np.repeat(grey[..., None], 3, -1), matte


def round_face() -> FaceShape:
    """Return the face shape laid onto the ellipsoid, without modes."""
    shape = load_face_shape()
    way = (shape.mean - CENTRE) / AXES
    mean = CENTRE + AXES * way / np.linalg.norm(way, axis=-1, keepdims=True)
    return replace(
        shape,
        mean=mean.astype(np.float32),
        identity=np.zeros_like(shape.identity),
        expression=np.zeros_like(shape.expression),
    )


def true_track() -> HeadTrack:
    time = np.arange(FRAMES) / FRAMES * 2 * np.pi
    turns = np.stack([0.06 * np.sin(2 * time), 0.15 * np.sin(time), 0 * time], -1)
    rotation = Rotation.from_rotvec(turns) * Rotation.from_euler("x", np.pi)
    shift = np.stack([0.02 * np.cos(time), 0 * time, 2.7 + 0 * time], -1)
    return HeadTrack(
        4.2647 * SIZE,
        (SIZE / 2, SIZE / 2),
        np.zeros(20),
        rotation.as_matrix(),
        shift,
        np.zeros((FRAMES, 53)),
    )


def seen_error(track: HeadTrack, truth: HeadTrack, shape: FaceShape) -> float:
    """Return by how many pixels the face trembles against the truth."""
    points = np.tile(shape.mean, (FRAMES, 1, 1))
    gap = project_points(points, track) - project_points(points, truth)
    return float(np.sqrt(((gap - gap.mean(0)) ** 2).sum(-1).mean()))


@pytest.fixture(scope="module")
def pictures() -> list[tuple[np.ndarray, np.ndarray]]:
    return [draw(true_track(), frame) for frame in range(FRAMES)]


def test_trembling_poses_become_steady(pictures):
    truth, shape = true_track(), round_face()
    rng = np.random.default_rng(1)
    turn = Rotation.from_rotvec(rng.normal(0, 0.015, (FRAMES, 3))).as_matrix()
    start = replace(
        truth,
        rotation=turn @ truth.rotation,
        translation=truth.translation + rng.normal(0, 0.003, (FRAMES, 3)),
    )
    crop = Crop(0.0, 0.0, float(SIZE), SIZE)
    points = to_crop(project_points(np.tile(shape.mean, (FRAMES, 1, 1)), truth), crop)
    refined = refine_track(start, crop, points, shape, lambda k: pictures[k])
    before, after = (seen_error(t, truth, shape) for t in (start, refined))
    assert before > 0.6
    # Optical flow finds these waves to about a twentieth of a pixel.
    assert after < 0.15


def test_without_detail_the_poses_stay(pictures):
    truth, shape = true_track(), round_face()
    plain = [(np.full_like(image, 128), matte) for image, matte in pictures]
    crop = Crop(0.0, 0.0, float(SIZE), SIZE)
    points = to_crop(project_points(np.tile(shape.mean, (FRAMES, 1, 1)), truth), crop)
    refined = refine_track(truth, crop, points, shape, lambda k: plain[k])
    assert refined.rotation == pytest.approx(truth.rotation)
    assert refined.translation == pytest.approx(truth.translation)


def test_key_frames_cover_the_turns():
    track = true_track()
    keys = key_frames(track)
    turns = Rotation.from_matrix(track.rotation)
    near = np.stack([(turns * turns[int(k)].inv()).magnitude() for k in keys])
    assert near.min(0).max() < np.radians(7.0)
    assert len(set(keys.tolist())) == len(keys)


def test_the_picture_is_a_head():
    """The drawing itself: mean landmarks fall on the ellipsoid."""
    image, matte = draw(true_track(), 0)
    places = project_points(round_face().mean[None], true_track_first())[0]
    column, row = places.astype(int).T
    assert (matte[row, column] > 0).mean() > 0.95
    assert cv2.Laplacian(image[..., 0], cv2.CV_64F)[40:120, 40:120].std() > 5


def true_track_first() -> HeadTrack:
    track = true_track()
    return replace(
        track,
        rotation=track.rotation[:1],
        translation=track.translation[:1],
        expression=track.expression[:1],
    )
