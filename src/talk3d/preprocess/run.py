"""Turn a video of one person into a subject folder."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float

from talk3d.camera import yaw_pitch
from talk3d.dataset import AUDIO_RATE, SubjectWriter
from talk3d.face import (
    FaceNets,
    FaceTracker,
    eye_openness,
    load_face_shape,
    model_files,
)
from talk3d.preprocess.crop import camera_labels, choose_crop, cut_crop, to_crop
from talk3d.preprocess.matte import PlateMaker, person_matte
from talk3d.preprocess.pose import HeadTrack, model_points, project_points, solve_track
from talk3d.video import probe_video, read_audio, read_frames

__all__ = ["PreprocessConfig", "preprocess"]

FPS = 25.0


@dataclass(frozen=True)
class PreprocessConfig:
    """Settings of preprocessing."""

    size: int = 256
    """Pixels per side of the crop."""
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


def preprocess(
    video: Path,
    out: Path,
    config: PreprocessConfig | None = None,
    progress: Callable[[str, float], None] = lambda stage, fraction: None,
) -> None:
    """Write the subject folder ``out`` from ``video``."""
    config = config or PreprocessConfig()
    info = probe_video(video)
    nets = FaceNets(model_files(config.models_dir, offline=config.offline))
    shape = load_face_shape()
    total = max(1, round(info.seconds * FPS))
    tracker = FaceTracker(nets)
    found: list[np.ndarray] = []
    for index, image in enumerate(
        read_frames(video, start=config.start, end=config.end)
    ):
        points = tracker.update(image)
        found.append(
            np.full((478, 2), np.nan, np.float32) if points is None else points
        )
        progress("landmarks", min(1.0, (index + 1) / total))
    landmarks = np.stack(found)
    valid = np.isfinite(landmarks[:, 0, 0])
    landmarks = fill_gaps(landmarks)
    track = solve_track(landmarks, (info.width, info.height), shape)
    crop = choose_crop(track, config.size)
    digest = hashlib.sha256(video.read_bytes()).hexdigest()
    plate = PlateMaker(len(landmarks), config.size)
    with SubjectWriter(
        out, size=config.size, source_name=video.name, source_sha256=digest
    ) as writer:
        in_crop = to_crop(landmarks, crop)
        for index, image in enumerate(
            read_frames(video, start=config.start, end=config.end)
        ):
            picture = cut_crop(image, crop)
            nose = in_crop[index, 1] * config.size
            matte = person_matte(nets, picture, (float(nose[0]), float(nose[1])))
            plate.add(index, picture, matte)
            writer.add_frame(index, picture, matte)
            progress("pictures", (index + 1) / len(landmarks))
        writer.set_plate(plate.finish()[0])
        writer.set_audio(sound(video, len(landmarks) / FPS))
        labels = camera_labels(track, crop)
        projected = project_points(
            model_points(shape, track.identity, track.expression), track
        )
        rms = np.sqrt(((projected - landmarks) ** 2).sum(-1).mean()) * crop.scale
        arrays = {
            "camera": labels,
            "landmarks": in_crop,
            "blink": blink(landmarks),
            "gaze": np.zeros((len(labels), 4)),
            "rotation": head_rotation(track),
            "expression": track.expression,
            "torso": torso(track),
            "valid": valid,
            "crop": np.array([crop.x, crop.y, crop.side, crop.scale]),
        }
        writer.finish(arrays, {"reprojection_rms": float(rms), "version": 0})


def fill_gaps(
    landmarks: Float[np.ndarray, "frames 478 2"],
) -> Float[np.ndarray, "frames 478 2"]:
    """Interpolate frames without a face from their neighbours."""
    good = np.nonzero(np.isfinite(landmarks[:, 0, 0]))[0]
    if not len(good):
        raise ValueError("no face was found in the video: show one face to the camera")
    flat = landmarks.reshape(len(landmarks), -1)
    index = np.arange(len(landmarks))
    filled = [np.interp(index, good, flat[good, k]) for k in range(flat.shape[1])]
    return np.stack(filled, -1).reshape(landmarks.shape).astype(np.float32)


def sound(video: Path, seconds: float) -> Float[np.ndarray, " samples"]:
    """Return the sound, silence where there is none."""
    count = round(seconds * AUDIO_RATE)
    try:
        wave = read_audio(video)[:count]
    except ValueError:
        wave = np.zeros(0, np.float32)
    return np.pad(wave, (0, count - len(wave)))


def blink(
    landmarks: Float[np.ndarray, "frames 478 2"],
) -> Float[np.ndarray, "frames 2"]:
    """Return 0 open .. 1 shut for the left and right eye."""
    open_ = eye_openness(landmarks)
    wide = np.percentile(open_, 80, axis=0)
    return np.clip(1 - (open_ - 0.25 * wide) / (0.75 * wide), 0, 1)


def head_rotation(track: HeadTrack) -> Float[np.ndarray, "frames 3"]:
    """Return yaw, pitch, roll of the head relative to the mean, radians."""
    import torch

    labels = camera_labels(track, choose_crop(track, 64))
    yaw, pitch = yaw_pitch(torch.from_numpy(labels))
    roll = np.arctan2(track.rotation[:, 1, 0], track.rotation[:, 0, 0])
    angles = np.stack([-yaw.numpy(), -pitch.numpy(), roll], -1)
    return angles - angles.mean(0)


def torso(track: HeadTrack) -> Float[np.ndarray, "frames 3"]:
    """Return where the head is in the crop: column, row, log scale, about the mean."""
    side = track.focal * 0.633 / track.translation[:, 2].mean()
    where = track.translation[:, :2] / track.translation[:, 2:] * track.focal / side
    scale = -np.log(track.translation[:, 2])
    value = np.concatenate([where, scale[:, None]], -1)
    return value - value.mean(0)
