"""Scores against closed forms, and controls that move onto the wanted view."""

import json
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from tests.benchmark.turning import SIZE, turning_task

from talk3d.benchmark.controls import CONTROLS, control_rows, similarity
from talk3d.benchmark.score import folder_row, measure, over_grey, read_depth


@pytest.fixture
def task(tmp_path):
    return turning_task(tmp_path)


def test_the_truth_is_equal_to_itself(task):
    scores = measure(task, control_rows(task), nets=None)
    truth = scores["truth"]
    assert (truth["matte/psnr"] == 100).all()
    assert (truth["cover/iou"] == 1).all()
    np.testing.assert_allclose(truth["matte/ssim"], 1.0, atol=1e-6)
    np.testing.assert_allclose(truth["matte/power"], truth["matte/power_truth"])
    assert set(scores) == set(CONTROLS)


def test_a_constant_error_gives_its_psnr(task):
    def brighter(shot):
        picture = task.truth(shot).copy()
        person = picture[..., 3] > 0
        off = np.where(picture[person][:, :3] < 128, 16, -16)
        picture[person, :3] = picture[person][:, :3] + off
        return picture

    scores = measure(task, {"brighter": brighter}, nets=None)["brighter"]
    wanted = -20 * np.log10(16 / 255)
    # The matte of the drawn ball is 0 or 255, so grey never mixes in.
    np.testing.assert_allclose(scores["matte/psnr"], wanted, atol=1e-6)
    np.testing.assert_allclose(scores["face/psnr"], wanted, atol=1e-6)


def test_a_system_that_shows_nothing_covers_nothing(task):
    empty = np.zeros((SIZE, SIZE, 4), np.uint8)
    scores = measure(task, {"empty": lambda _: empty}, nets=None)["empty"]
    assert (scores["cover/iou"] == 0).all()
    assert (scores["matte/psnr"] < 20).all()


def test_identity_is_the_cosine_of_the_embedder(task):
    def embedder(picture):
        return np.array([picture[..., 0].mean() - 140, 1.0], np.float32)

    rows = {"truth": task.truth, "empty": lambda _: np.zeros((SIZE, SIZE, 4), np.uint8)}
    scores = measure(task, rows, nets=None, embedder=embedder)
    np.testing.assert_allclose(scores["truth"]["identity/same"], 1.0, atol=1e-6)
    assert (scores["empty"]["identity/same"] < 1).all()


def test_identity_is_judged_near_the_front_and_of_people_cut_out(task):
    first, *others = task.shots
    task = replace(task, shots=(replace(first, yaw=-60.0), *others))
    turned = [True] + [False] * len(others)
    whole = np.full((SIZE, SIZE, 4), 255, np.uint8)
    rows = {"truth": task.truth, "whole": lambda _: whole}
    scores = measure(task, rows, nets=None, embedder=lambda p: p[0, 0] + 1.0)
    assert np.isnan(scores["truth"]["identity/same"]).tolist() == turned
    assert "identity/same" not in scores["whole"]


def test_pictures_of_another_size_are_scaled(task, tmp_path):
    folder = tmp_path / "row"
    folder.mkdir()
    for shot in task.shots:
        Image.new("RGB", (2 * SIZE, 2 * SIZE), (10, 20, 30)).save(
            folder / f"{shot.name}.png"
        )
    picture = folder_row(folder, task)(0)
    assert picture.shape == (SIZE, SIZE, 4)
    assert (picture == (10, 20, 30, 255)).all()
    (folder / f"{task.shots[1].name}.png").unlink()
    with pytest.raises(ValueError, match=f"first {task.shots[1].name}.png"):
        folder_row(folder, task)


def test_depth_is_read_where_it_is(task, tmp_path):
    assert read_depth(tmp_path, task, 0) is None
    np.save(tmp_path / f"{task.shots[0].name}.npy", np.full((4, 4), 2.5, np.float16))
    depth = read_depth(tmp_path, task, 0)
    assert depth is not None
    assert depth.shape == (SIZE, SIZE)
    assert (depth == 2.5).all()


def test_grey_fills_what_is_clear():
    clear = np.zeros((2, 2, 4), np.uint8)
    assert (over_grey(clear) == 128).all()


def test_a_similarity_is_found_back():
    points = np.random.default_rng(0).normal(size=(20, 2))
    angle, scale, shift = 0.3, 1.7, np.array([4.0, -2.0])
    cos, sin = scale * np.cos(angle), scale * np.sin(angle)
    matrix = np.array([[cos, -sin], [sin, cos]])
    found = similarity(points, points @ matrix.T + shift)
    np.testing.assert_allclose(found, np.c_[matrix, shift], atol=1e-12)


def test_a_training_camera_gets_its_own_frame(task):
    frame = task.train[3]
    subject = task.subject()
    listed = task.given / "cameras.json"
    content = json.loads(listed.read_text())
    content["shots"][0]["label"] = subject.arrays["camera"][frame].tolist()
    listed.write_text(json.dumps(content))
    yaw = float(np.linspace(0, 40, 24)[frame])
    shot = replace(task.shots[0], frame=frame, yaw=yaw)
    asked = replace(task, shots=(shot, *task.shots[1:]))
    nearest = control_rows(asked)["nearest frame"](0)
    own = np.dstack([subject.frame(frame), subject.matte(frame)])
    np.testing.assert_allclose(over_grey(nearest), over_grey(own), atol=1)
