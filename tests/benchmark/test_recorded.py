"""The real-pose task: who trains, who is wanted, and nothing of one in the other."""

import json
from dataclasses import replace

import numpy as np
import pytest
from tests.benchmark.turning import turning_subject, turning_task

from talk3d.benchmark.recorded import RecordedConfig, recorded_task, spread_over
from talk3d.benchmark.task import Task


def test_training_and_wanted_frames_are_apart(tmp_path):
    task = turning_task(tmp_path)
    yaw = np.linspace(0, 40, 24)
    assert all(yaw[frame] <= 12 for frame in task.train)
    assert all(yaw[shot.frame] > 25 for shot in task.shots)
    assert {shot.group for shot in task.shots} == {"yaw+25", "yaw+30", "yaw+35"}


def test_a_wanted_frame_cannot_be_read_from_what_trains(tmp_path):
    task = turning_task(tmp_path)
    subject = task.subject()
    wanted = [shot.frame for shot in task.shots]
    assert subject.arrays["valid"][wanted].sum() == 0
    for frame in wanted:
        assert not (subject.path / "frames" / f"{frame:05d}.jpg").exists()


def test_cameras_are_those_of_the_recording(tmp_path):
    task = turning_task(tmp_path)
    listed = json.loads((task.given / "cameras.json").read_text())
    assert len(listed["train"]) == len(task.train)
    known = task.subject().arrays["camera"]
    for shot, camera in zip(task.shots, task.cameras(), strict=True):
        np.testing.assert_allclose(camera, known[shot.frame], atol=1e-6)
    assert not (task.given / "audio.wav").exists()
    assert (task.given / "video.mp4").stat().st_size > 0


def test_a_written_task_is_opened_not_made_again(tmp_path):
    task = turning_task(tmp_path)
    recording, config = tmp_path / "turner_1", RecordedConfig(most=3)
    again = recorded_task(tmp_path / "task", recording, config)
    assert again.shots == task.shots
    with pytest.raises(ValueError, match="begun with another most"):
        recorded_task(tmp_path / "task", recording, replace(config, most=4))
    with pytest.raises(FileNotFoundError, match="no recording at"):
        recorded_task(tmp_path / "task", tmp_path / "absent", config)
    with pytest.raises(FileNotFoundError, match="no benchmark task"):
        Task.open(tmp_path)


def test_a_head_that_does_not_turn_is_refused(tmp_path):
    subject = turning_subject(tmp_path / "still", frames=24)
    with pytest.raises(ValueError, match="beyond 60"):
        recorded_task(tmp_path / "task", subject, RecordedConfig(score=60.0))
    other = turning_subject(tmp_path / "turner_1", frames=30)
    with pytest.raises(ValueError, match="begun with another recording, score"):
        recorded_task(tmp_path / "task", other, RecordedConfig())
    with pytest.raises(ValueError, match="0 < fit < score"):
        RecordedConfig(fit=30.0, score=25.0)


def test_spread_keeps_the_ends():
    assert spread_over(np.arange(10, 20), 3).tolist() == [10, 14, 19]
    assert spread_over(np.arange(2), 3).tolist() == [0, 1]
