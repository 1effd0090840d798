"""Regression board: one subject, one seed, few steps; fails when a headline falls.

    python benchmarks/board.py -o RUN                 # what make bench does
    python benchmarks/board.py -o RUN --accept 0 1    # store values and noise anew

Appends a row to docs/results.md and holds it against benchmarks/board.json.
"""

import argparse
import subprocess
import sys
from pathlib import Path

import torch

from talk3d.benchmark.board import (
    append_row,
    fallen,
    load_board,
    save_board,
    stored,
)
from talk3d.benchmark.controls import control_rows
from talk3d.benchmark.ours import draw_person, fit_person, shortened
from talk3d.benchmark.run import Judges
from talk3d.benchmark.score import folder_row, measure
from talk3d.benchmark.summary import pool
from talk3d.benchmark.synthetic import SyntheticConfig, synthetic_task
from talk3d.benchmark.task import Task
from talk3d.demo import QUICK, shipped
from talk3d.evaluate.run import EvaluateConfig, evaluate
from talk3d.personalize import PersonalizeConfig
from talk3d.pipeline import train_subject
from talk3d.speaking import replay

ROOT = Path(__file__).parents[1]
BOARD = ROOT / "benchmarks/board.json"
RESULTS = ROOT / "docs/results.md"
HEADING = "## Regression board"
TASK = SyntheticConfig(
    seed=9, seconds=6.0, yaws=(-60, -30, 0, 30, 60), pitches=(), moments=2
)
EFFORT = 0.1
THREADS = 2
POSE = {
    "face PSNR, front": ("face/psnr", "0°"),
    "face PSNR, 30°": ("face/psnr", "30°"),
    "face PSNR, 60°": ("face/psnr", "60°"),
    "covered area, 60°": ("cover/iou", "60°"),
    "surface error, mm": ("surface/mm", "0°"),
}
TALK = {
    "talking: person PSNR": "matte/psnr",
    "talking: mouth MAE": "mouth/mae",
    "talking: LMD, %": "lips/lmd",
}


def main() -> None:
    """Measure, append, and fail loudly."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-o", "--out", type=Path, required=True)
    parser.add_argument("--accept", type=int, nargs="+", default=[])
    options = parser.parse_args()
    torch.set_num_threads(THREADS)
    note = f"{commit()}; person {TASK.seed}, {TASK.seconds:g} s, effort {EFFORT:g}"
    if options.accept:
        runs = [run(options.out / f"seed-{seed}", seed) for seed in options.accept]
        save_board(BOARD, stored(runs), f"{note}, seeds {options.accept}")
        append_row(RESULTS, HEADING, runs[0], note=f"{note} (stored)")
        print(f"stored {BOARD}")
        return
    board = load_board(BOARD)
    values = run(options.out / commit(), seed=0)
    append_row(RESULTS, HEADING, values, note=note)
    said = fallen(values, board)
    print("\n".join(said) or "no headline fell")
    sys.exit(1 if said else 0)


def run(folder: Path, seed: int) -> dict[str, float]:
    """Fit, draw, teach and judge; return the headlines."""
    task = synthetic_task(folder / "task", TASK)
    generator = folder / "generator.safetensors"
    config = shortened(PersonalizeConfig(), EFFORT, seed=seed)
    prior = shipped("prior-small.safetensors")
    fit_person(task, generator, prior=prior, config=config, report=_quiet)
    draw_person(task, generator, task.row("ours"))
    values = pose_headlines(task)
    subject, avatar = task.path / "subject", folder / "avatar.safetensors"
    if not avatar.is_file():
        nets = Judges.open().nets
        train_subject(subject, generator, avatar, QUICK.animator, _quiet, nets=nets)
    replay(avatar, subject, folder / "talking.mp4")
    judged = evaluate(
        folder / "talking.mp4",
        subject,
        folder / "report",
        config=EvaluateConfig(controls=("truth",)),
    )
    row = judged.rows["result"]
    return values | {name: row[metric].mean for name, metric in TALK.items()}


def pose_headlines(task: Task) -> dict[str, float]:
    """Score the shots of our row."""
    rows = {"truth": control_rows(task)["truth"]}
    rows["ours"] = folder_row(task.row("ours"), task)
    pooled = pool([(task.shots, measure(task, rows, nets=Judges.open().nets))])
    bins, values = pooled.bins(), {}
    for name, (metric, place) in POSE.items():
        cell = pooled.cell("ours", metric, bins[place])
        if cell is not None:
            values[name] = cell.mean
    return values


def commit() -> str:
    """Return the short name of the checked-out commit, + where files differ."""
    words = ["git", "-C", str(ROOT), "describe", "--always", "--dirty=+"]
    done = subprocess.run(  # noqa: S603 - fixed words
        words, capture_output=True, text=True, check=False
    )
    return done.stdout.strip() or "unknown"


def _quiet(_stage: str, _part: float) -> None:
    """Report nothing."""


if __name__ == "__main__":
    main()
