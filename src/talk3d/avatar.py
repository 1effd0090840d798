"""The avatar: everything needed to speak, in one file.

An avatar holds the personalised generator, the animator that moves its tri-planes, the
voice that tells lips from sound, the background plate and the motion of the recording.
``speak`` takes sound and a view and yields frames; nothing is remembered between calls.
The file is kind ``avatar``; its weights are stored in eight bits.
"""

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from talk3d.animator.model import Animator, AnimatorConfig, DrivingBatch
from talk3d.animator.moving import Moving
from talk3d.audio import SAMPLE_RATE
from talk3d.checkpoint import Checkpoint, load_model, save_model
from talk3d.compact import compacted, expanded
from talk3d.dataset import Subject
from talk3d.device import CPU
from talk3d.frames import driving_signals
from talk3d.heard import check_hearing, heard_by, heard_numbers
from talk3d.lips import (
    LIP_NUMBERS,
    LIP_POINTS,
    LipSpace,
    common_lips,
    lip_rim,
    lip_space,
    seen_lips,
)
from talk3d.motion import Motion, continued
from talk3d.person import PERSONAL, Person, person_from_state, person_state
from talk3d.precision import body_precision
from talk3d.speech_model import SpeechModel
from talk3d.told import Turned, articulation
from talk3d.view import View, seen_from
from talk3d.voice import Voice, fit_voice, told_share

__all__ = ["Avatar", "composite", "load_avatar", "save_avatar"]

_BATCH = 4
_ANIMATOR = "animator."
_PERSON = "person."
_MOTION, _LIPS, _VOICE, _TURNED = "motion.", "lips.", "voice.", "turned."
_LIP_LENGTH = 2 * len(LIP_POINTS)


