"""The whole path: a video in, an avatar out; an avatar and sound in, a video out.

Composes the verbs. Everything a run makes lies in its work folder, so the same
command goes on where it stopped.
"""

import logging
import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import UInt8

from talk3d.aim import aimed
from talk3d.animator.model import Animator
from talk3d.animator.train import AnimatorTrainConfig, fresh_animator, train_animator
from talk3d.avatar import Avatar, save_avatar
from talk3d.camera import orbit_label
from talk3d.checkpoint import (
    check_apart,
    check_kind,
    clean_folder,
    file_sha256,
    write_atomically,
)
from talk3d.dataset import Subject
from talk3d.device import best_device
from talk3d.encoder.network import shipped_encoder
from talk3d.face import FaceNets
from talk3d.face_models import model_files
from talk3d.interrupted import TRAINING_STATES
from talk3d.ownership import (
    check_disk,
    check_fitted,
    check_given,
    check_name,
    check_own,
    check_renewed,
    claim,
)
from talk3d.person import Person, load_person, save_person
from talk3d.personalize import PersonalizeConfig, personalize
from talk3d.preprocess.run import PreprocessConfig, preprocess
from talk3d.registration import moved, register
from talk3d.speech_model import SpeechModel, load_speech_model
from talk3d.trust.consent import Consent
from talk3d.trust.holders import (
    avatar_consent,
    avatar_fingerprint,
    record_consent,
    replace_consent,
    subject_consent,
)
from talk3d.trust.ledger import note
from talk3d.trust.marking import Marks
from talk3d.trust.pictures import is_preview, subject_stamp, write_picture

__all__ = [
    "CreateConfig",
    "Report",
    "create",
    "personalize_subject",
    "preprocess_subject",
    "train_subject",
    "yaw_sheet",
]

_LOG = logging.getLogger(__name__)
_SAMPLE_RATE = 16_000
_MARKED = Marks()
_PREVIEW_SECONDS = 120.0
_FITTING_SHARE = 0.78
"""Of the time for both; without a limit fitting takes as much."""
_FEW, _LIKE = 0.12, 0.25
"""Parts of tuning: with fewer nobody would know the person, with more most would."""
_REGISTERING_SHARE = 0.15
"""Of the time for learning, twice."""
_SHEET_YAWS = (-60, -45, -30, 0, 30, 45, 60)
Report = Callable[[str, float], None]
"""Receives the stage and the finished part of it, 0 to 1."""


@dataclass(frozen=True)
class CreateConfig:
    """How an avatar is made."""

    preprocess: PreprocessConfig = field(default_factory=PreprocessConfig)
    """Reading the video."""
    personalize: PersonalizeConfig = field(default_factory=PersonalizeConfig)
    """Fitting the person."""
    animator: AnimatorTrainConfig = field(default_factory=AnimatorTrainConfig)
    """Learning to speak."""
    max_minutes: float | None = None
    """Time limit of fitting and learning; they take fewer steps where it is short."""
    speech_model: str | None = None
    """Folder or hub id of a wav2vec 2.0 or HuBERT model that listens, too."""

    def __post_init__(self) -> None:
        """Refuse a time limit that is none, and a recording without its sound."""
        if self.preprocess.silent:
            message = (
                "an avatar learns to speak from the sound of its video: leave out"
                " --silent, which is for talk3d preprocess"
            )
            raise ValueError(message)
        if self.max_minutes is not None and not 0 < self.max_minutes < math.inf:
            message = (
                f"max_minutes is {self.max_minutes:g}: give a number above 0, or leave"
                " it out for no limit"
            )
            raise ValueError(message)


