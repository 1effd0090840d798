"""Command line: verbs to functions. The only module that prints.

Nothing heavy is imported before a command is known, so help answers at once. Exit
status: 0 success, 2 bad input (one sentence, no traceback), 1 a defect of ours, 130
interrupted.
"""

import logging
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro
from tyro.conf import Positional, arg

from talk3d import __version__

if TYPE_CHECKING:
    from talk3d.preprocess.run import PreprocessConfig

__all__ = ["Reading", "main"]

Out = Annotated[Path, arg(aliases=["-o"])]
_BAR = 30
_STYLE = (tyro.conf.OmitArgPrefixes, tyro.conf.FlagCreatePairsOff)


@dataclass(frozen=True)
class Reading:
    """How to read a video."""

    start: Annotated[float, arg(name="from")] = 0.0
    """Seconds into the video to begin at."""
    end: Annotated[float | None, arg(name="to")] = None
    """Seconds into the video to stop at."""
    face: int = 0
    """Which face to take if there are several, 0 the largest."""
    offline: bool = False
    """Never fetch the face networks."""
    face_models: Path | None = None
    """Folder with the face networks; the user's cache if not given."""
    fix_sync: bool = False
    """Shift the sound so that it fits the lips."""


_ALL = Reading()


def create(
    video: Positional[Path],
    out: Out,
    prior: Path | None = None,
    work: Path | None = None,
    reading: Reading = _ALL,
) -> None:
    """Make a talking avatar from a video of one person.

    Args:
        video: the video; any container and codec.
        out: the avatar file to write (.safetensors).
        prior: the 3D prior; the shipped one if not given.
        work: folder for everything in between; OUT.work if not given.
        reading: how to read the video.
    """
    from talk3d.pipeline import CreateConfig
    from talk3d.pipeline import create as run

    folder = work or out.with_suffix(".work")
    again = " ".join(["talk3d", *sys.argv[1:]])
    with _Progress(f"interrupted; the same command goes on: {again}") as progress:
        run(
            video,
            out,
            prior or _shipped_prior(),
            folder,
            CreateConfig(preprocess=_preprocess_config(reading)),
            progress.report,
        )
    print(f"wrote {out}")


def speak(
    avatar: Positional[Path],
    speech: Positional[Path],
    out: Out,
    view: str = "recorded",
    background: str = "keep",
    seed: int = 0,
    alpha: bool = False,
) -> None:
    """Make an avatar speak a sound file.

    Args:
        avatar: the avatar file.
        speech: any sound file.
        out: the video to write (.mp4; .mov with --alpha).
        view: recorded, front, orbit, or degrees as YAW,PITCH.
        background: keep, a colour, or a picture file.
        seed: source of the motion past the end of the recording.
        alpha: leave the background out and write a MOV with transparency.
    """
    from talk3d.pipeline import SpeakConfig
    from talk3d.pipeline import speak as run

    with _Progress("interrupted; nothing was written") as progress:
        config = SpeakConfig(view=view, background=background, seed=seed, alpha=alpha)
        run(avatar, speech, out, config, progress.report)
    print(f"wrote {out}")


def preprocess(
    video: Positional[Path],
    out: Out,
    reading: Reading = _ALL,
) -> None:
    """Turn a video into a subject folder: crop, camera, matte, capture report.

    Args:
        video: the video.
        out: the folder to write.
        reading: how to read the video.
    """
    from talk3d.preprocess.run import preprocess as run

    config = _preprocess_config(reading)
    with _Progress("interrupted; the same command starts over") as progress:
        run(video, out, config, progress.report)
    print(f"wrote {out}")


def personalize(subject: Positional[Path], out: Out, prior: Path | None = None) -> None:
    """Fit the prior to a subject.

    Args:
        subject: the subject folder.
        out: the generator file to write (.safetensors).
        prior: the 3D prior; the shipped one if not given.
    """
    from talk3d.personalize import PersonalizeConfig
    from talk3d.pipeline import personalize_subject

    with _Progress("interrupted; the same command goes on") as progress:
        personalize_subject(
            subject,
            prior or _shipped_prior(),
            out,
            PersonalizeConfig(),
            progress.report,
        )
    print(f"wrote {out}")


def train(subject: Positional[Path], generator: Positional[Path], out: Out) -> None:
    """Teach a personalised generator to speak.

    Args:
        subject: the subject folder.
        generator: the generator file.
        out: the avatar file to write (.safetensors).
    """
    from talk3d.animator.train import AnimatorTrainConfig
    from talk3d.pipeline import train_subject

    with _Progress("interrupted; the same command goes on") as progress:
        train_subject(subject, generator, out, AnimatorTrainConfig(), progress.report)
    print(f"wrote {out}")


