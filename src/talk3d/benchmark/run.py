"""The extreme-pose benchmark: filmed from the front, judged from everywhere.

Comes in: a suite, a prior, adapters, and where wanted a recording of a person who
turns. Goes out, in a folder: ``synthetic-N/`` and the recording's task with every
row's pictures (``talk3d.benchmark.task``), ``extreme-pose.json``, ``tables.md``,
``yaw.svg``, sheets, and ``report.html``, which holds them. What is there is kept: the
same command goes on where it stopped.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path

from talk3d.benchmark import ours
from talk3d.benchmark.adapters import Adapter, run_adapter
from talk3d.benchmark.controls import CONTROLS, control_rows
from talk3d.benchmark.mesh import draw_mesh
from talk3d.benchmark.recorded import RecordedConfig, recorded_task
from talk3d.benchmark.report import write_report
from talk3d.benchmark.score import Embedder, Scores, folder_row, measure
from talk3d.benchmark.summary import Pool, pool
from talk3d.benchmark.synthetic import SyntheticConfig, synthetic_task
from talk3d.benchmark.task import Task
from talk3d.checkpoint import file_sha256, write_atomically
from talk3d.encoder.network import embed, load_encoder, shipped_encoder
from talk3d.face import FaceNets
from talk3d.face_models import model_files
from talk3d.personalize import PersonalizeConfig

__all__ = ["ROWS", "SUITES", "Judges", "Suite", "extreme_pose", "fill_task"]

ROWS = ("ours", "without prior", "mesh")
"""The rows that this package fills itself."""
Report = Callable[[str, float], None]


@dataclass(frozen=True)
class Suite:
    """How much is measured, and how long everybody may learn."""

    name: str
    """For the report."""
    people: int
    """Synthetic talkers."""
    effort: float
    """Share of the default steps of personalisation."""
    synthetic: SyntheticConfig = field(default_factory=SyntheticConfig)
    """Each talker; the seed is added to the benchmark's."""
    recorded: RecordedConfig = field(default_factory=RecordedConfig)
    """The recording."""
    personalize: PersonalizeConfig = field(default_factory=PersonalizeConfig)
    """Steps before ``effort``."""

    def __post_init__(self) -> None:
        """Refuse to measure nobody.

        Raises:
            ValueError: There are no people.
        """
        if self.people < 1:
            raise ValueError(f"people is {self.people}: give at least 1")


SUITES: Mapping[str, Suite] = {
    "quick": Suite(
        name="quick",
        people=1,
        effort=0.3,
        synthetic=SyntheticConfig(seed=9, seconds=6.0, moments=2),
        recorded=RecordedConfig(most=4),
    ),
    "full": Suite(
        name="full",
        people=5,
        effort=1.0,
        synthetic=SyntheticConfig(seed=9, seconds=20.0, moments=6),
    ),
    "people": Suite(
        name="people",
        people=20,
        effort=0.15,
        synthetic=SyntheticConfig(
            seed=100,
            seconds=5.0,
            yaws=(-75.0, -60.0, -30.0, 0.0, 30.0, 60.0, 75.0),
            pitches=(),
            moments=1,
            shown=8,
        ),
    ),
}
"""By name."""


@dataclass(frozen=True)
class Judges:
    """What scores the pictures."""

    nets: FaceNets | None
    """The face networks; None where they are absent."""
    embedder: Embedder | None = None
    """Tells people apart; None where none is installed."""

    @classmethod
    def open(cls, face_models: Path | None = None) -> Judges:
        """Open the face networks where they are; they are never fetched."""
        file = shipped_encoder()
        embedder = None if file is None else partial(embed, load_encoder(file))
        try:
            return cls(FaceNets(model_files(face_models, offline=True)), embedder)
        except FileNotFoundError:
            return cls(None, embedder)