def create(
    video: Path,
    out: Path,
    prior: Path,
    work: Path,
    config: CreateConfig,
    report: Report,
    *,
    consent: Consent,
    device: torch.device | None = None,
) -> None:
    """Make an avatar from a video; goes on where an earlier run stopped.

    Args:
        video: the person talking.
        out: destination of the avatar, ``*.safetensors``.
        prior: file of the prior.
        work: folder for everything in between.
        config: how.
        report: receives progress.
        consent: of the person shown; an avatar that is there already gets it, too.
        device: where to fit and learn; none: the best there is.

    Raises:
        ValueError: if the video or the name cannot be used or are one, the work folder
            belongs to another video or configuration, the avatar exists and is not
            this run's, or the speech model cannot be used.
        FileNotFoundError: if the video or the prior is missing.
        OSError: if there is too little disk space.
    """
    check_name(out, "avatar")
    check_apart(out, video, prior)
    check_given(prior, "prior")
    check_kind(prior, "prior")
    subject, generator = work / "subject", work / "generator.safetensors"
    with clean_folder(work):
        check_disk(work)
        claim(work, video, prior, asdict(config))
        offline, listening = config.preprocess.offline, config.speech_model
        model = load_speech_model(listening, offline=offline) if listening else None
        check_own(out, generator)
        if not (subject / "subject.json").is_file():
            preprocess(video, subject, config.preprocess, report)
    record_consent(subject, consent)
    fitting, learning = config.personalize, config.animator
    if config.max_minutes is not None:
        share = _FITTING_SHARE * config.max_minutes
        fitting = replace(fitting, minutes=share)
        learning = replace(learning, minutes=config.max_minutes - share)
    if not generator.is_file():
        personalize_subject(subject, prior, generator, fitting, report, device=device)
    if out.is_file():
        _renew(out, consent)
    else:
        reading = config.preprocess
        nets = FaceNets(model_files(reading.models_dir, offline=reading.offline))
        train_subject(
            subject,
            generator,
            out,
            learning,
            report,
            nets=nets,
            speech_model=model,
            device=device,
        )
    note(
        "created",
        avatar=avatar_fingerprint(out),
        avatar_path=str(out.resolve()),
        work=str(work.resolve()),
        source=str(video.resolve()),
        consent=consent.sha256,
    )


def _renew(avatar: Path, consent: Consent) -> None:
    """Give an avatar the consent of now, if it has another or none that opens."""
    try:
        held = avatar_consent(avatar)
    except ValueError:
        held = None
    if held != consent:
        replace_consent(avatar, consent)


def preprocess_subject(
    video: Path,
    out: Path,
    config: PreprocessConfig,
    report: Report,
    *,
    consent: Consent,
) -> None:
    """Write a subject folder with the consent of the person shown."""
    preprocess(video, out, config, report)
    record_consent(out, consent)


def personalize_subject(
    subject: Path,
    prior: Path,
    out: Path,
    config: PersonalizeConfig,
    report: Report,
    *,
    encoder: Path | None = None,
    device: torch.device | None = None,
) -> None:
    """Fit the prior to a subject and write a generator file.

    Without an encoder the shipped one is taken if it knows the prior; without a device
    the best there is.

    Raises:
        ValueError: if the name does not end in ``.safetensors``, or is of a folder or
            of what is given.
    """
    check_name(out, "generator")
    check_apart(out, prior, encoder, subject / "arrays.safetensors")
    state = out.with_suffix(".state")
    opened = Subject.open(subject)
    check_renewed(out, "generator", opened)
    preview = _Preview(out.with_suffix(".png"), opened)
    person: Person | None = None
    encoder = encoder or shipped_encoder(prior)
    steps = personalize(
        opened,
        prior,
        config,
        state=state,
        encoder=encoder,
        device=device or best_device(),
    )
    length = config.tune_steps
    for stage, step, length, person in steps:
        report(stage, step / length if length else 1.0)
        preview.offer(person)
    assert person is not None
    _warn_of_haste(config, length)
    save_person(out, person, subject=subject, prior=prior)
    state.unlink(missing_ok=True)


def _warn_of_haste(config: PersonalizeConfig, tuned: int) -> None:
    """Say so if the time was enough for a few of the steps of tuning only."""
    if config.minutes is None or tuned >= _FEW * config.tune_steps:
        return
    minutes = config.minutes / _FITTING_SHARE * config.tune_steps / max(tuned, 1)
    _LOG.warning(
        "the time was enough for %d of %d steps of tuning, so eyes and brows may be"
        " smudges: give --max-minutes about %.0f for a likeness, %.0f for all steps",
        tuned,
        config.tune_steps,
        math.ceil(_LIKE * minutes),
        math.ceil(minutes),
    )


