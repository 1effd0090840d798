"""Progress: the remaining time is that of the stage at hand."""

import sys
import time

from talk3d.cli.progress import Progress


def test_a_stage_that_begins_again_has_its_own_time(monkeypatch, capsys):
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    with Progress("") as progress:
        for seconds, part in ((0, 0.0), (600, 1.0), (1, 0.0), (50, 0.5)):
            now[0] += seconds
            progress.report("speak", part)
    lines = capsys.readouterr().err.split("\n")
    assert "0:50 left" in next(line for line in lines if " 50%" in line)


def test_a_line_covers_the_one_before(monkeypatch, capsys):
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    with Progress("") as progress:
        for seconds, part in ((0, 0.0), (99, 0.001), (10_000, 0.99), (110, 1.0)):
            now[0] += seconds
            progress.report("speak", part)
    lines = capsys.readouterr().err.strip("\n").split("\r")[1:]
    assert "1648:21 left" in lines[1]
    assert {len(line) for line in lines} == {len(lines[0])}
