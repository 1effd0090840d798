"""What preprocessing learns from: the training part alone."""

from importlib import resources
from pathlib import Path

import numpy as np
import pytest
from tests.drawn import write_ball_subject

from talk3d.dataset import Subject
from talk3d.face_models import model_files
from talk3d.preprocess import run
from talk3d.preprocess.intake import check_folder
from talk3d.preprocess.matte import PlateMaker
from talk3d.preprocess.run import PreprocessConfig, preprocess


def test_the_plate_shows_the_training_part_alone(tmp_path, monkeypatch):
    try:
        model_files(offline=True)
    except FileNotFoundError as error:
        pytest.skip(str(error))
    offered: list[int] = []

    class Watched(PlateMaker):
        def add(self, index: int, picture: np.ndarray, matte: np.ndarray) -> None:
            offered.append(index)
            super().add(index, picture, matte)

    monkeypatch.setattr(run, "PlateMaker", Watched)
    video = Path(str(resources.files("talk3d") / "data" / "speaker.mp4"))
    preprocess(video, tmp_path / "s", PreprocessConfig(size=64, end=1.2, offline=True))
    assert offered == list(Subject.open(tmp_path / "s").train)


def test_nothing_of_others_is_written_over(tmp_path):
    out = tmp_path / "mine"
    check_folder(out, "a", begun="landmarks.npz")
    out.mkdir()
    (out / "notes.txt").touch()
    check_folder(out, "a", begun="landmarks.npz")
    (out / "audio.wav").touch()
    with pytest.raises(ValueError, match=r"holds audio\.wav, which would be written"):
        check_folder(out, "a", begun="landmarks.npz")
    (out / "landmarks.npz").touch()
    check_folder(out, "a", begun="landmarks.npz")


def test_a_subject_is_not_written_over_by_another_video(tmp_path):
    subject = write_ball_subject(tmp_path / "s", frames=3)
    same = subject.info["source"]["sha256"]
    check_folder(subject.path, same, begun="landmarks.npz")
    with pytest.raises(ValueError, match="is the subject of another video"):
        check_folder(subject.path, "another", begun="landmarks.npz")
