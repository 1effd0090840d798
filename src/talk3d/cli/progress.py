"""Progress on the terminal: one line per stage, with the remaining time."""

import sys
import time

__all__ = ["Progress"]

_BAR = 30


class Progress:
    """A line per stage with the remaining time, rewritten on a terminal."""

    def __init__(self, on_interrupt: str) -> None:
        self._message = on_interrupt
        self._stage = ""
        self._started = self._shown = self._part = 0.0

    def __enter__(self) -> "Progress":
        """Return the progress display."""
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """End the line; say how to go on after an interruption."""
        if self._stage:
            print(file=sys.stderr)
        if kind is not None and issubclass(kind, KeyboardInterrupt):
            print(self._message, file=sys.stderr)

    def report(self, stage: str, part: float) -> None:
        """Show that a part (0 to 1) of a stage is done."""
        now = time.monotonic()
        if stage != self._stage or part < self._part:
            if self._stage:
                print(file=sys.stderr)
            self._stage, self._started, self._shown = stage, now, 0.0
        self._part = part
        if part < 1 and now - self._shown < (0.5 if sys.stderr.isatty() else 30.0):
            return
        self._shown = now
        spent = now - self._started
        left = f"{_clock(spent / part - spent):>7} left" if part > 0 else " " * 12
        bar = "#" * round(_BAR * part)
        line = f"{stage:>10} [{bar:<{_BAR}}] {part:4.0%} {left}"
        ending = "" if sys.stderr.isatty() else "\n"
        print(f"\r{line}", end=ending, file=sys.stderr, flush=True)


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02d}"
