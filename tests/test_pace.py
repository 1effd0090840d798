"""Paces: by steps exactly, and never beyond the clock."""

import time

import pytest

from talk3d.pace import Pace, paces


@pytest.fixture
def now(monkeypatch):
    """The clock's seconds, in a list of one."""
    seconds = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: seconds[0])
    return seconds


def test_without_a_limit_only_steps_count():
    pace = Pace(4)
    assert [pace.part(k) for k in range(6)] == [0, 0.25, 0.5, 0.75, 1, 1]


def test_a_stage_without_steps_is_done():
    assert Pace(0).part(0) == 1


def test_time_ends_a_stage_early(now):
    pace = Pace(1000, seconds=60.0)
    assert pace.part(0) == 0
    now[0] += 30
    assert pace.part(5) == 0.5
    assert pace.part(900) == 0.9
    now[0] += 40
    assert pace.part(901) == 1


def test_the_length_is_what_the_clock_lets_it_be(now):
    pace = Pace(1000, seconds=60.0)
    assert pace.length(0) == 1000
    now[0] += 30
    assert pace.length(5) == 10
    assert pace.length(800) == 1000
    now[0] += 40
    assert pace.length(11) == 11
    assert [Pace(7).length(k) for k in range(9)] == [7] * 8 + [8]


def test_time_before_an_interruption_counts(now):
    first = Pace(1000, seconds=60.0)
    first.part(0)
    now[0] += 45
    resumed = Pace(1000, seconds=60.0, before=first.spent())
    assert resumed.part(5) == 0.75
    now[0] += 15
    assert resumed.part(6) == 1


def test_stages_share_the_time_by_their_lengths():
    short, long = paces((10, 30), 2.0)
    assert (short.seconds, long.seconds) == (30, 90)
    assert paces((10, 30), None)[1].seconds is None
