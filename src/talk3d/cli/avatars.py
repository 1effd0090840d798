"""Commands that make, use and judge avatars.

Nothing heavy is imported before a command runs, so help answers at once.
"""

import shlex
import sys
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from talk3d.cli.options import (
    ALONE,
    MARKED,
    UNEDITED,
    WHOLE,
    Editing,
    Marking,
    Reading,
    Showing,
)
from talk3d.cli.progress import Progress
from talk3d.cli.running import (
    ANYWHERE,
    UNAIDED,
    UNHURRIED,
    Listening,
    Making,
    Running,
)
from talk3d.cli.trust import TRUST_COMMANDS, chosen_consent

__all__ = ["COMMANDS"]

Out = Annotated[Path, arg(aliases=["-o"])]
Video = Annotated[Path, arg(metavar="VIDEO")]
Avatar = Annotated[Path, arg(metavar="AVATAR")]
Speech = Annotated[Path, arg(metavar="SPEECH")]
Subject = Annotated[Path, arg(metavar="SUBJECT")]
Generator = Annotated[Path, arg(metavar="GENERATOR")]
Result = Annotated[Path, arg(metavar="RESULT")]
Reference = Annotated[Path, arg(metavar="REFERENCE")]


def create(
    video: Positional[Video],
    out: Out,
    prior: Path | None = None,
    work: Path | None = None,
    consent: Path | None = None,
    synthetic: bool = False,
    reading: Reading = WHOLE,
    making: Making = UNHURRIED,
) -> None:
    """Make a talking avatar from a video of one person.

    Args:
        video: the video; any container and codec.
        out: the avatar file to write (.safetensors).
        prior: the 3D prior; the shipped one if not given.
        work: folder for everything in between; OUT.work if not given.
        consent: file with the consent of the person shown; asked for if not given.
        synthetic: the face is drawn or generated and belongs to nobody.
        reading: how to read the video.
        making: where the avatar is made, what listens, and how long that may take.
    """
    from talk3d.ownership import check_given, check_name
    from talk3d.pipeline import CreateConfig
    from talk3d.pipeline import create as run

    check_name(out, "avatar")
    config = CreateConfig(
        reading.config(),
        max_minutes=making.max_minutes,
        speech_model=making.speech_model,
    )
    check_given(video, "video")
    folder, device = work or out.with_suffix(".work"), making.place()
    agreed = chosen_consent(consent, synthetic=synthetic, name=video.stem)
    again = shlex.join(["talk3d", *sys.argv[1:]])
    with Progress(f"interrupted; the same command goes on: {again}") as progress:
        run(
            video,
            out,
            prior or _shipped_prior(),
            folder,
            config,
            progress.report,
            consent=agreed,
            device=device,
        )
    print(f"wrote {out}")


def speak(
    avatar: Positional[Avatar],
    speech: Positional[Speech],
    out: Out,
    seed: int = 0,
    showing: Showing = ALONE,
    editing: Editing = UNEDITED,
    marking: Marking = MARKED,
    listening: Listening = UNAIDED,
) -> None:
    """Make an avatar speak a sound file.

    Args:
        avatar: the avatar file.
        speech: any sound file.
        out: the video to write (.mp4; .mov with --alpha).
        seed: source of the motion past the end of the recording.
        showing: what is seen around the head, and from where.
        editing: what is changed of the person.
        marking: what the video is made for, and how it is marked.
        listening: where the frames are drawn, and what listens.
    """
    from talk3d.speaking import SpeakConfig
    from talk3d.speaking import speak as run
    from talk3d.trust.holders import avatar_consent

    device, model = listening.place(), listening.listener()
    print(avatar_consent(avatar).describe())
    config = SpeakConfig(
        view=showing.view,
        background=showing.background,
        seed=seed,
        alpha=showing.alpha,
        marks=marking.marks(),
        into=showing.into,
        edit=editing.edit(),
    )
    with Progress("interrupted; nothing was written") as progress:
        run(
            avatar,
            speech,
            out,
            config,
            progress.report,
            speech_model=model,
            device=device,
        )
    print(f"wrote {out}")


def explain(
    avatar: Positional[Avatar],
    speech: Positional[Speech],
    out: Out,
    frame: int = 0,
    listening: Listening = UNAIDED,
) -> None:
    """Draw what each token of an avatar listens to and does in one frame.

    Args:
        avatar: the avatar file.
        speech: any sound file.
        out: the sheet to write (.png or .jpg): the frame, then audio, eye, rotation,
            landmark and null; above where it is listened to, below what it changes.
        frame: which frame of the speech.
        listening: where the sheet is drawn, and what listens.
    """
    from talk3d.speaking import explain_frame

    device, model = listening.place(), listening.listener()
    explain_frame(avatar, speech, out, frame, speech_model=model, device=device)
    print(f"wrote {out}")


