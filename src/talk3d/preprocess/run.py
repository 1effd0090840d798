"""Turn a video of one person into a subject folder.

Stages: *landmarks* (first pass over the video; the result is kept beside the subject,
so a second run with the same input starts after it), *camera* (focal length, shape,
poses), *pictures* (second pass: crops, mattes, background), *sound*. No frame is kept
in memory.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from jaxtyping import Float, UInt8

from talk3d.camera import yaw_pitch
from talk3d.checkpoint import clean_folder, file_sha256, write_atomically
from talk3d.dataset import AUDIO_RATE, Subject, SubjectWriter, train_length
from talk3d.face import FaceNets, FaceShape, load_face_shape
from talk3d.face_models import model_files
from talk3d.preprocess.checks import (
    FPS,
    Finding,
    inspect_picture,
    inspect_sound,
    verdict,
)
from talk3d.preprocess.crop import (
    Crop,
    camera_labels,
    choose_crop,
    cut_crop,
    head_rotation,
    head_travel,
    to_crop,
)
from talk3d.preprocess.eyes import blinks, gaze_angles
from talk3d.preprocess.fit import PoseConfig
from talk3d.preprocess.hearing import Hearing, hear
from talk3d.preprocess.intake import check_disk, check_folder, check_video
from talk3d.preprocess.matte import (
    PlateMaker,
    calm_masks,
    coarse_mask,
    finish_matte,
)
from talk3d.preprocess.pose import (
    HeadTrack,
    landmark_error,
    refit_expression,
    solve_track,
)
from talk3d.preprocess.refine import refine_track
from talk3d.preprocess.report import html_page
from talk3d.preprocess.smooth import calm_track, steady_track
from talk3d.preprocess.span import Span, choose_span
from talk3d.preprocess.torso import (
    TorsoWatch,
    neck_motions,
    torso_motions,
    torso_view,
)
from talk3d.preprocess.track import Recording, load_recording, record, save_recording
from talk3d.video import VideoInfo, copy_sound, probe_video, read_audio, read_frames

__all__ = ["PreprocessConfig", "preprocess"]

VERSION = 4
_CACHE_VERSION = 5
_SIZES = (64, 512)
_CACHE = "landmarks.npz"
_REFINEMENTS = 2
"""The first finds what quick turns have moved out of sight for the second."""
_EXAMPLES = 6


@dataclass(frozen=True)
class PreprocessConfig:
    """Settings of preprocessing."""

    size: int = 256
    """Pixels per side of the crop, 64 to 512."""
    start: float = 0.0
    """Seconds into the video to begin at."""
    end: float | None = None
    """Seconds into the video to stop at; None for all."""
    face: int = 0
    """Which face to take, 0 the largest."""
    offline: bool = False
    """Refuse to fetch the face networks."""
    models_dir: Path | None = None
    """Folder with the face networks; None for the user's cache."""
    fix_sync: bool = False
    """Shift the sound so that it fits the lips."""
    silent: bool = False
    """Take a video without a sound track, for its pictures alone."""

    def __post_init__(self) -> None:
        """Check the values."""
        if not _SIZES[0] <= self.size <= _SIZES[1]:
            raise ValueError(
                f"size {self.size} is not possible: give {_SIZES[0]} to {_SIZES[1]}"
            )
        end = math.inf if self.end is None else self.end
        if not (0 <= self.start < math.inf and end >= self.start + 1):
            raise ValueError(
                f"start {self.start} and end {self.end} leave less than 1 s: give "
                "seconds with start at least 0 and end at least 1 s after it"
            )
        if self.face < 0:
            raise ValueError(f"face {self.face} is not possible: count from 0")


def _quiet(_stage: str, _fraction: float) -> None:
    """Report to nobody."""


def preprocess(
    video: Path,
    out: Path,
    config: PreprocessConfig | None = None,
    progress: Callable[[str, float], None] = _quiet,
) -> None:
    """Write the subject folder ``out`` from ``video``.

    Args:
        video: A video of one person talking.
        out: The folder to write; ``report.html`` in it says how good the video is.
        config: Settings.
        progress: Receives the stage and its finished part, 0 to 1.

    Raises:
        FileNotFoundError: There is no such video, or the face networks are absent.
        ValueError: The video cannot be used; the message says why.
        OSError: The folder cannot be written, or too little disk space is left.
    """
    config = config or PreprocessConfig()
    info = check_video(video, start=config.start, end=config.end, silent=config.silent)
    digest = file_sha256(video)
    check_folder(out, digest, begun=_CACHE)
    check_disk(out, frames=FPS * _asked(config, info), size=config.size)
    nets = FaceNets(model_files(config.models_dir, offline=config.offline))
    with clean_folder(out):
        _write_subject(video, out, config, info, nets, digest, progress)


