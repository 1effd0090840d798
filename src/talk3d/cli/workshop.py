"""Commands that make synthetic people and priors.

Nothing heavy is imported before a command runs, so help answers at once.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import OmitArgPrefixes, Positional, arg

from talk3d.cli.avatars import info
from talk3d.cli.progress import Progress

__all__ = ["GROUPS"]

Out = Annotated[Path, arg(aliases=["-o"])]


@dataclass(frozen=True)
class Recipe:
    """How to train."""

    learning_rate: float = 2e-3
    """Adam step size."""
    texture: float = 0.5
    """Weight of the local strength of detail in pictures."""
    swap: float | None = None
    """In the adversarial stage, tell the generator the camera, after the first fifth
    with this chance another picture's (EG3D: 0.5); it is told none if not given."""
    blur: float = 0.0
    """Of what the adversarial stage judges in the first fifth, pixels (EG3D: 10)."""
    grow_from: float = 1.0
    """Share of the rays per side with which the adversarial stage begins to make
    people up; all after the first fifth (EG3D: 0.5)."""


_RECIPE = Recipe()


def synth_people(seeds: Positional[str], out: Out, head: Path | None = None) -> None:
    """Draw a sheet of synthetic people.

    Args:
        seeds: first and last seed, for example 0-35.
        out: the picture to write.
        head: the head model file.
    """
    from talk3d.synthetic.sheet import people_sheet

    people_sheet(_seeds(seeds), out, head=head)
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


def synth_speech(out: Out, rounds: int = 12, seed: int = 0) -> None:
    """Write a corpus of speech with the mouths that go with it.

    Voices of espeak-ng, flite and festival speak, as far as they are installed.

    Args:
        out: the corpus folder; rounds that exist are kept.
        rounds: rounds of all voices, about 22 minutes of speech each.
        seed: what everything is drawn from.
    """
    from talk3d.synthetic.speech_corpus import SpeechCorpusConfig, write_speech_corpus

    for number, seconds in write_speech_corpus(
        out, SpeechCorpusConfig(rounds=rounds, seed=seed)
    ):
        print(f"round {number + 1} of {rounds}: {seconds / 60:.0f} minutes of speech")
    print(f"wrote {out}")


def speech_train(
    corpus: Positional[Path], out: Out, steps: int = 3000, seed: int = 0
) -> None:
    """Train the network that knows speech.

    Args:
        corpus: a folder of talk3d synth speech.
        out: the model file to write (.safetensors).
        steps: training steps.
        seed: source of all chance.
    """
    from talk3d.interrupted import StateFile
    from talk3d.ownership import check_name
    from talk3d.speech.train import (
        HearingTrainConfig,
        SpeechCorpus,
        save_hearing,
        train_hearing,
    )

    check_name(out, "network")
    sounds = SpeechCorpus(corpus)
    config = HearingTrainConfig(steps=steps, seed=seed)
    state = StateFile(out.with_suffix(".state"))
    with Progress("interrupted; the same command goes on") as progress:
        for step, _terms, network in train_hearing(sounds, config, state=state):
            progress.report("hearing", step / steps)
            if step == steps:
                save_hearing(out, network, sounds, step=step)
    state.path.unlink(missing_ok=True)
    print(f"wrote {out}")


def speech_judge(
    corpus: Positional[Path], out: Out, steps: int = 3000, seed: int = 1
) -> None:
    """Train the network that judges whether lips go with a sound.

    Args:
        corpus: a folder of talk3d synth speech, of another seed than the hearing
            network's.
        out: the model file to write (.safetensors).
        steps: training steps.
        seed: source of all chance.
    """
    from talk3d.interrupted import StateFile
    from talk3d.judge.train import JudgeTrainConfig, save_judge, train_judge
    from talk3d.ownership import check_name
    from talk3d.speech.train import SpeechCorpus

    check_name(out, "judge")
    sounds = SpeechCorpus(corpus)
    config = JudgeTrainConfig(steps=steps, seed=seed)
    state = StateFile(out.with_suffix(".state"))
    with Progress("interrupted; the same command goes on") as progress:
        for step, _measures, network in train_judge(sounds, config, state=state):
            progress.report("judge", step / steps)
            if step == steps:
                save_judge(out, network, sounds, step=step)
    state.path.unlink(missing_ok=True)
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