def preprocess(
    video: Positional[Video],
    out: Out,
    consent: Path | None = None,
    synthetic: bool = False,
    reading: Reading = WHOLE,
) -> None:
    """Turn a video into a subject folder: crop, camera, matte, capture report.

    Args:
        video: the video.
        out: the folder to write.
        consent: file with the consent of the person shown; asked for if not given.
        synthetic: the face is drawn or generated and belongs to nobody.
        reading: how to read the video.
    """
    from talk3d.pipeline import preprocess_subject as run

    agreed = chosen_consent(consent, synthetic=synthetic, name=video.stem)
    config = reading.config()
    with Progress("interrupted; the same command goes on") as progress:
        run(video, out, config, progress.report, consent=agreed)
    print(f"wrote {out}")


def personalize(
    subject: Positional[Subject],
    out: Out,
    prior: Path | None = None,
    encoder: Path | None = None,
    running: Running = ANYWHERE,
) -> None:
    """Fit the prior to a subject.

    Args:
        subject: the subject folder.
        out: the generator file to write (.safetensors).
        prior: the 3D prior; the shipped one if not given.
        encoder: tells the prior's code to begin with (talk3d prior encoder); the
            shipped one for the shipped prior if not given, else the average is.
        running: where the fitting runs.
    """
    from talk3d.personalize import PersonalizeConfig
    from talk3d.pipeline import personalize_subject

    with Progress("interrupted; the same command goes on") as progress:
        personalize_subject(
            subject,
            prior or _shipped_prior(),
            out,
            PersonalizeConfig(),
            progress.report,
            encoder=encoder,
            device=running.place(),
        )
    print(f"wrote {out}")


def train(
    subject: Positional[Subject],
    generator: Positional[Generator],
    out: Out,
    offline: bool = False,
    face_models: Path | None = None,
    listening: Listening = UNAIDED,
) -> None:
    """Teach a personalised generator to speak.

    Args:
        subject: the subject folder.
        generator: the generator file.
        out: the avatar file to write (.safetensors).
        offline: fetch nothing, neither face networks nor a speech model.
        face_models: folder with the face networks; the user's cache if not given.
        listening: where the learning runs, and what listens.
    """
    from talk3d.animator.train import AnimatorTrainConfig
    from talk3d.face import FaceNets
    from talk3d.face_models import model_files
    from talk3d.pipeline import train_subject

    config, device = AnimatorTrainConfig(), listening.place()
    model = listening.listener(offline=offline)
    nets = FaceNets(model_files(face_models, offline=offline))
    with Progress("interrupted; the same command goes on") as progress:
        train_subject(
            subject,
            generator,
            out,
            config,
            progress.report,
            nets=nets,
            speech_model=model,
            device=device,
        )
    print(f"wrote {out}")


def replay(
    avatar: Positional[Avatar],
    subject: Positional[Subject],
    out: Out,
    marking: Marking = MARKED,
    listening: Listening = UNAIDED,
) -> None:
    """Show the test part of a subject as its avatar does, self-driven.

    Args:
        avatar: the avatar file.
        subject: the subject folder it was made from.
        out: the video to write (.mp4).
        marking: what the video is made for, and how it is marked.
        listening: where the frames are drawn, and what listens.
    """
    from talk3d.speaking import replay as run

    device, model = listening.place(), listening.listener()
    run(avatar, subject, out, marks=marking.marks(), speech_model=model, device=device)
    print(f"wrote {out}")


def demo(out: Out, running: Running = ANYWHERE) -> None:
    """Run the bundled synthetic speaker end to end.

    Args:
        out: folder to write to.
        running: where all of it runs.
    """
    from talk3d.demo import demo as run

    with Progress("interrupted; the same command goes on") as progress:
        run(out, progress.report, device=running.place())
    print(f"wrote {out}")


def evaluate(
    result: Positional[Result],
    reference: Positional[Reference],
    out: Out,
    lpips: tuple[Path, Path] | None = None,
    inception: Path | None = None,
    syncnet: Path | None = None,
) -> None:
    """Judge a video against a subject or another video.

    Args:
        result: the video to judge.
        reference: a subject folder, or a video.
        out: the folder of the report.
        lpips: your weights of AlexNet and of LPIPS v0.1 (.pth or .safetensors).
        inception: your weights for FID and KID (pt_inception-2015-12-05).
        syncnet: your weights of SyncNet (syncnet_v2.model or .safetensors).
    """
    from talk3d.evaluate.run import EvaluateConfig
    from talk3d.evaluate.run import evaluate as run

    config = EvaluateConfig(lpips=lpips, inception=inception, syncnet=syncnet)
    run(result, reference, out, config=config)
    print(f"wrote {out / 'report.html'}")


def info(file: Positional[Path]) -> None:
    """Say what a model file is.

    Args:
        file: any model of talk3d: a prior, a generator, an avatar, an encoder.
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


def _shipped_prior() -> Path:
    from talk3d.demo import shipped

    return shipped("prior-small.safetensors")


COMMANDS = {
    "create": create,
    "speak": speak,
    "explain": explain,
    "preprocess": preprocess,
    "personalize": personalize,
    "train": train,
    "replay": replay,
    "evaluate": evaluate,
    "demo": demo,
    "info": info,
    "doctor": doctor,
    **TRUST_COMMANDS,
}
"""By name."""
