"""Interrupted or killed, the same command goes on and ends with the same subject."""

import os
import signal
import subprocess
import sys
from importlib import resources
from pathlib import Path

import numpy as np
import pytest

from talk3d.dataset import Subject
from talk3d.face_models import model_files
from talk3d.preprocess import run
from talk3d.preprocess.run import PreprocessConfig, preprocess

CONFIG = PreprocessConfig(size=64, end=1.2, offline=True)


@pytest.fixture(scope="module")
def video() -> Path:
    try:
        model_files(offline=True)
    except FileNotFoundError as error:
        pytest.skip(str(error))
    return Path(str(resources.files("talk3d") / "data" / "speaker.mp4"))


@pytest.fixture(scope="module")
def whole(video, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("whole") / "subject"
    preprocess(video, out, CONFIG)
    return out


def same(one: Path, other: Path) -> None:
    first, second = Subject.open(one), Subject.open(other)
    assert first.info == second.info
    for name, values in first.arrays.items():
        np.testing.assert_array_equal(values, second.arrays[name], err_msg=name)
    last = first.frames - 1
    np.testing.assert_array_equal(first.matte(last), second.matte(last))


def test_after_an_interruption_the_landmarks_are_kept(
    video, whole, tmp_path, monkeypatch
):
    out = tmp_path / "subject"

    def interrupt(stage: str, fraction: float) -> None:
        if stage == "pictures" and fraction > 0.5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        preprocess(video, out, CONFIG, interrupt)
    assert not (out / "subject.json").exists()

    def again(*_):
        raise AssertionError("the landmarks were looked for again")

    monkeypatch.setattr(run, "record", again)
    preprocess(video, out, CONFIG)
    same(whole, out)


KILLED = """
import os, signal, sys
from pathlib import Path
from talk3d.preprocess.run import PreprocessConfig, preprocess

def kill(stage, fraction):
    if stage == "poses" and fraction > 0.5:
        os.kill(os.getpid(), signal.SIGKILL)

config = PreprocessConfig(size=64, end=1.2, offline=True)
preprocess(Path(sys.argv[1]), Path(sys.argv[2]), config, kill)
"""


def test_after_a_kill_the_same_command_goes_on(video, whole, tmp_path):
    out = tmp_path / "subject"
    words = [sys.executable, "-c", KILLED, str(video), str(out)]
    done = subprocess.run(words, check=False, env=dict(os.environ))
    assert done.returncode == -signal.SIGKILL
    assert not (out / "subject.json").exists()
    preprocess(video, out, CONFIG)
    same(whole, out)