def replay(avatar: Positional[Path], subject: Positional[Path], out: Out) -> None:
    """Show the test part of a subject as its avatar does, self-driven.

    Args:
        avatar: the avatar file.
        subject: the subject folder it was made from.
        out: the video to write (.mp4).
    """
    from talk3d.pipeline import replay as run

    run(avatar, subject, out)
    print(f"wrote {out}")


def demo(out: Out) -> None:
    """Run the bundled synthetic speaker end to end.

    Args:
        out: folder to write to.
    """
    from talk3d.demo import demo as run

    with _Progress("interrupted; the same command goes on") as progress:
        run(out, progress.report)
    print(f"wrote {out}")


def evaluate(result: Positional[Path], reference: Positional[Path], out: Out) -> None:
    """Judge a video against a subject or another video.

    Args:
        result: the video to judge.
        reference: a subject folder, or a video.
        out: the folder of the report.
    """
    from talk3d.evaluate.run import evaluate as run

    run(result, reference, out)
    print(f"wrote {out / 'report.html'}")


def info(file: Positional[Path]) -> None:
    """Say what a model file is.

    Args:
        file: a prior, a generator or an avatar.
    """
    import json

    from talk3d.checkpoint import read_header

    header = read_header(file)
    header["extra"].pop("training", None)
    print(json.dumps(header, indent=1))


def doctor() -> None:
    """Say what this machine can do."""
    from talk3d.doctor import examine

    for line in examine():
        print(line)


def synth_people(seeds: Positional[str], out: Out, head: Path | None = None) -> None:
    """Draw a sheet of synthetic people.

    Args:
        seeds: first and last seed, for example 0-35.
        out: the picture to write.
        head: the head model file.
    """
    from talk3d.synthetic.sheet import people_sheet

    first, _, last = seeds.partition("-")
    try:
        chosen = range(int(first), int(last or first) + 1)
    except ValueError:
        message = f"the seeds {seeds!r} are not known: give FIRST-LAST, such as 0-35"
        raise ValueError(message) from None
    people_sheet(chosen, out, head=head)
    print(f"wrote {out}")


def synth_talk(
    out: Out, seed: int = 0, seconds: float = 20.0, head: Path | None = None
) -> None:
    """Write a talking synthetic subject with its ground truth.

    Args:
        out: the subject folder to write.
        seed: the person, the speech and the motion.
        seconds: length.
        head: the head model file.
    """
    from talk3d.synthetic.talking import TalkConfig, write_talk

    write_talk(out, TalkConfig(seed=seed, seconds=seconds), head=head)
    print(f"wrote {out}")


def synth_corpus(
    out: Out,
    people: int = 1000,
    views: int = 10,
    size: int = 256,
    seed: int = 0,
    head: Path | None = None,
) -> None:
    """Write a training corpus of synthetic people, or what is missing of it.

    Args:
        out: the corpus folder.
        people: number of people.
        views: pictures per person.
        size: pixels per side.
        seed: what everything is drawn from.
        head: the head model file.
    """
    from talk3d.synthetic.corpus import CorpusConfig, write_corpus

    config = CorpusConfig(people=people, views=views, size=size, seed=seed)
    write_corpus(out, config, head=head)
    print(f"wrote {out}")


def synth_import_facekit(folder: Positional[Path], out: Out) -> None:
    """Pack the ICT-FaceKit head model into one file.

    Args:
        folder: the ICT-FaceKit repository as downloaded.
        out: the head model file to write (.npz).
    """
    from talk3d.synthetic.facekit import import_facekit

    import_facekit(folder, out)
    print(f"wrote {out}")


def synth_face_shape(out: Out, head: Path) -> None:
    """Measure where the landmark network's points lie on the head model.

    Args:
        out: the face shape to write (.safetensors).
        head: the head model file.
    """
    from talk3d.face import FaceNets, model_files
    from talk3d.synthetic.head import load_head
    from talk3d.synthetic.measure import MeasureConfig, measure_face_shape

    nets = FaceNets(model_files())
    measure_face_shape(out, MeasureConfig(), head=load_head(head), nets=nets)
    print(f"wrote {out}")


def prior_import(
    file: Positional[Path],
    out: Out,
    plane_axes: Literal["official", "xy_xz_zy", "xy_yz_zx"] | None = None,
) -> None:
    """Convert a published EG3D network without running anything in it.

    Args:
        file: the network pickle.
        out: the prior file to write (.safetensors).
        plane_axes: which axes the planes span; what the file says if not given.
    """
    from talk3d.eg3d.convert import import_official

    import_official(file, out, plane_axes=plane_axes)
    print(f"wrote {out}")