@dataclass
class Avatar:
    """A person that can speak."""

    person: Person
    """The personalised generator."""
    animator: Animator
    """Lips, eyes and pose to motion of the planes."""
    space: LipSpace
    """Spans the person's lips."""
    voice: Voice
    """Sound to lips."""
    turned: Turned
    """Head turns to lips."""
    plate: UInt8[Tensor, "3 size size"]
    """The background of the recording."""
    camera: Float[Tensor, "frames 25"]
    """Cameras of the recording in the head frame."""
    neck: Float[Tensor, "frames 4 4"]
    """Motion of the head against the torso in the recording, see ``talk3d.neck``."""
    eye: Float[Tensor, "frames 9"]
    """Blinks, brows and gaze of the recording."""
    rotation: Float[Tensor, "frames 3"]
    """Head rotation of the recording, radians."""
    landmark: Float[Tensor, "frames 6"]
    """Nose tip and outer eye corners: crop widths x 8, less their mean."""
    info: dict[str, Any]
    """``fps``, ``name``, ``synthetic``, and where it is known ``place``: the square of
    the video that the avatar shows (x, y, side in pixels) and the seconds before its
    first frame, and ``source``: the SHA-256 of the video."""

    @classmethod
    def of(
        cls,
        subject: Subject,
        person: Person,
        animator: Animator,
        speech_model: SpeechModel | None = None,
    ) -> "Avatar":
        """Put an avatar together; a speech model, if given, listens with its voice."""
        eye, rotation, landmark = driving_signals(subject.arrays)
        space, train = lip_space(subject), subject.train
        index = np.flatnonzero(subject.arrays["valid"] > 0)
        index = index[(index >= train.start) & (index < train.stop)]
        times = (index + 0.5) / subject.fps
        lips = seen_lips(subject)[index]
        voice, told = fit_voice(
            subject.audio(),
            times,
            lips,
            common=common_lips(),
            rim=lip_rim(),
            model=speech_model,
        )
        return cls(
            person=person,
            animator=animator,
            space=space,
            voice=voice.articulated(articulation(told_share(told, lips, times))),
            turned=Turned.of(lips - told, rotation[index]),
            plate=torch.from_numpy(subject.plate().copy()).permute(2, 0, 1),
            camera=torch.from_numpy(subject.arrays["camera"]),
            neck=torch.from_numpy(subject.arrays["neck"]),
            eye=eye,
            rotation=rotation,
            landmark=landmark,
            info={
                "fps": subject.fps,
                "name": subject.info["source"]["name"],
                "synthetic": subject.info["synthetic"],
            }
            | _place(subject),
        )

    @property
    def fps(self) -> float:
        """Frames per second."""
        return self.info["fps"]

    def speak(
        self,
        wave: Float[np.ndarray, " samples"],
        view: View,
        *,
        seed: int = 0,
    ) -> Iterator[UInt8[np.ndarray, "size size 4"]]:
        """Yield straight RGBA frames of the avatar saying ``wave``.

        Head, lids, brows and gaze follow the recording and go on past its end along
        similar poses.

        Args:
            wave: 16 kHz mono sound.
            view: from where to look; an orbit swings 45 degrees to each side, once
                in 150 frames.
            seed: source of the motion past the end of the recording.
        """
        driving, motion = self.driven(wave, seed=seed)
        cameras = seen_from(view, motion.mix_cameras(self.camera), self.camera)
        return self.render(
            driving, cameras, motion.mix(self.neck.flatten(1)).unflatten(1, (4, 4))
        )

    def driven(
        self, wave: Float[np.ndarray, " samples"], *, seed: int
    ) -> tuple[DrivingBatch, Motion]:
        """Return what drives every frame of a speech, and the motion it follows."""
        count = max(1, math.ceil(len(wave) / SAMPLE_RATE * self.fps))
        motion = self.motion(count, seed=seed)
        eye, *head = (motion.mix(signal) for signal in self.signals())
        lips = self.told(self.voice.in_time(), wave, np.arange(count), head[0])
        return DrivingBatch(self.space.encode(lips), eye, *head), motion

    def signals(self) -> tuple[Tensor, Tensor, Tensor]:
        """Return the eye, rotation and landmark signals of the recording."""
        return self.eye, self.rotation, self.landmark

    def rest(self) -> DrivingBatch:
        """Return the mean of what drove the recording, as one frame."""
        return DrivingBatch.rest(*self.signals())

    def motion(self, count: int, *, seed: int) -> Motion:
        """Return which frames of the recording ``count`` spoken frames follow."""
        return continued(self.rotation, self.landmark, count, seed=seed)

    def replay(
        self, wave: Float[np.ndarray, " samples"], frames: range
    ) -> Iterator[UInt8[np.ndarray, "size size 4"]]:
        """Yield the frames of a part of the recording, driven by its own sound.

        Args:
            wave: the whole sound of the recording, 16 kHz mono.
            frames: which frames.
        """
        index = torch.arange(frames.start, frames.stop)
        eye, *head = (signal[index] for signal in self.signals())
        lips = self.told(self.voice, wave, index.numpy(), head[0])
        driving = DrivingBatch(self.space.encode(lips), eye, *head)
        return self.render(driving, self.camera[index], self.neck[index])

    def told(
        self,
        voice: Voice,
        wave: Float[np.ndarray, " samples"],
        frames: Int[np.ndarray, " frames"],
        rotation: Float[Tensor, "frames 3"],
    ) -> Float[Tensor, "frames 80"]:
        """Return the lips that go with frames of a sound and turns of the head."""
        times = (frames + 0.5) / self.fps
        return voice.lips(wave, times) + self.turned.lips(rotation)

    def render(
        self,
        driving: DrivingBatch,
        cameras: Float[Tensor, "frames 25"],
        necks: Float[Tensor, "frames 4 4"],
    ) -> Iterator[UInt8[np.ndarray, "size size 4"]]:
        """Yield frames for given drivers, camera labels and neck motions."""
        moving = Moving.of(self.person, self.animator, self.rest())
        for rows in torch.arange(len(cameras)).split(_BATCH):
            part = driving.rows(rows), cameras[rows], necks[rows]
            yield from _straight(self._drawn(moving, *part))

    @torch.inference_mode()
    def _drawn(
        self,
        moving: Moving,
        driving: DrivingBatch,
        cameras: Float[Tensor, "frames 25"],
        necks: Float[Tensor, "frames 4 4"],
    ) -> Float[Tensor, "frames 4 size size"]:
        """Draw some frames at once, colour times alpha and alpha, from -1 to 1."""
        generator, device = self.person.generator, self.person.z.device
        camera, neck = cameras.to(device), necks.to(device)
        w, planes = moving.planes(driving.to(device))
        given = planes, camera, generator.sampling()
        shown = generator.render(*given, neck=neck, shown=True, half=True)
        with body_precision(device):
            return generator.upsample(shown, w).float()


def composite(
    picture: UInt8[np.ndarray, "size size 4"],
    backdrop: Float[np.ndarray, "size size 3"],
) -> UInt8[np.ndarray, "size size 3"]:
    """Lay a straight RGBA picture over a background."""
    alpha = picture[..., 3:].astype(np.float32) / 255
    mixed = picture[..., :3] * alpha + 255 * backdrop * (1 - alpha)
    return (mixed + 0.5).clip(0, 255).astype(np.uint8)


def save_avatar(
    path: Path, avatar: Avatar, *, parents: dict[str, str] | None = None
) -> None:
    """Write an avatar file."""
    network = avatar.animator.state_dict()
    state = {f"{_ANIMATOR}{name}": value for name, value in network.items()}
    state |= {f"{_PERSON}{k}": v for k, v in person_state(avatar.person).items()}
    state |= {f"{_VOICE}{k}": v for k, v in avatar.voice.state().items()}
    state = compacted(state)
    state |= {f"{_LIPS}{k}": v for k, v in asdict(avatar.space).items()}
    state |= {f"{_TURNED}{k}": v for k, v in asdict(avatar.turned).items()}
    for name in ("camera", "neck", "eye", "rotation", "landmark", "plate"):
        state[f"{_MOTION}{name}"] = getattr(avatar, name)
    save_model(
        path,
        state,
        kind="avatar",
        config={
            "generator": asdict(avatar.person.generator.config),
            "animator": asdict(avatar.animator.config),
        },
        parents=heard_by(avatar.voice.model) | (parents or {}),
        extra=avatar.info,
        licence=PERSONAL,
    )


