"""An avatar and sound in, a video out.

Every video that leaves is permitted by the consent of the person shown, marked, and
noted in the ledger.
"""

import math
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import soundfile
import torch
from jaxtyping import Float, UInt8
from PIL import Image, ImageColor, ImageOps, UnidentifiedImageError

from talk3d.audio import load_audio
from talk3d.avatar import Avatar, composite, load_avatar
from talk3d.checkpoint import check_apart, file_sha256, read_header
from talk3d.dataset import Subject
from talk3d.device import best_device
from talk3d.edits import NOTHING_EDITED, Edit, edited
from talk3d.explain import explain
from talk3d.inlay import Crop, SourceFrames, whole_frames
from talk3d.motion import Motion
from talk3d.movie import write_alpha_movie, write_movie
from talk3d.speech_model import SpeechModel
from talk3d.trust.consent import permit
from talk3d.trust.holders import avatar_consent, avatar_fingerprint
from talk3d.trust.marking import Marks, marked_output
from talk3d.trust.pictures import avatar_stamp, write_picture
from talk3d.view import View

__all__ = [
    "SpeakConfig",
    "background",
    "explain_frame",
    "replay",
    "speak",
]

_SAMPLE_RATE = 16_000
_SEEDS = 2**63
_MARKED = Marks()
Report = Callable[[str, float], None]
"""Receives the stage and the finished part of it, 0 to 1."""


@dataclass(frozen=True)
class SpeakConfig:
    """How a video of an avatar is made."""

    view: str = "recorded"
    """``recorded``, ``front``, ``orbit`` or degrees as ``YAW,PITCH``."""
    background: str = "keep"
    """``keep``, a colour name or ``#rrggbb``, or a picture file."""
    seed: int = 0
    """Source of the motion past the end of the recording."""
    alpha: bool = False
    """Leave the background out and write a MOV with transparency."""
    marks: Marks = field(default_factory=Marks)
    """How the video is marked, and what it is made for."""
    into: Path | None = None
    """The video the avatar was made from: its whole frame is shown around it."""
    edit: Edit = NOTHING_EDITED
    """What is changed of the person."""

    def __post_init__(self) -> None:
        """Reject what cannot go together.

        Raises:
            ValueError: if a whole frame is asked for with another view or background,
                or transparency with a background; or the seed is none.
        """
        if not 0 <= self.seed < _SEEDS:
            message = f"the seed {self.seed} is not known: give 0 to {_SEEDS - 1}"
            raise ValueError(message)
        if self.alpha and self.background != "keep":
            message = (
                f"with --alpha the background {self.background!r} would not be seen:"
                " leave out --background, or --alpha"
            )
            raise ValueError(message)
        chosen = self.alpha or self.view != "recorded" or self.background != "keep"
        if self.into is not None and chosen:
            message = (
                "the whole frame shows the recorded view and background: leave out"
                " --view, --background and --alpha, or --into"
            )
            raise ValueError(message)


def speak(
    avatar: Path,
    speech: Path,
    out: Path,
    config: SpeakConfig,
    report: Report,
    *,
    speech_model: SpeechModel | None = None,
    device: torch.device | None = None,
) -> None:
    """Write a video of an avatar saying a sound file.

    An avatar that was made with a speech model needs the same one. Without a device the
    best there is draws it.

    Raises:
        FileNotFoundError: if a file is missing.
        ValueError: if a file cannot be used or is the one to write, or the consent of
            the person shown is missing, changed, expired or does not cover this.
    """
    check_apart(out, avatar, speech, config.into, Path(config.background))
    _check_recording_kept(out, avatar)
    if out.suffix.lower() != (".mov" if config.alpha else ".mp4"):
        message = f"cannot write {out}: give a name in .mp4, or with --alpha in .mov"
        raise ValueError(message)
    wave = load_audio(speech).numpy()
    consent, spoken = avatar_consent(avatar), file_sha256(speech)
    permit(
        consent, purpose=config.marks.purpose, speech_sha256=spoken, name=avatar.name
    )
    about = {"avatar": avatar_fingerprint(avatar), "speech": spoken}
    about |= config.edit.told()
    place = device or best_device()
    loaded = load_avatar(avatar, place, speech_model=speech_model)
    if config.edit != NOTHING_EDITED:
        voice = loaded.voice.articulated(config.edit.articulation)
        person = edited(loaded.person, config.edit)
        loaded = replace(loaded, person=person, voice=voice)
    view = View.parse(config.view)
    backdrop = background(config.background, loaded)
    count = max(1, math.ceil(len(wave) / _SAMPLE_RATE * loaded.fps))

    def pictures() -> Iterator[UInt8[np.ndarray, "size size 4"]]:
        for index, picture in enumerate(loaded.speak(wave, view, seed=config.seed)):
            report("speak", (index + 1) / count)
            yield picture

    laid = (composite(picture, backdrop) for picture in pictures())
    if config.into is not None:
        motion = loaded.motion(count, seed=config.seed)
        laid = _whole_frames(loaded, config.into, pictures(), motion)
    with marked_output(out, config.marks, consent, about) as output:
        if config.alpha:
            marked = (output.mark(picture) for picture in pictures())
            write_alpha_movie(output.path, marked, fps=loaded.fps, sound=speech)
        else:
            marked = (output.mark(picture) for picture in laid)
            write_movie(output.path, marked, fps=loaded.fps, sound=speech)


def _check_recording_kept(out: Path, avatar: Path) -> None:
    """Refuse to write over the video that an avatar was made from."""
    source = read_header(avatar)["extra"].get("source")
    if source is not None and out.is_file() and file_sha256(out) == source:
        message = f"{out} is the video that {avatar} was made from: give another -o"
        raise ValueError(message)


