"""What preprocessing learns from: the training part alone."""

from importlib import resources
from pathlib import Path

import numpy as np
import pytest

from talk3d.dataset import Subject
from talk3d.face_models import model_files
from talk3d.preprocess import run
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
