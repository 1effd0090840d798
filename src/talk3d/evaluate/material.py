"""Open what is to be judged: the reference (subject or video) and result videos.

Out: frames by number (uint8 sRGB, all of the truth's size), the truth's matte, and the
sound, all over the same moments: frame k of every clip shows the same time. Videos are
decoded once into a file in a scratch folder and read from there, so memory does not
grow with their length.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
from jaxtyping import Float, UInt8

from talk3d.colour import scaled
from talk3d.dataset import AUDIO_RATE, Subject
from talk3d.evaluate.align import Place
from talk3d.video import read_audio, read_frames

__all__ = [
    "Clip",
    "Shots",
    "Truth",
    "changes",
    "decode",
    "encode",
    "heard",
    "open_truth",
    "placed",
    "sound_of",
    "thumbnails",
]

Frame = UInt8[np.ndarray, "height width 3"]
Matte = UInt8[np.ndarray, "height width"]
Wave = Float[np.ndarray, " samples"]

Shots = Callable[[int], np.ndarray]
"""Frame k of the judged moments, uint8 sRGB."""

_ASPECT_TOLERANCE = 0.02
_RATE_TOLERANCE = 0.005
_BT709 = 1


@dataclass(frozen=True)
class Truth:
    """The reference over the judged moments."""

    name: str
    """For tables and headings."""
    frame: Shots
    """The recorded frames."""
    count: int
    """How many."""
    size: tuple[int, int]
    """Width and height in pixels."""
    fps: float
    """Frames per second."""
    first: int = 0
    """The frame of the whole recording that is judged first."""
    total: int = 0
    """Frames of the whole recording."""
    wave: Wave | None = None
    """The sound of the judged moments, 16 kHz; None without sound."""
    matte: Callable[[int], Matte] | None = None
    """255 is the person; None when unknown."""
    subject: Subject | None = None
    """The subject folder, when the reference is one."""
    rate: float | None = None
    """A video's own mean frames per second, before it was read at `fps`."""

    def part(self, moments: range) -> Truth:
        """Return the truth of some consecutive moments only."""
        start = moments.start
        matte, wave = self.matte, self.wave
        if wave is not None:
            edges = (start / self.fps, moments.stop / self.fps)
            wave = wave[slice(*(round(edge * AUDIO_RATE) for edge in edges))]
        return replace(
            self,
            frame=lambda k: self.frame(k + start),
            matte=None if matte is None else lambda k: matte(k + start),
            count=len(moments),
            first=self.first + start,
            wave=wave,
        )

    @property
    def stored_landmarks(self) -> Float[np.ndarray, "frames 478 2"] | None:
        """The subject's own landmarks of the judged frames, [0, 1]."""
        if self.subject is None:
            return None
        track = self.subject.arrays["landmarks"][self.first : self.first + self.count]
        valid = self.subject.arrays["valid"][self.first : self.first + self.count] > 0
        return np.where(valid[:, None, None], track, np.nan).astype(np.float32)


@dataclass(frozen=True)
class Clip:
    """A decoded result video, not yet placed in time."""

    name: str
    """Its file name."""
    raw: Path
    """Its frames at the truth's rate, one after the other, uncompressed."""
    shape: tuple[int, int, int]
    """Frames, height and width."""
    wave: Wave | None
    """Its sound, 16 kHz; None without sound."""
    rate: float
    """Its own mean frames per second, before it was read at the truth's."""

    def frame(self, k: int) -> Frame:
        """Read a frame (a mapped file would stay in memory as it is read)."""
        count, height, width = self.shape
        if not 0 <= k < count:
            raise IndexError(
                f"{self.name} has {count} frames; frame {k} was asked for."
            )
        size = height * width * 3
        values = np.fromfile(self.raw, np.uint8, size, offset=k * size)
        return values.reshape(height, width, 3)


def open_truth(path: Path, scratch: Path, *, part: str = "test") -> Truth:
    """Open a subject folder or a reference video.

    Args:
        path: The folder or file.
        scratch: Folder for decoded frames.
        part: `test`, `train` or `all` of a subject; a video is always judged whole.

    Raises:
        ValueError: The subject has no frames in this part.
    """
    if not path.is_dir():
        clip = decode(path, scratch / "reference.rgb", fps=25.0)
        count, height, width = clip.shape
        return Truth(
            name=path.name,
            frame=clip.frame,
            count=count,
            size=(width, height),
            fps=25.0,
            total=count,
            wave=clip.wave,
            rate=clip.rate,
        )
    subject = Subject.open(path)
    parts = {"test": subject.test, "train": subject.train, "all": range(subject.frames)}
    if part not in parts or len(parts[part]) == 0:
        raise ValueError(
            f"The subject {path} has no frames in part {part!r}: choose one of "
            f"{', '.join(name for name, frames in parts.items() if len(frames))}."
        )
    frames = parts[part]
    start, stop = (
        round(edge / subject.fps * AUDIO_RATE) for edge in (frames.start, frames.stop)
    )
    wave = subject.audio()[start:stop]
    return Truth(
        name=path.name,
        frame=lambda k: subject.frame(frames[k]),
        count=len(frames),
        size=(subject.size, subject.size),
        fps=subject.fps,
        first=frames.start,
        total=subject.frames,
        wave=wave if np.abs(wave).max(initial=0.0) > 0 else None,
        matte=lambda k: subject.matte(frames[k]),
        subject=subject,
    )


