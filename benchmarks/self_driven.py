"""Self-driven test: a video in, an avatar out, judged on the part it never saw.

    python benchmarks/self_driven.py CLIP.mp4 -o RUNS

makes RUNS/CLIP/ with the avatar, the test video, five videos driven by rolled sound,
one whose lips stay at rest, one with the poses of preprocess instead of the registered
ones, and the report, and prints the rows for docs/results.md.
"""

import argparse
import resource
import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import torch

from talk3d.avatar import Avatar, load_avatar, save_avatar
from talk3d.checkpoint import read_header
from talk3d.dataset import Subject
from talk3d.demo import shipped
from talk3d.evaluate.run import evaluate
from talk3d.pipeline import CreateConfig, create
from talk3d.preprocess.run import PreprocessConfig
from talk3d.speaking import replay
from talk3d.trust.consent import Consent
from talk3d.trust.holders import avatar_consent, replace_consent
from talk3d.trust.marking import Marks

MEASURED = Marks(purpose="research", unmarked="sharpness is measured")
ROLLS = (1.1, 2.3, 3.7, 5.3, 7.9)
METRICS = (
    "matte/psnr",
    "matte/sharpness",
    "eyes/sharpness",
    "mouth/sharpness",
    "mouth/mae",
    "lips/lmd",
)


def main() -> None:
    """Run the test on every clip."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("clips", nargs="+", type=Path)
    parser.add_argument("-o", "--out", type=Path, required=True)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    for clip in options.clips:
        run(clip, options.out / clip.stem)


def run(clip: Path, folder: Path) -> None:
    """Make an avatar of a clip and judge it."""
    folder.mkdir(parents=True, exist_ok=True)
    avatar, subject = folder / "avatar.safetensors", folder / "work" / "subject"
    started = time.perf_counter()
    if not avatar.is_file():
        prior = shipped("prior-small.safetensors")
        work = folder / "work"
        config = CreateConfig(PreprocessConfig(fix_sync=True))
        create(clip, avatar, prior, work, config, _quiet, consent=_agreed(clip))
    minutes = (time.perf_counter() - started) / 60
    replay(avatar, subject, folder / "result.mp4", marks=MEASURED)
    rolled = [folder / f"rolled-{roll}.mp4" for roll in ROLLS]
    for roll, path in zip(ROLLS, rolled, strict=True):
        replay(avatar, subject, path, roll=roll, marks=MEASURED)
    extras = {"rolled audio": rolled}
    for label, changed in (
        ("lips at rest", _still(load_avatar(avatar))),
        ("first poses", _unregistered(load_avatar(avatar), subject)),
    ):
        path = folder / label.replace(" ", "-")
        other, video = (path.with_suffix(end) for end in (".safetensors", ".mp4"))
        _write_like(avatar, other, changed)
        replay(other, subject, video, marks=MEASURED)
        extras[label] = [video]
    report = evaluate(folder / "result.mp4", subject, folder / "report", extras=extras)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(f"{clip.stem}: create {minutes:.1f} min, peak memory {memory:.1f} GB")
    for label, row in report.rows.items():
        cells = [f"{row[m].mean:8.3f}" if m in row else f"{'-':>8}" for m in METRICS]
        print(f"{label:24}", *cells)


def _still(avatar: Avatar) -> Avatar:
    """Return the avatar whose lips stay where they rest, whatever is said."""
    voice = avatar.voice
    parts = {"weight": 0 * voice.weight, "part": 0 * voice.part}
    turned = replace(avatar.turned, weight=0 * avatar.turned.weight)
    return replace(avatar, voice=replace(voice, **parts), turned=turned)


def _unregistered(avatar: Avatar, subject: Path) -> Avatar:
    """Return the avatar with the poses that were found before there was a person."""
    arrays = Subject.open(subject).arrays
    poses = {name: torch.from_numpy(arrays[name]) for name in ("camera", "neck")}
    return replace(avatar, **poses)


def _write_like(given: Path, out: Path, changed: Avatar) -> None:
    """Write a changed avatar with what the file of the given one says besides."""
    save_avatar(out, changed, parents=read_header(given)["parents"])
    replace_consent(out, avatar_consent(given))


def _agreed(clip: Path) -> Consent:
    """Say on what ground a published clip may be measured."""
    return Consent(
        person=clip.stem,
        given_by="publisher of the clip",
        how="published; measured here only, nothing is passed on",
        date=datetime.now(UTC).date().isoformat(),
        purposes=("research",),
    )


def _quiet(_stage: str, _part: float) -> None:
    """Report nothing."""


if __name__ == "__main__":
    main()