def train_subject(
    subject: Path,
    generator: Path,
    out: Path,
    config: AnimatorTrainConfig,
    report: Report,
    *,
    nets: FaceNets | None = None,
    speech_model: SpeechModel | None = None,
    device: torch.device | None = None,
) -> None:
    """Teach a personalised generator to speak and write an avatar file.

    Without face networks lips are not aimed (``talk3d.aim``); without a speech model
    the shipped network listens alone; without a device it learns on the best there is.

    Raises:
        ValueError: if the name does not end in ``.safetensors``, or is of a folder or
            of what is given; or if the generator was fitted to another recording.
    """
    check_name(out, "avatar")
    check_apart(out, generator, subject / "arrays.safetensors")
    opened = Subject.open(subject)
    check_renewed(out, "avatar", opened)
    person = load_person(generator, device or best_device())
    check_fitted(generator, opened)
    consent = subject_consent(opened)
    state, first, last = (out.with_suffix(suffix) for suffix in TRAINING_STATES)
    learning, registering = config, None
    if config.minutes is not None:
        registering = _REGISTERING_SHARE * config.minutes
        learning = replace(config, minutes=config.minutes - 2 * registering)

    def registered(
        subject: Subject, animator: Animator, frames: range, state: Path
    ) -> Subject:
        moves = np.zeros((subject.frames, 2, 6))
        chosen = frames[:: config.register_every]
        steps = register(
            subject, person, animator, frames=chosen, state=state, minutes=registering
        )
        for done, length, found in steps:
            report("register", done / max(length, 1))
            moves = found
        return moved(subject, moves)

    fresh = fresh_animator(person, learning).to(person.z.device)
    posed = registered(opened, fresh, opened.train, first)
    steps = train_animator(posed, person, learning, state=state)
    preview = _Preview(out.with_suffix(".png"), opened)
    trained = None
    for stage, step, length, animator in steps:
        trained = animator
        report(stage, step / max(length, 1))
        preview.offer(person)
    assert trained is not None
    posed = registered(posed, trained, range(opened.frames), last)
    avatar = Avatar.of(posed, person, trained, speech_model)
    if nets is not None:
        avatar = aimed(avatar, posed, nets, lambda part: report("aim", part))
    parents = {"generator": file_sha256(generator), "subject": opened.fingerprint()}
    with write_atomically(out) as temporary:
        save_avatar(temporary, avatar, parents=parents)
        replace_consent(temporary, consent)
    for done in (state, first, last):
        done.unlink(missing_ok=True)


@torch.no_grad()
def yaw_sheet(person: Person) -> UInt8[np.ndarray, "size width 3"]:
    """Draw the neutral person from -60 to 60 degrees of yaw on grey."""
    generator, w = person.generator, person.neutral()
    planes = person.planes(w)
    tiles = []
    for yaw in _SHEET_YAWS:
        label = orbit_label(math.radians(yaw), 0.0)[None].to(w)
        rendering = generator.render(planes, label, generator.sampling(), shown=True)
        picture = (generator.upsample(rendering, w)[0] + 1) / 2
        tiles.append(picture[:3] + 0.5 * (1 - picture[3:]))
    sheet = torch.cat(tiles, dim=2).clamp(0, 1).permute(1, 2, 0)
    return (255 * sheet + 0.5).to(torch.uint8).cpu().numpy()


class _Preview:
    """Writes a picture of the person every two minutes, over none but its own."""

    def __init__(self, path: Path, subject: Subject) -> None:
        self._path = path
        self._stamp = subject_stamp(subject, "a preview of a synthetic head")
        self._due = time.monotonic() + _PREVIEW_SECONDS

    def offer(self, person: Person) -> None:
        if time.monotonic() < self._due:
            return
        self._due = time.monotonic() + _PREVIEW_SECONDS
        if self._path.exists() and not is_preview(self._path):
            _LOG.info("%s is not ours: there is no preview", self._path)
            return
        write_picture(self._path, yaw_sheet(person), self._stamp)