def extreme_pose(
    out: Path,
    suite: Suite,
    *,
    prior: Path,
    report: Report,
    seed: int = 0,
    recording: Path | None = None,
    adapters: Sequence[Adapter] = (),
    judges: Judges | None = None,
) -> dict[str, Pool]:
    """Run the benchmark.

    Args:
        out: Folder to write to.
        suite: What to measure.
        prior: The 3D prior of our row.
        report: Receives progress.
        seed: Added to the people's and the fits' seeds.
        recording: A video or subject folder of a person who turns the head; None
            leaves the real-pose part out, and the report says so.
        adapters: Outside systems.
        judges: What scores; None opens what is there.

    Returns:
        The scores of the synthetic part and, if there is one, of the recorded one.

    Raises:
        FileNotFoundError: The recording or the prior is absent.
        OSError: An adapter failed, or there is no OpenGL.
    """
    for path, what in ((prior, "prior"), (recording, "recording")):
        if path is not None and not path.exists():
            raise FileNotFoundError(f"no {what} at {path}: check the name")
    out.mkdir(parents=True, exist_ok=True)
    judges = judges or Judges.open()
    groups: dict[str, list[Task]] = {"synthetic": [], "recorded": []}
    for person in range(suite.people):
        number = suite.synthetic.seed + seed + person
        config = replace(suite.synthetic, seed=number)
        report(f"person {number}", 0.0)
        groups["synthetic"].append(synthetic_task(out / f"synthetic-{number}", config))
    if recording is not None:
        task = recorded_task(out / "recorded", recording, suite.recorded)
        groups["recorded"].append(task)
    rows = [*ROWS, *(adapter.name for adapter in adapters)]
    pools, tasks = {}, {}
    for kind, members in groups.items():
        parts = []
        for task in members:
            fill_task(
                task, suite, prior=prior, seed=seed, adapters=adapters, report=report
            )
            parts.append((task.shots, _scored(task, rows, judges, report)))
        if parts:
            pools[kind], tasks[kind] = pool(parts), members
    about = {
        "suite": asdict(suite),
        "seed": seed,
        "prior": file_sha256(prior),
        "recording": None if recording is None else recording.name,
        "landmarks": judges.nets is not None,
        "identity": judges.embedder is not None,
    }
    write_report(out, pools, tasks, rows=[*CONTROLS, *rows], about=about)
    return pools


def fill_task(
    task: Task,
    suite: Suite,
    *,
    prior: Path,
    seed: int,
    adapters: Sequence[Adapter],
    report: Report,
) -> None:
    """Make the pictures of every row that is not there yet."""
    config = ours.shortened(suite.personalize, suite.effort, seed=seed)
    encoder = shipped_encoder(prior)
    made_of = asdict(config) | {
        "prior": file_sha256(prior),
        "encoder": None if encoder is None else file_sha256(encoder),
    }

    def fitted(row: str) -> None:
        fit = task.row(row) / "fit"
        if row == "ours":
            start, how = prior, config
        else:
            start = ours.unlearned(prior, fit / "unlearned.safetensors", seed=seed)
            how = replace(config, guard=0.0)
        person = fit / "person.safetensors"
        ours.fit_person(task, person, prior=start, config=how, report=report)
        ours.draw_person(task, person, task.row(row))

    for row in ROWS[:2]:
        _once(task, row, made_of, lambda row=row: fitted(row))
    _once(task, "mesh", {}, lambda: draw_mesh(task, task.row("mesh")))
    for adapter in adapters:
        _once(
            task,
            adapter.name,
            {"command": list(adapter.command)},
            lambda a=adapter: run_adapter(a, task.given, task.row(a.name)),
        )


def _once(
    task: Task, row: str, config: Mapping[str, object], make: Callable[[], None]
) -> None:
    """Make a row unless the same one is there; note how long it took.

    What a row is made of is noted before it is begun: half a row is of something, too.

    Raises:
        ValueError: A row of another configuration is there.
    """
    note = task.row(row) / "row.json"
    wanted = json.loads(json.dumps(config))
    if note.is_file():
        theirs = json.loads(note.read_text())
        if theirs["config"] != wanted:
            raise ValueError(
                f"{note.parent} was made with another configuration; give another "
                "output folder or remove it."
            )
        if "seconds" in theirs:
            return
    _write(note, {"config": wanted})
    started = time.perf_counter()
    make()
    seconds = round(time.perf_counter() - started, 1)
    _write(note, {"config": wanted, "seconds": seconds})


def _write(note: Path, content: Mapping[str, object]) -> None:
    with write_atomically(note) as temporary:
        temporary.write_text(json.dumps(content, indent=1))


def _scored(
    task: Task, rows: Sequence[str], judges: Judges, report: Report
) -> dict[str, Scores]:
    report(f"score {task.name}", 0.0)
    pictures = control_rows(task)
    pictures |= {row: folder_row(task.row(row), task) for row in rows}
    return measure(task, pictures, nets=judges.nets, embedder=judges.embedder)