def _write_subject(
    video: Path,
    out: Path,
    config: PreprocessConfig,
    info: VideoInfo,
    nets: FaceNets,
    digest: str,
    progress: Callable[[str, float], None],
) -> None:
    recording = _first_pass(video, out, config, info, nets, digest, progress)
    span = choose_span(recording, config.face)
    progress("camera", 0.0)
    shape = load_face_shape()
    fit = PoseConfig()
    track = solve_track(span.landmarks, (info.width, info.height), shape, fit)
    track = steady_track(track, span.landmarks, shape, fit)
    crop = choose_crop(track, config.size)
    progress("camera", 1.0)
    with SubjectWriter(
        out, size=config.size, source_name=video.name, source_sha256=digest
    ) as writer:
        frame = (info.width, info.height)
        view = torso_view(track, crop, span.landmarks, frame)
        watch = TorsoWatch(view, nets)
        tools = (nets, writer, watch)
        examples = _second_pass(video, config, span, crop, tools, progress)
        torso = torso_motions(watch.finish(), view, track)
        track = _sharpened(out, track, crop, span, shape, progress)
        hearing = _sound(video, out, config, span, writer)
        progress("sound", 1.0)
        arrays = _arrays(span, track, crop, shape, torso)
        error = landmark_error(span.landmarks, span.valid, track, shape)
        report = _report(info, config, recording, span, crop, hearing)
        report["start_seconds"] = config.start + span.first / FPS
        report["numbers"] = _numbers(track, crop, info, error)
        report["identity"] = track.identity.tolist()
        page = html_page(
            video.name,
            report["verdict"],
            [Finding(**finding) for finding in report["findings"]],
            report["numbers"],
            examples,
            arrays["rotation"][:, :2],
        )
        with write_atomically(out / "report.html") as temporary:
            temporary.write_text(page, encoding="utf-8")
        writer.finish(arrays, report)


def _asked(config: PreprocessConfig, info: VideoInfo) -> float:
    """Return how many seconds of the video are to be read."""
    return min(info.seconds, config.end or info.seconds) - config.start


def _frames(video: Path, config: PreprocessConfig) -> Iterator[np.ndarray]:
    return read_frames(video, fps=FPS, start=config.start, end=config.end)


def _first_pass(
    video: Path,
    out: Path,
    config: PreprocessConfig,
    info: VideoInfo,
    nets: FaceNets,
    digest: str,
    progress: Callable[[str, float], None],
) -> Recording:
    key = f"{_CACHE_VERSION} {digest} {config.start} {config.end}"
    kept = load_recording(out / _CACHE, key)
    if kept is not None:
        return kept
    total = max(1.0, FPS * _asked(config, info))

    def counted() -> Iterator[UInt8[np.ndarray, "height width 3"]]:
        for index, image in enumerate(_frames(video, config)):
            yield image
            progress("landmarks", min(1.0, (index + 1) / total))

    recording = record(counted(), nets)
    save_recording(recording, out / _CACHE, key)
    return recording


def _second_pass(
    video: Path,
    config: PreprocessConfig,
    span: Span,
    crop: Crop,
    tools: tuple[FaceNets, SubjectWriter, TorsoWatch],
    progress: Callable[[str, float], None],
) -> list[UInt8[np.ndarray, "size size 3"]]:
    """Write crops, mattes and the plate; return some pictures for the report."""
    nets, writer, watch = tools
    count = span.last - span.first
    points = to_crop(span.landmarks, crop)
    train = train_length(count)
    plate = PlateMaker(train)
    waiting: list[np.ndarray] = []
    examples: list[np.ndarray] = []
    shown = set(np.linspace(0, count - 1, _EXAMPLES).astype(int).tolist())

    def masks() -> Iterator[Float[np.ndarray, "256 256"]]:
        for index, image in enumerate(_frames(video, config)):
            if index >= span.last:
                return
            if index >= span.first:
                waiting.append(cut_crop(image, crop))
                watch.add(image)
                yield coarse_mask(nets, image, crop)

    for index, mask in enumerate(calm_masks(masks())):
        picture = waiting.pop(0)
        matte = finish_matte(mask, picture, points[index])
        if index < train:
            plate.add(index, picture, matte)
        writer.add_frame(index, picture, matte)
        if index in shown:
            examples.append(_example(picture, matte, points[index]))
        progress("pictures", (index + 1) / count)
    writer.set_plate(plate.finish()[0])
    return examples


