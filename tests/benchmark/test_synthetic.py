"""A synthetic task shows what it was asked to show."""

import numpy as np
import pytest

from talk3d.benchmark.synthetic import SyntheticConfig, synthetic_task
from talk3d.synthetic.gl import open_context
from talk3d.synthetic.head import HEAD_VARIABLE


@pytest.fixture
def opengl():
    try:
        open_context().release()
    except OSError as error:
        pytest.skip(str(error))


@pytest.mark.usefixtures("opengl")
def test_a_few_training_frames_are_shown(tmp_path, monkeypatch):
    monkeypatch.delenv(HEAD_VARIABLE, raising=False)
    config = SyntheticConfig(
        seconds=3.0, size=32, oversample=1, yaws=(60.0,), pitches=(), moments=1, shown=3
    )
    task = synthetic_task(tmp_path / "task", config)
    assert task.train == (0, 29, 59)
    assert np.flatnonzero(task.subject().arrays["valid"]).tolist() == [0, 29, 59]
    assert len(task.shots) == 1
    assert task.shots[0].frame > 59


def test_showing_nothing_is_refused():
    with pytest.raises(ValueError, match="shown is 0"):
        SyntheticConfig(shown=0)
