"""Commands that hold systems against truth.

Nothing heavy is imported before a command runs, so help answers at once.
"""

from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import arg

from talk3d.cli.progress import Progress

__all__ = ["BENCHMARKS"]

Out = Annotated[Path, arg(aliases=["-o"])]


def extreme_pose(
    out: Out,
    suite: Literal["quick", "full", "people"] = "quick",
    adapter: tuple[str, ...] = (),
    recording: Path | None = None,
    people: int | None = None,
    seed: int = 0,
    prior: Path | None = None,
) -> None:
    """Fit to frontal video, judge from the side.

    Args:
        out: folder of the report; the same command goes on where it stopped.
        suite: quick (one person, a third of the steps), full (five people), or people
            (the prior's test: twenty people, eight frames of each).
        adapter: outside systems: TOML files or names in benchmarks/adapters.
        recording: video or subject folder of a person who turns the head, fitted
            within 12 degrees of yaw and judged beyond 25; left out if not given.
        people: number of people; the suite's if not given.
        seed: other people, other fits.
        prior: the 3D prior of our row; the shipped one if not given.
    """
    from dataclasses import replace

    from talk3d.benchmark.adapters import load_adapter
    from talk3d.benchmark.run import SUITES
    from talk3d.benchmark.run import extreme_pose as run
    from talk3d.demo import shipped

    chosen = SUITES[suite]
    with Progress("interrupted; the same command goes on") as progress:
        run(
            out,
            chosen if people is None else replace(chosen, people=people),
            prior=prior or shipped("prior-small.safetensors"),
            report=progress.report,
            seed=seed,
            recording=recording,
            adapters=[load_adapter(name) for name in adapter],
        )
    print(f"wrote {out / 'report.html'}")


BENCHMARKS = {"extreme-pose": extreme_pose}
"""By name."""