def synth_face_shape(out: Out, head: Path, known: Path | None = None) -> None:
    """Measure where the landmark network's points lie on the head model.

    Args:
        out: the face shape to write (.safetensors).
        head: the head model file.
        known: a face shape of this head; its points and their slide are taken over, and
            only what is said of people who talk is measured.
    """
    from talk3d.checkpoint import check_apart
    from talk3d.face import FaceNets
    from talk3d.face_models import model_files
    from talk3d.synthetic.head import load_head
    from talk3d.synthetic.measure import MeasureConfig, measure_face_shape

    check_apart(out, head, known)
    measure_face_shape(
        out,
        MeasureConfig(),
        head=load_head(head),
        nets=FaceNets(model_files()),
        known=known,
    )
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
    stage: Literal["points", "images", "adversarial"] = "points",
    steps: int = 4000,
    shares: int | None = None,
    recipe: OmitArgPrefixes[Recipe] = _RECIPE,
    init: Path | None = None,
) -> None:
    """Train the 3D prior on a corpus; the same command goes on where it stopped.

    Several processes: torchrun --nproc-per-node 2 --no-python talk3d prior train ...

    Args:
        corpus: the corpus folder, or an image set in EG3D's format (folder or zip with
            dataset.json), which the adversarial stage alone can learn from.
        out: the run folder.
        stage: points by exact depth, images, or images that should be taken for real,
            made-up people's too.
        steps: length of the run.
        shares: parts of a step, of two people with two pictures each, whose mean
            gradient is followed: a multiple of the number of processes, which is
            what it is if not given.
        recipe: what may differ between runs.
        init: run folder or prior file whose weights a new run starts from.
    """
    from talk3d.eg3d.adversary import AdversaryConfig
    from talk3d.eg3d.image_set import open_pictures
    from talk3d.eg3d.presets import small
    from talk3d.eg3d.state import PriorTrainConfig, load_weights
    from talk3d.eg3d.team import joined
    from talk3d.eg3d.train import train_prior

    pictures = open_pictures(corpus)
    weights = None if init is None else load_weights(init)
    with joined() as team, Progress("interrupted; the same command goes on") as shown:
        config = PriorTrainConfig(
            generator=replace(small(), pose_told=recipe.swap is not None),
            stage=stage,
            steps=steps,
            shares=team.size if shares is None else shares,
            learning_rate=recipe.learning_rate,
            texture=recipe.texture,
            adversary=AdversaryConfig(
                swap=recipe.swap, blur=recipe.blur, grow_from=recipe.grow_from
            ),
        )
        for metrics in train_prior(pictures, out, config, init=weights, team=team):
            if team.rank == 0:
                shown.report(stage, metrics["step"] / steps)
    if team.rank == 0:
        print(f"wrote {out / 'prior.safetensors'}")


def prior_encoder(
    corpus: Positional[Path],
    run: Positional[Path],
    out: Out,
    steps: int = 3000,
    seed: int = 0,
) -> None:
    """Train the network that tells a prior's code from a picture of a face.

    Args:
        corpus: the corpus folder that the prior was trained on.
        run: the folder of the prior's training.
        out: the encoder file to write (.safetensors).
        steps: length of the run.
        seed: source of all chance.
    """
    from talk3d.checkpoint import file_sha256
    from talk3d.eg3d.corpus import Corpus
    from talk3d.eg3d.state import load_weights
    from talk3d.encoder.network import EncoderConfig, save_encoder
    from talk3d.encoder.train import EncoderTrainConfig, train_encoder
    from talk3d.interrupted import StateFile
    from talk3d.ownership import check_name

    check_name(out, "encoder")
    pictures, weights = Corpus.open(corpus), load_weights(run)
    if "codes" not in weights:
        message = f"{run} has no codes: give the folder of a prior's training"
        raise ValueError(message)
    codes, prior = weights["codes"], file_sha256(run / "prior.safetensors")
    config = EncoderTrainConfig(
        network=EncoderConfig(z_dim=codes.shape[1]), steps=steps, seed=seed
    )
    state = StateFile(out.with_suffix(".state"))
    with Progress("interrupted; the same command goes on") as shown:
        for step, _terms, network in train_encoder(
            pictures, codes, config, state=state
        ):
            shown.report("encoder", step / steps)
            if step == steps:
                save_encoder(out, network, prior=prior, step=steps)
    state.path.unlink(missing_ok=True)
    print(f"wrote {out}")


def prior_sample(
    file: Positional[Path], out: Out, seeds: str = "0-5", truncation: float = 0.7
) -> None:
    """Draw a sheet of people that a prior makes up, from profile to profile.

    Args:
        file: the prior file.
        out: the picture to write, PNG or JPEG.
        seeds: first and last seed, one person each.
        truncation: 1 draws as widely as the people trained on, 0 the average.
    """
    from talk3d.eg3d.files import load_generator
    from talk3d.eg3d.sample import draw_codes, sample_sheet
    from talk3d.trust.pictures import avatar_stamp, write_picture

    generator = load_generator(file)
    codes = draw_codes(generator, _seeds(seeds))
    sheet = sample_sheet(generator, codes, truncation=truncation)
    write_picture(out, sheet, avatar_stamp(None, "people that a prior made up"))
    print(f"wrote {out}")


def _seeds(text: str) -> range:
    """Read FIRST-LAST."""
    first, _, last = text.partition("-")
    try:
        return range(int(first), int(last or first) + 1)
    except ValueError:
        message = f"the seeds {text!r} are not known: give FIRST-LAST, such as 0-35"
        raise ValueError(message) from None


GROUPS = {
    "synth": {
        "people": synth_people,
        "talk": synth_talk,
        "corpus": synth_corpus,
        "speech": synth_speech,
        "import-facekit": synth_import_facekit,
        "face-shape": synth_face_shape,
    },
    "speech": {"train": speech_train, "judge": speech_judge},
    "prior": {
        "train": prior_train,
        "encoder": prior_encoder,
        "import": prior_import,
        "sample": prior_sample,
        "info": info,
    },
}
"""By group and name."""