def _sharpened(
    out: Path,
    track: HeadTrack,
    crop: Crop,
    span: Span,
    shape: FaceShape,
    progress: Callable[[str, float], None],
) -> HeadTrack:
    """Refine the poses by the written pictures."""
    count = len(span.landmarks)
    written = Subject(out, {}, {})

    points = to_crop(span.landmarks, crop)
    for turn in range(_REFINEMENTS):

        def load(index: int, turn: int = turn) -> tuple[np.ndarray, np.ndarray]:
            progress("poses", (turn + index / count) / _REFINEMENTS)
            return written.frame(index), written.matte(index)

        track = refine_track(track, crop, points, shape, load)
    progress("poses", 1.0)
    return refit_expression(calm_track(track), span.landmarks, shape, PoseConfig())


def _example(
    picture: UInt8[np.ndarray, "size size 3"],
    matte: UInt8[np.ndarray, "size size"],
    points: Float[np.ndarray, "478 2"],
) -> UInt8[np.ndarray, "size size 3"]:
    """Draw the landmarks on the person, and the background in grey."""
    share = matte[..., None] / 255
    shown = (picture * share + 127 * (1 - share)).astype(np.uint8)
    for x, y in (points * picture.shape[0] * 16).astype(int).tolist():
        cv2.circle(shown, (x, y), 10, (80, 255, 80), -1, cv2.LINE_AA, 4)
    return shown


def _sound(
    video: Path, out: Path, config: PreprocessConfig, span: Span, writer: SubjectWriter
) -> Hearing | None:
    """Write the sound of the used part; without a sound track, silence."""
    seconds = (span.last - span.first) / FPS
    start = config.start + span.first / FPS
    if not probe_video(video).has_sound:
        writer.set_audio(np.zeros(round(seconds * AUDIO_RATE), np.float32))
        return None
    wave = read_audio(video, start=start, end=start + seconds)
    hearing = hear(wave, span.landmarks, fix_sync=config.fix_sync)
    if hearing.corrected:
        start += hearing.offset.seconds
        wave = read_audio(video, start=start, end=start + seconds)
    writer.set_audio(np.clip(wave, -1.0, 1.0))
    copy_sound(video, out / "soundtrack.mka", start=start, end=start + seconds)
    return hearing


def _arrays(
    span: Span,
    track: HeadTrack,
    crop: Crop,
    shape: FaceShape,
    torso: Float[np.ndarray, "frames 4 4"],
) -> dict[str, np.ndarray]:
    blink = blinks(span.landmarks)
    camera = camera_labels(track, crop)
    return {
        "camera": camera,
        "landmarks": to_crop(span.landmarks, crop),
        "blink": blink,
        "gaze": gaze_angles(span.landmarks, track, shape, blink),
        "rotation": head_rotation(track),
        "expression": track.expression,
        "torso": head_travel(track, crop),
        "neck": neck_motions(camera, torso),
        "valid": span.valid,
        "crop": np.array([crop.x, crop.y, crop.side, crop.scale]),
    }


def _report(
    info: VideoInfo,
    config: PreprocessConfig,
    recording: Recording,
    span: Span,
    crop: Crop,
    hearing: Hearing | None,
) -> dict[str, Any]:
    findings = inspect_picture(recording, span, crop, info, _asked(config, info))
    findings += inspect_sound(hearing)
    findings += [Finding("reading", "note", note + ".") for note in info.notes]
    seconds = (span.last - span.first) / FPS
    return {
        "version": VERSION,
        "verdict": verdict(findings, seconds),
        "findings": [asdict(finding) for finding in findings],
        "span": [span.first, span.last],
        "cuts": list(span.cuts),
        "face": span.face,
        "faces": span.faces,
    }


def _numbers(
    track: HeadTrack,
    crop: Crop,
    info: VideoInfo,
    error: tuple[float, float],
) -> dict[str, Any]:
    labels = torch.from_numpy(camera_labels(track, crop))
    yaw, pitch = (np.degrees(angle.numpy()) for angle in yaw_pitch(labels))
    rms, varying = (part * crop.scale for part in error)
    return {
        "source": f"{info.width} x {info.height}, {info.rate:.2f} fps, {info.codec}",
        "crop_side": round(crop.side, 1),
        "focal": round(track.focal / crop.side, 3),
        "distance_cm": round(40 * float(np.median(track.translation[:, 2])), 1),
        "camera_yaw_degrees": [round(float(x), 1) for x in np.percentile(yaw, [1, 99])],
        "camera_pitch_degrees": [
            round(float(x), 1) for x in np.percentile(pitch, [1, 99])
        ],
        "landmark_rms_pixels": round(rms, 2),
        "landmark_rms_varying_pixels": round(varying, 2),
    }
