"""The pace of a stage: how much of it is done, by steps and, where asked, by the clock.

With steps alone the pace is exact and the same on every machine. With a time limit a
slow machine does fewer steps, and the learning rates, which follow the pace, still
come to rest.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

__all__ = ["Pace", "paces"]


@dataclass
class Pace:
    """How far a stage is."""

    steps: int
    """Its length."""
    seconds: float | None = None
    """Its time limit, from the first question on."""
    before: float = 0.0
    """Seconds that were spent on it before an interruption."""
    _started: float | None = field(default=None, init=False)

    def part(self, step: int) -> float:
        """Return the finished part when ``step`` steps are done, 0 to 1."""
        done = step / self.steps if self.steps else 1.0
        if self.seconds is not None:
            done = max(done, self.spent() / max(self.seconds, 1e-9))
        return min(1.0, done)

    def length(self, step: int) -> int:
        """Return the steps that the stage will have, as it looks after ``step``."""
        part = self.part(step)
        return max(step, round(step / part)) if part else self.steps

    def spent(self) -> float:
        """Return the seconds since the first question, and those before."""
        now = time.monotonic()
        if self._started is None:
            self._started = now
        return self.before + now - self._started


def paces(lengths: Sequence[int], minutes: float | None) -> list[Pace]:
    """Return the paces of stages that share a time limit by their lengths."""
    if minutes is None:
        return [Pace(length) for length in lengths]
    total = max(1, sum(lengths))
    return [Pace(length, 60 * minutes * length / total) for length in lengths]