def load_avatar(
    path: Path,
    device: torch.device = CPU,
    *,
    speech_model: SpeechModel | None = None,
) -> Avatar:
    """Read an avatar file, its networks onto a device.

    Args:
        path: the file.
        device: where its networks draw.
        speech_model: the one it was made with, if any.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is damaged, holds something else, or hears otherwise.
    """
    saved = load_model(path, kind="avatar")
    check_hearing(path, saved.parents, speech_model)
    try:
        avatar = _rebuilt(saved, speech_model)
    except (KeyError, TypeError, AttributeError, RuntimeError) as error:
        message = (
            f"{path} holds no whole avatar ({error}): make it again with talk3d create,"
            " or get another copy"
        )
        raise ValueError(message) from error
    person, animator = avatar.person.to(device), avatar.animator.to(device)
    return replace(avatar, person=person, animator=animator)


def _rebuilt(saved: Checkpoint, speech_model: SpeechModel | None) -> Avatar:
    """Put an avatar together from its file."""
    parts: dict[str, dict[str, Tensor]] = {}
    for name, value in expanded(saved.state).items():
        owner, dot, rest = name.partition(".")
        if dot:
            parts.setdefault(owner + dot, {})[rest] = value
    _check_shapes(parts, saved.extra, heard_numbers(speech_model))
    person = person_from_state(saved.config["generator"], parts[_PERSON])
    config = AnimatorConfig.from_json(saved.config["animator"])
    rules = person.generator.config
    if config.unet.plane_size != rules.plane_size:
        message = (
            f"the animator's planes have {config.unet.plane_size} texels per side and"
            f" the generator's {rules.plane_size}: make the avatar again"
        )
        raise ValueError(message)
    with torch.random.fork_rng():
        animator = Animator(config)
    animator.load_state_dict(parts[_ANIMATOR])
    animator.eval().requires_grad_(False)
    return Avatar(
        person=person,
        animator=animator,
        space=LipSpace(**parts[_LIPS]),
        voice=Voice(**parts[_VOICE], model=speech_model),
        turned=Turned(**parts[_TURNED]),
        info=saved.extra,
        **parts[_MOTION],
    )


def _check_shapes(
    parts: dict[str, dict[str, Tensor]], info: dict[str, Any], heard: int
) -> None:
    """Refuse lips, a voice or a motion of other sizes than an avatar's."""
    frames, lips = len(parts[_MOTION]["camera"]), _LIP_LENGTH
    side = parts[_MOTION]["plate"].shape[-1]
    wanted = {
        _MOTION: {
            "camera": (frames, 25), "neck": (frames, 4, 4), "eye": (frames, 9),
            "rotation": (frames, 3), "landmark": (frames, 6), "plate": (3, side, side),
        },
        _LIPS: {
            "mean": (lips,), "basis": (LIP_NUMBERS, lips), "spread": (LIP_NUMBERS,),
        },
        _TURNED: {"ahead": (2,), "weight": (2, lips)},
        _VOICE: {
            "mean": (heard,), "spread": (heard,), "weight": (heard, lips),
            "bias": (lips,), "delay": (), "rim": (lips,), "part": (lips,), "least": (),
        },
    }  # fmt: skip
    for owner, shapes in wanted.items():
        found = {name: tuple(value.shape) for name, value in parts[owner].items()}
        odd = sorted(name for name in shapes if found.get(name) != shapes[name])
        if odd or not frames:
            message = (
                f"{owner}{(odd or ['camera'])[0]} has another size than an avatar's:"
                " make the avatar again"
            )
            raise ValueError(message)
    fps = info["fps"]
    if not isinstance(fps, (int, float)) or not 1 <= fps <= 240:
        message = f"the avatar has {fps!r} frames a second: make it again"
        raise ValueError(message)


def _place(subject: Subject) -> dict[str, Any]:
    """Return where in its video a subject was cut out, if that is known."""
    start = subject.info["report"].get("start_seconds")
    if start is None:
        return {}
    x, y, side, _ = subject.arrays["crop"].ravel().tolist()
    return {"place": [x, y, side, start], "source": subject.info["source"]["sha256"]}


def _straight(
    picture: Float[Tensor, "batch 4 size size"],
) -> Iterator[UInt8[np.ndarray, "size size 4"]]:
    """Turn premultiplied pictures, -1 to 1, to straight RGBA bytes."""
    picture = ((picture + 1) / 2).clamp(0, 1)
    alpha = picture[:, 3:]
    colour = (picture[:, :3] / alpha.clamp(min=1e-3)).clamp(0, 1)
    rgba = torch.cat([colour, alpha], dim=1).permute(0, 2, 3, 1)
    yield from (rgba * 255 + 0.5).to(torch.uint8).cpu().numpy()
