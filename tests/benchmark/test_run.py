"""What cannot be measured is refused before anything is rendered."""

from dataclasses import replace

import pytest

from talk3d.benchmark import run
from talk3d.benchmark.run import SUITES, extreme_pose
from talk3d.cli.main import main


@pytest.mark.parametrize("people", [0, -3])
def test_nobody_is_not_measured(capsys, tmp_path, people):
    out = tmp_path / "out"
    words = ["benchmark", "extreme-pose", "-o", str(out), f"--people={people}"]
    assert main(words) == 2
    assert f"people is {people}: give at least 1" in capsys.readouterr().err
    assert not out.exists()
    with pytest.raises(ValueError, match="give at least 1"):
        replace(SUITES["quick"], people=people)


@pytest.mark.parametrize("missing", ["prior", "recording"])
def test_what_is_missing_is_told_before_rendering(tmp_path, monkeypatch, missing):
    monkeypatch.setattr(run, "synthetic_task", lambda *_: pytest.fail("rendered"))
    given = {"prior": tmp_path / "a", "recording": tmp_path / "b"}
    given[{"prior": "recording", "recording": "prior"}[missing]].touch()
    out = tmp_path / "out"
    with pytest.raises(FileNotFoundError, match=f"no {missing} at"):
        extreme_pose(out, SUITES["quick"], report=lambda *_: None, **given)
    assert not out.exists()
