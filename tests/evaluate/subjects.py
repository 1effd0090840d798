"""Made-up subjects and videos for the tests: a drawn face that talks and moves."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np

from talk3d.dataset import SubjectWriter
from talk3d.evaluate.regions import LIPS_INNER, LIPS_OUTER
from talk3d.face import LEFT_EYE, RIGHT_EYE

SIZE, FPS, RATE = 96, 25.0, 16_000


def openings(frames: int, seed: int = 0) -> np.ndarray:
    """How far the mouth is open in each frame, 0 to 1."""
    noise = np.random.default_rng(seed).standard_normal(frames + 8)
    smooth = np.convolve(noise, np.hanning(9), "valid")
    return np.clip(0.5 + 0.4 * smooth / smooth.std(), 0, 1)


def places(frames: int) -> np.ndarray:
    """Centre of the head in each frame, pixels."""
    time = np.arange(frames)
    across = SIZE / 2 + 3 * np.sin(time / 7)
    return np.stack([across, np.full(frames, SIZE / 2)], -1)


def landmarks(opening: np.ndarray, place: np.ndarray) -> np.ndarray:
    """Landmarks of the drawn faces, [0, 1]."""
    count = len(opening)
    rng = np.random.default_rng(5)
    points = np.tile(rng.uniform(-20, 20, (478, 2)), (count, 1, 1))
    for eye, side in ((RIGHT_EYE, -1), (LEFT_EYE, 1)):
        angle = np.linspace(0, 2 * np.pi, 16, endpoint=False)
        ring = np.stack([6 * np.cos(angle), 3 * np.sin(angle)], -1)
        points[:, list(eye)] = ring + np.array([side * 14, -8])
        points[:, eye[0]], points[:, eye[8]] = (side * 20, -8), (side * 8, -8)
    angle = np.linspace(np.pi, -np.pi, 20, endpoint=False)
    for contour, extra in ((LIPS_OUTER, 3.0), (LIPS_INNER, 0.0)):
        width = 10 + extra
        height = (1 + 6 * opening + extra)[:, None]
        across = np.tile(width * np.cos(angle), (count, 1))
        points[:, list(contour)] = np.stack([across, 18 + height * np.sin(angle)], -1)
    return ((points + place[:, None]) / SIZE).astype(np.float32)


def draw(opening: np.ndarray, place: np.ndarray, seed: int = 3) -> np.ndarray:
    """Draw the faces: skin with grain on a striped wall, eyes, an open mouth."""
    grain = np.random.default_rng(seed).normal(0, 12, (SIZE, SIZE, 3))
    wall = np.zeros((SIZE, SIZE, 3), np.uint8)
    wall[:, ::8], wall[:, 1::8] = (60, 120, 60), (60, 120, 60)
    frames = []
    for wide, centre in zip(opening, place, strict=True):
        picture = wall.copy()
        x, y = (round(value) for value in centre)
        cv2.ellipse(picture, (x, y), (30, 40), 0, 0, 360, (200, 150, 120), -1)
        moved = np.roll(grain, (y - SIZE // 2, x - SIZE // 2), (0, 1))
        skin = picture[..., 0] == 200
        picture[skin] = np.clip(picture[skin] + moved[skin], 0, 255).astype(np.uint8)
        for side in (-14, 14):
            cv2.ellipse(picture, (x + side, y - 8), (6, 3), 0, 0, 360, (240,) * 3, -1)
            cv2.circle(picture, (x + side, y - 8), 2, (20, 20, 20), -1)
        lips = (13, round(4 + 6 * wide))
        cv2.ellipse(picture, (x, y + 18), lips, 0, 0, 360, (170, 70, 70), -1)
        gap = (10, round(1 + 6 * wide))
        cv2.ellipse(picture, (x, y + 18), gap, 0, 0, 360, (30, 10, 10), -1)
        camera = np.random.default_rng((seed, len(frames))).normal(0, 2, picture.shape)
        frames.append(np.clip(picture + camera, 0, 255).astype(np.uint8))
    return np.stack(frames)


def mattes(place: np.ndarray) -> np.ndarray:
    """Mattes of the drawn faces."""
    frames = []
    for centre in place:
        matte = np.zeros((SIZE, SIZE), np.uint8)
        middle = (round(centre[0]), round(centre[1]))
        frames.append(cv2.ellipse(matte, middle, (30, 40), 0, 0, 360, 255, -1))
    return np.stack(frames)


def speech(opening: np.ndarray, seed: int = 0) -> np.ndarray:
    """Noise as loud as the mouth is open."""
    count = round(len(opening) / FPS * RATE)
    times = (np.arange(len(opening)) + 0.5) / FPS
    loud = np.interp(np.arange(count) / RATE, times, opening)
    noise = np.random.default_rng(seed).standard_normal(count)
    return (0.1 * noise * loud).astype(np.float32)


def write_subject(path: Path, frames: int = 120) -> Path:
    """Write a subject folder of the drawn talker."""
    opening, place = openings(frames), places(frames)
    pictures, person = draw(opening, place), mattes(place)
    names = {"name": "drawn.mp4", "sha256": "0" * 64}
    with SubjectWriter(
        path,
        size=SIZE,
        source_name=names["name"],
        source_sha256=names["sha256"],
        synthetic=True,
    ) as writer:
        for index in range(frames):
            writer.add_frame(index, pictures[index], person[index])
        writer.set_plate(pictures[0])
        writer.set_audio(speech(opening))
        zeros = {"camera": 25, "blink": 2, "gaze": 4, "rotation": 3, "torso": 3}
        arrays = {name: np.zeros((frames, width)) for name, width in zeros.items()}
        arrays |= {
            "landmarks": landmarks(opening, place),
            "expression": np.zeros((frames, 53)),
            "neck": np.tile(np.eye(4), (frames, 1, 1)),
            "valid": np.ones(frames),
            "crop": np.array([0, 0, SIZE, 1.0]),
        }
        writer.finish(arrays, {})
    return path


def write_video(
    path: Path, pictures: np.ndarray, wave: np.ndarray | None, *, fps: int = 25
) -> Path:
    """Write a nearly lossless video, with sound if given."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(
            "libx264", rate=Fraction(fps), options={"crf": "1", "preset": "ultrafast"}
        )
        stream.height, stream.width = pictures.shape[1:3]
        stream.pix_fmt = "yuv444p"
        sound = None
        if wave is not None:
            sound = container.add_stream("pcm_s16le", rate=RATE, layout="mono")
        for picture in pictures:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture)))
        container.mux(stream.encode())
        if sound is not None and wave is not None:
            codes = (wave * 32767).astype(np.int16)[None]
            frame = av.AudioFrame.from_ndarray(codes, format="s16", layout="mono")
            frame.sample_rate = RATE
            container.mux(sound.encode(frame))
            container.mux(sound.encode())
    return path
