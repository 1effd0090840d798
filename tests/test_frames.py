"""Training frames and driving signals of a subject."""

import numpy as np
import torch
from tests.drawn import write_ball_subject

from talk3d.frames import FrameStore, driving_signals


def test_frames_are_those_of_the_subject(tmp_path):
    subject = write_ball_subject(tmp_path / "ball")
    store = FrameStore(subject, range(10, 20))
    batch = store.batch([0, 3])
    assert batch.frame.tolist() == [10, 13]
    expected = torch.from_numpy(subject.frame(13).copy()).permute(2, 0, 1)
    torch.testing.assert_close((batch.picture[1] + 1) * 127.5, expected.float())
    assert batch.matte.min() == 0
    assert batch.matte.max() == 1


def test_frames_without_a_face_are_left_out(tmp_path):
    subject = write_ball_subject(tmp_path / "ball")
    subject.arrays["valid"][12] = 0
    assert 12 not in FrameStore(subject, range(10, 20)).frames


def test_the_mouth_box_holds_the_lips(tmp_path):
    subject = write_ball_subject(tmp_path / "ball")
    batch = FrameStore(subject, range(1)).batch([0])
    for point in (61, 291, 0, 17):
        column, row = (subject.arrays["landmarks"][0, point] * 32).astype(int)
        assert batch.mouth[0, 0, row, column] == 1


def test_signals_are_centred(tmp_path):
    subject = write_ball_subject(tmp_path / "ball")
    eye, rotation, landmark = driving_signals(subject.arrays)
    assert eye.shape == (60, 9)
    np.testing.assert_allclose(rotation.numpy(), subject.arrays["rotation"])
    torch.testing.assert_close(landmark.mean(0), torch.zeros(6), atol=1e-5, rtol=0)


def test_the_same_chance_draws_the_same_frames(tmp_path):
    store = FrameStore(write_ball_subject(tmp_path / "ball"), range(40))
    first, second = (
        store.draw(4, generator=torch.Generator().manual_seed(3)).frame
        for _ in range(2)
    )
    assert first.tolist() == second.tolist()


def test_shut_eyes_are_drawn_more_often(tmp_path):
    subject = write_ball_subject(tmp_path / "ball")
    subject.arrays["blink"][:] = 0.1
    subject.arrays["blink"][7] = 1.0
    store = FrameStore(subject, range(40))
    chance = torch.Generator().manual_seed(0)
    drawn = torch.cat([store.draw(2, generator=chance).frame for _ in range(300)])
    assert (drawn == 7).float().mean() > 2 / 40
    assert len(drawn.unique()) == 40


def test_of_many_frames_as_many_are_taken_as_may_be(tmp_path, monkeypatch):
    monkeypatch.setattr("talk3d.frames.LIMIT", 6)
    subject = write_ball_subject(tmp_path / "ball")
    assert FrameStore(subject, range(7)).frames == [0, 1, 2, 4, 5, 6]
    assert FrameStore(subject, range(6)).frames == list(range(6))


def test_views_span_how_the_head_turns(tmp_path):
    subject = write_ball_subject(tmp_path / "ball")
    store = FrameStore(subject, range(60))
    camera, neck = store.views()
    assert neck.shape == (len(camera), 4, 4)
    # The camera goes around the head by 0.2 to each side.
    yaw = torch.atan2(camera[:, 3], camera[:, 11])
    assert yaw.min() < -0.18
    assert yaw.max() > 0.18
    assert yaw.abs().min() < 0.1


def test_rows_are_spread_over_time(tmp_path):
    store = FrameStore(write_ball_subject(tmp_path / "ball"), range(10, 31))
    assert store.spread(3) == [0, 10, 20]
    assert store.spread(99) == list(range(21))