def prior_train(
    corpus: Positional[Path],
    out: Out,
    stage: Literal["points", "images"] = "points",
    steps: int = 4000,
    people: int = 2,
    learning_rate: float = 2e-3,
    init: Path | None = None,
) -> None:
    """Train the 3D prior on a corpus; the same command goes on where it stopped.

    Args:
        corpus: the corpus folder.
        out: the run folder.
        stage: points by exact depth, or whole images.
        steps: length of the run.
        people: people per step, two pictures each.
        learning_rate: Adam step size.
        init: run folder whose weights a new run starts from.
    """
    from talk3d.eg3d.corpus import Corpus
    from talk3d.eg3d.generator import small
    from talk3d.eg3d.train import PriorTrainConfig, load_weights, train_prior

    config = PriorTrainConfig(
        generator=small(),
        stage=stage,
        steps=steps,
        people=people,
        learning_rate=learning_rate,
    )
    weights = None if init is None else load_weights(init)
    with _Progress("interrupted; the same command goes on") as progress:
        for metrics in train_prior(Corpus.open(corpus), out, config, init=weights):
            progress.report(stage, metrics["step"] / steps)
    print(f"wrote {out / 'prior.safetensors'}")


_COMMANDS: dict[str, Callable[..., None]] = {
    "create": create,
    "speak": speak,
    "preprocess": preprocess,
    "personalize": personalize,
    "train": train,
    "replay": replay,
    "evaluate": evaluate,
    "demo": demo,
    "info": info,
    "doctor": doctor,
}
_GROUPS: dict[str, dict[str, Callable[..., None]]] = {
    "synth": {
        "people": synth_people,
        "talk": synth_talk,
        "corpus": synth_corpus,
        "import-facekit": synth_import_facekit,
        "face-shape": synth_face_shape,
    },
    "prior": {"train": prior_train, "import": prior_import},
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit status."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if words[:1] == ["--version"]:
        print(__version__)
        return 0
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    group = _GROUPS.get(words[0]) if words else None
    try:
        if group is not None:
            name = f"talk3d {words[0]}"
            tyro.extras.subcommand_cli_from_dict(
                group, args=words[1:], prog=name, config=_STYLE
            )
        else:
            tyro.extras.subcommand_cli_from_dict(
                _COMMANDS,
                args=words,
                prog="talk3d",
                config=_STYLE,
                description="One short video of a person in, a 3D talking avatar out."
                " More commands: talk3d synth --help, talk3d prior --help.",
            )
    except (ValueError, OSError) as error:
        print(f"talk3d: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    return 0


class _Progress:
    """A line per stage with the remaining time, rewritten on a terminal."""

    def __init__(self, on_interrupt: str) -> None:
        self._message = on_interrupt
        self._stage = ""
        self._started = self._shown = 0.0

    def __enter__(self) -> "_Progress":
        """Return the progress display."""
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """End the line; say how to go on after an interruption."""
        if self._stage:
            print(file=sys.stderr)
        if kind is KeyboardInterrupt:
            print(self._message, file=sys.stderr)

    def report(self, stage: str, part: float) -> None:
        """Show that a part (0 to 1) of a stage is done."""
        now = time.monotonic()
        if stage != self._stage:
            if self._stage:
                print(file=sys.stderr)
            self._stage, self._started, self._shown = stage, now, 0.0
        if part < 1 and now - self._shown < (0.5 if sys.stderr.isatty() else 30.0):
            return
        self._shown = now
        spent = now - self._started
        left = spent / part - spent if part > 0 else 0.0
        bar = "#" * round(_BAR * part)
        line = f"{stage:>10} [{bar:<{_BAR}}] {part:4.0%}  {_clock(left)} left"
        ending = "" if sys.stderr.isatty() else "\n"
        print(f"\r{line}", end=ending, file=sys.stderr, flush=True)


def _preprocess_config(reading: Reading) -> "PreprocessConfig":
    from talk3d.preprocess.run import PreprocessConfig

    return PreprocessConfig(
        start=reading.start,
        end=reading.end,
        face=reading.face,
        offline=reading.offline,
        models_dir=reading.face_models,
        fix_sync=reading.fix_sync,
    )


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02d}"


def _shipped_prior() -> Path:
    from talk3d.demo import shipped

    return shipped("prior-small.safetensors")


if __name__ == "__main__":
    sys.exit(main())
