"""Outside systems: the example runs, and what fails says so."""

import json
from pathlib import Path

import pytest
from tests.benchmark.turning import SIZE, turning_task

from talk3d.benchmark.adapters import Adapter, load_adapter, run_adapter
from talk3d.benchmark.score import folder_row

EXAMPLE = Path(__file__).parents[2] / "benchmarks/adapters"


def _adapter(folder: Path, script: str) -> Adapter:
    (folder / "run.py").write_text(script)
    words = ["{python}", "run.py", "{given}", "{out}"]
    (folder / "mine.toml").write_text(f'name = "mine"\ncommand = {json.dumps(words)}')
    return load_adapter(str(folder / "mine.toml"))


def test_the_example_fills_every_shot(tmp_path):
    task = turning_task(tmp_path)
    adapter = load_adapter(str(EXAMPLE / "still.toml"))
    run_adapter(adapter, task.given, task.row(adapter.name))
    picture = folder_row(task.row("still"), task)(0)
    assert picture.shape == (SIZE, SIZE, 4)


def test_a_failure_ends_with_what_was_said(tmp_path):
    adapter = _adapter(tmp_path, "import sys; sys.exit('no GPU')")
    with pytest.raises(OSError, match="status 1: no GPU"):
        run_adapter(adapter, tmp_path, tmp_path / "out")


def test_time_has_a_limit(tmp_path):
    adapter = _adapter(tmp_path, "import time; time.sleep(60)")
    hasty = Adapter(adapter.name, adapter.command, adapter.folder, minutes=0.005)
    with pytest.raises(OSError, match="longer than"):
        run_adapter(hasty, tmp_path, tmp_path / "out")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("name = 'a'", "give name and command"),
        ("name = 'a'\ncommand = ['x']", "must hold"),
        ("name = 'ours'\ncommand = ['{given}{out}']", "another name"),
        ("name = 'nearest frame'\ncommand = ['{given}{out}']", "another name"),
        ("name = 'mean frame'\ncommand = ['{given}{out}']", "another name"),
        ("name = 'truth at 64 px'\ncommand = ['{given}{out}']", "another name"),
        ("name = '..'\ncommand = ['{given}{out}']", "not dots alone"),
        ("name = '.'\ncommand = ['{given}{out}']", "not dots alone"),
        ("name = 7\ncommand = ['{given}{out}']", "the name 7"),
        ("name = 'a'\ncommand = 7", "the command 7"),
        ("name = 'a'\ncommand = '{given} {out}'", "a list of texts"),
        ("name = 'a'\ncommand = ['{given}{out}', 7]", "a list of texts"),
        ("name = 'a'\ncommand = ['{given}{out}']\nminutes = 'x'", "and a number"),
        ("name = ", "no TOML"),
    ],
)
def test_bad_adapters_are_refused(tmp_path, text, said):
    file = tmp_path / "bad.toml"
    file.write_text(text)
    with pytest.raises(ValueError, match=said):
        load_adapter(str(file))


def test_an_unknown_adapter_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FileNotFoundError, match="no adapter who"):
        load_adapter("who")