def decode(path: Path, scratch: Path, *, fps: float) -> Clip:
    """Decode a video at a constant rate into one raw file.

    Raises:
        FileNotFoundError: There is no such video.
        ValueError: It cannot be read.
        OSError: The scratch folder has too little space for it.
    """
    shape: tuple[int, ...] | None = None
    count = 0
    with scratch.open("wb") as raw:
        for frame in read_frames(path, fps=fps):
            if shape is None:
                _check_space(path, scratch.parent, fps * frame.nbytes)
                shape = frame.shape
            raw.write(frame.tobytes())
            count += 1
    if shape is None:
        raise ValueError(
            f"{path} holds no picture that can be decoded; export it again."
        )
    height, width, _ = shape
    with av.open(str(path.absolute())) as container:
        rate = float(container.streams.video[0].average_rate or fps)
    return Clip(path.name, scratch, (count, height, width), sound_of(path), rate)


def _check_space(path: Path, folder: Path, rate: float) -> None:
    """Refuse to begin what would fill the disk, at so many bytes per second."""
    with av.open(str(path.absolute())) as container:
        need = rate * (container.duration or 0) / av.time_base
    free = shutil.disk_usage(folder).free
    if free < need:
        raise OSError(
            f"{folder} has {free / 1e9:.2f} GB left and the pictures of {path.name} "
            f"take {need / 1e9:.2f} GB: free some space, or name another folder for "
            "temporary files by the variable TMPDIR"
        )


def changes(clip: Clip, truth: Truth) -> list[str]:
    """Say what was done to make a result and its reference comparable."""
    found = []
    _, height, width = clip.shape
    if (width, height) != truth.size:
        found.append(
            f"The result is {width} x {height} pixels and was scaled to the "
            f"reference's {truth.size[0]} x {truth.size[1]}."
        )
    for name, rate in (("result", clip.rate), ("reference", truth.rate)):
        if rate is not None and abs(rate / truth.fps - 1) > _RATE_TOLERANCE:
            found.append(
                f"The {name} has {rate:.2f} frames a second and was read at "
                f"{truth.fps:.2f}: each moment shows the frame seen then."
            )
    return found


def encode(
    path: Path,
    shots: Shots,
    *,
    count: int,
    fps: float,
    crf: int,
    wave: Wave | None = None,
) -> None:
    """Write H.264 (4:2:0, BT.709; an odd last row or column is dropped), AAC sound."""
    with av.open(str(path.absolute()), "w") as container:
        rate = Fraction(fps).limit_denominator(1001)
        stream = container.add_stream("libx264", rate=rate, options={"crf": str(crf)})
        first = shots(0)
        stream.height, stream.width = (side // 2 * 2 for side in first.shape[:2])
        stream.pix_fmt = "yuv420p"
        context = stream.codec_context
        context.colorspace = context.color_primaries = context.color_trc = _BT709
        voice = None
        if wave is not None:
            voice = container.add_stream("aac", rate=AUDIO_RATE, layout="mono")
        for k in range(count):
            even = shots(k)[: stream.height, : stream.width]
            picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(even))
            picture = picture.reformat(format="yuv420p", dst_colorspace="ITU709")
            container.mux(stream.encode(picture))
        container.mux(stream.encode())
        if voice is not None and wave is not None:
            sound = av.AudioFrame.from_ndarray(
                wave[None].astype(np.float32), format="fltp", layout="mono"
            )
            sound.sample_rate = AUDIO_RATE
            sound.pts = 0
            container.mux(voice.encode(sound))
            container.mux(voice.encode())


def sound_of(path: Path) -> Wave | None:
    """Read a video's sound as 16 kHz mono; None when it has none."""
    try:
        wave = read_audio(path, rate=AUDIO_RATE)
    except ValueError:
        return None
    return wave if np.abs(wave).max(initial=0.0) > 0 else None


def placed(clip: Clip, place: Place, truth: Truth) -> Shots:
    """Return the clip's frame at each judged moment, in the truth's size.

    Raises:
        ValueError: The clip has another aspect than the truth.
    """
    _, height, width = clip.shape
    wanted = truth.size[0] / truth.size[1]
    if abs(width / height / wanted - 1) > _ASPECT_TOLERANCE:
        raise ValueError(
            f"{clip.name} is {width} x {height} pixels but the reference "
            f"{truth.name} is {truth.size[0]} x {truth.size[1]}: render the result "
            "with the same crop (any size of the same shape is accepted)."
        )

    def frame(k: int) -> np.ndarray:
        return scaled(clip.frame(place.frame(k)), truth.size)

    return frame


def heard(clip: Clip, place: Place, moments: range, *, fps: float) -> Wave | None:
    """Return the clip's own sound of some judged moments, silent beyond its ends.

    Args:
        clip: The result.
        place: Where the judged part lies in it.
        moments: Consecutive judged moments.
        fps: Frames per second of the clip.
    """
    if clip.wave is None:
        return None
    first = round((place.start + moments.start) / fps * AUDIO_RATE)
    length = round(len(moments) / fps * AUDIO_RATE)
    return np.pad(clip.wave, (max(-first, 0), length))[max(first, 0) :][:length]


def thumbnails(frames: Iterator[np.ndarray], side: int) -> Float[np.ndarray, "n s s"]:
    """Shrink frames to small grey squares, for comparing in time."""
    small = [
        cv2.cvtColor(
            cv2.resize(frame, (side, side), interpolation=cv2.INTER_AREA),
            cv2.COLOR_RGB2GRAY,
        )
        for frame in frames
    ]
    return np.asarray(small, np.float32) / 255