def _whole_frames(
    avatar: Avatar,
    video: Path,
    pictures: Iterator[UInt8[np.ndarray, "size size 4"]],
    motion: Motion,
) -> Iterator[UInt8[np.ndarray, "height width 3"]]:
    """Lay an avatar's pictures into the frames of its video.

    Raises:
        ValueError: if the avatar was not made from the video, or does not know where.
    """
    if "place" not in avatar.info:
        message = (
            "the avatar does not know its place in a video: make it again with talk3d"
            " create, or leave out --into"
        )
        raise ValueError(message)
    if file_sha256(video) != avatar.info["source"]:
        message = (
            f"{video} is not the video that the avatar was made from"
            f" ({avatar.info['name']}): give that one to --into"
        )
        raise ValueError(message)
    crop = Crop(*avatar.info["place"])
    sources = SourceFrames(video, fps=avatar.fps, start=crop.start)
    plate = avatar.plate.permute(1, 2, 0).numpy()
    return whole_frames(pictures, plate, sources, crop, motion)


def explain_frame(
    avatar: Path,
    speech: Path,
    out: Path,
    frame: int,
    *,
    speech_model: SpeechModel | None = None,
    device: torch.device | None = None,
) -> None:
    """Write a sheet of what the tokens do in one frame of a speech.

    An avatar that was made with a speech model needs the same one. Without a device the
    best there is draws it.

    Raises:
        FileNotFoundError: if a file is missing.
        ValueError: if a file cannot be used, the frame does not exist, or the consent
            of the person shown does not cover this.
    """
    check_apart(out, avatar, speech)
    wave, spoken = load_audio(speech).numpy(), file_sha256(speech)
    consent = avatar_consent(avatar)
    permit(consent, purpose="private", speech_sha256=spoken, name=avatar.name)
    place = device or best_device()
    loaded = load_avatar(avatar, place, speech_model=speech_model)
    sheet = explain(loaded, wave, frame)
    about = "what the tokens of an avatar do"
    stamp = avatar_stamp(consent, about, avatar=avatar_fingerprint(avatar))
    write_picture(out, sheet, stamp)


def replay(
    avatar: Path,
    subject: Path,
    out: Path,
    *,
    roll: float = 0.0,
    marks: Marks = _MARKED,
    speech_model: SpeechModel | None = None,
    device: torch.device | None = None,
) -> None:
    """Write the test part of a subject as the avatar shows it, self-driven.

    Cameras, blinks, gaze and head motion are the recorded ones; the sound is the
    recording's own.

    Args:
        avatar: the avatar file.
        subject: the folder it was made from.
        out: the video to write.
        roll: seconds by which the driving sound is rolled around, for the control
            row that says how much the right sound matters.
        marks: how the video is marked, and what it is made for.
        speech_model: the one that the avatar was made with, if any.
        device: where the frames are drawn; none: the best there is.

    Raises:
        FileNotFoundError: if a file is missing.
        ValueError: if a file cannot be used, the avatar was made from another subject,
            or the consent does not cover this.
    """
    check_apart(out, avatar)
    _check_recording_kept(out, avatar)
    consent = avatar_consent(avatar)
    permit(consent, purpose=marks.purpose, speech_sha256=None, name=avatar.name)
    about = {"avatar": avatar_fingerprint(avatar), "speech": "the recording's own"}
    place = device or best_device()
    loaded = load_avatar(avatar, place, speech_model=speech_model)
    opened = Subject.open(subject)
    if not opened.is_parent(read_header(avatar)["parents"].get("subject")):
        message = (
            f"{avatar} was not made from {subject}: give the subject that it was made"
            " from"
        )
        raise ValueError(message)
    wave, part = opened.audio(), opened.test
    first, last = (
        round(n / opened.fps * _SAMPLE_RATE) for n in (part.start, part.stop)
    )
    backdrop = background("keep", loaded)
    driving = np.roll(wave, round(roll * _SAMPLE_RATE))
    pictures = (composite(p, backdrop) for p in loaded.replay(driving, part))
    with (
        tempfile.TemporaryDirectory(prefix="talk3d-") as folder,
        marked_output(out, marks, consent, about) as output,
    ):
        sound = Path(folder) / "sound.wav"
        soundfile.write(sound, wave[first:last], _SAMPLE_RATE)
        marked = (output.mark(picture) for picture in pictures)
        write_movie(output.path, marked, fps=opened.fps, sound=sound)


def background(text: str, avatar: Avatar) -> Float[np.ndarray, "size size 3"]:
    """Return the background picture, 0 to 1; of a picture file its middle square.

    Raises:
        ValueError: if the text is neither ``keep`` nor a colour nor a picture file, or
            the picture is huge.
    """
    plate = avatar.plate.permute(1, 2, 0).numpy()
    if text == "keep":
        return plate.astype(np.float32) / 255
    if Path(text).is_file():
        try:
            with Image.open(text) as image:
                upright = ImageOps.exif_transpose(image).convert("RGB")
        except Image.DecompressionBombError as error:
            message = f"the background {text} has too many pixels: make it smaller"
            raise ValueError(message) from error
        except UnidentifiedImageError as error:
            message = f"the background {text} is not a picture: give a PNG or JPEG file"
            raise ValueError(message) from error
        fitted = ImageOps.fit(upright, plate.shape[:2])
        return np.asarray(fitted, np.float32) / 255
    try:
        colour = ImageColor.getrgb(text)[:3]
    except ValueError as error:
        message = (
            f"the background {text!r} is not known: give keep, a colour such as grey"
            " or #204060, or the path of a picture"
        )
        raise ValueError(message) from error
    return np.broadcast_to(np.asarray(colour, np.float32) / 255, plate.shape).copy()
