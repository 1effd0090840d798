"""Moving pictures: any video in as upright RGB at a constant rate, H.264 out.

Frame ``n`` covers ``[n / fps, (n + 1) / fps)`` seconds and shows what the source showed
in the middle of that time. Pictures are RGB uint8, sRGB, square pixels. Sound is
float32 in [-1, 1], mono; it is placed by its time stamps against the first picture.
"""

import contextlib
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, groupby
from pathlib import Path

import av
import av.filter
import numpy as np
from av import error as av_error
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.error import FFmpegError
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from jaxtyping import Float, UInt8

from talk3d.colour import HLG, PQ, FrameConverter
from talk3d.containers import decoded, mono, moving_pictures, sound_pieces

__all__ = ["VideoInfo", "copy_sound", "probe_video", "read_audio", "read_frames"]

_log = logging.getLogger(__name__)

_PICTURE_FORMATS = ("image2", "png_pipe", "jpeg_pipe", "gif", "webp_pipe", "bmp_pipe")
_MIN_SECONDS, _MIN_SIDE = 1.0, 64
_TIE = 0.001
"""Seconds; a picture that begins in the very middle of a frame is shown in it."""


@dataclass(frozen=True)
class VideoInfo:
    """What a video file holds."""

    width: int
    """Pixels, upright and with square pixels."""
    height: int
    """Pixels, upright and with square pixels."""
    rate: float
    """Mean frames per second of the source."""
    seconds: float
    """Length of the picture track."""
    codec: str
    """Name of the picture codec."""
    has_sound: bool
    """Whether there is a sound track."""
    notes: tuple[str, ...]
    """What reading changes: rotation, interlacing, HDR, pixel aspect."""


@contextlib.contextmanager
def _open(path: Path) -> Iterator[InputContainer]:
    if path.is_dir():
        raise ValueError(f"{path} is a folder: give the path of a video file")
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist: give the path of a video file")
    if path.stat().st_size == 0:
        raise ValueError(f"{path} is empty (0 bytes): give a video file")
    try:
        container = av.open(str(path.absolute()))
    except (FFmpegError, UnicodeDecodeError) as error:
        raise ValueError(
            f"{path} is not a video that can be read ({_reason(error)}): give an MP4, "
            "MOV, WebM, MKV, AVI or MPEG file"
        ) from error
    with container:
        yield container


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)


def _video_stream(container: InputContainer, path: Path) -> VideoStream:
    pictures = moving_pictures(container)
    if not pictures:
        raise ValueError(
            f"{path} has no moving pictures (only sound): give a video of a face"
        )
    kind = container.format.name
    if kind.split(",")[0] in _PICTURE_FORMATS or pictures[0].frames == 1:
        raise ValueError(
            f"{path} is a single picture ({kind}): give a video of at least "
            f"{_MIN_SECONDS:g} s"
        )
    pictures[0].thread_type = "AUTO"
    return pictures[0]


def _sound_stream(container: InputContainer, path: Path) -> AudioStream:
    if not container.streams.audio:
        raise ValueError(f"{path} has no sound track: give a file with speech in it")
    return container.streams.audio[0]


def probe_video(path: Path) -> VideoInfo:
    """Describe a video.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is no video, or too short or too small to be of use.
    """
    with _open(path) as container:
        stream = _video_stream(container, path)
        first = _first_frame(container, stream, path)
        picture = FrameConverter(stream, first)(first)
        height, width = picture.shape[:2]
        if stream.duration is not None and stream.time_base is not None:
            seconds = float(stream.duration * stream.time_base)
        elif container.duration is not None:
            seconds = container.duration / av.time_base
        else:
            seconds = _measured(path)
        rate = float(stream.average_rate or stream.guessed_rate or 25)
        notes = _notes(stream, first)
        has_sound = bool(container.streams.audio)
    if min(width, height) < _MIN_SIDE:
        raise ValueError(
            f"{path} is {width} x {height} pixels: at least {_MIN_SIDE} a side are"
            " needed"
        )
    if seconds < _MIN_SECONDS:
        raise ValueError(
            f"{path} lasts {seconds:.2f} s: at least {_MIN_SECONDS:g} s are needed"
        )
    name = stream.codec_context.name
    return VideoInfo(width, height, rate, seconds, name, has_sound, notes)


def _measured(path: Path) -> float:
    """Return the seconds from the first to the end of the last picture.

    For files that do not say how long they are, as browsers record them; a damaged one
    counts to the damage.
    """
    times: list[float] = []
    ends: list[float] = []
    with _open(path) as container, contextlib.suppress(FFmpegError):
        for packet in container.demux(_video_stream(container, path)):
            if packet.pts is not None:
                times.append(float(packet.pts * packet.time_base))
                ends.append(
                    times[-1] + float((packet.duration or 0) * packet.time_base)
                )
    return max(ends) - min(times) if times else 0.0


def _first_frame(
    container: InputContainer, stream: VideoStream, path: Path
) -> VideoFrame:
    try:
        return next(_pictures(container, stream))
    except (StopIteration, FFmpegError) as error:
        raise ValueError(
            f"{path} holds no picture that can be decoded (damaged or cut off): record "
            "or export it again"
        ) from error


def _notes(stream: VideoStream, frame: VideoFrame) -> tuple[str, ...]:
    notes = []
    if frame.rotation:
        notes.append(f"turned upright by {frame.rotation % 360} degrees")
    if frame.interlaced_frame:
        notes.append("deinterlaced")
    if frame.color_trc in (PQ, HLG):
        notes.append("high dynamic range mapped to standard")
    aspect = stream.sample_aspect_ratio
    if aspect and aspect != 1:
        notes.append(f"pixels of aspect {aspect} made square")
    return tuple(notes)


def read_frames(
    path: Path, *, fps: float = 25.0, start: float = 0.0, end: float | None = None
) -> Iterator[UInt8[np.ndarray, "height width 3"]]:
    """Yield the pictures at a constant rate and of one size, one at a time.

    For a damaged picture the one before it stays.

    Args:
        path: The video.
        fps: Pictures per second to deliver.
        start: Seconds after the first picture to begin at.
        end: Seconds after the first picture to stop at; None for all.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is no video.
    """
    with _open(path) as container:
        stream = _video_stream(container, path)
        timed = _timed_frames(container, stream)
        first = next(timed, None)
        if first is None:
            return
        held, origin = first
        convert = FrameConverter(stream, held)
        last = _duration(held, stream)
        shown: UInt8[np.ndarray, "height width 3"] | None = None
        count = 0
        limit = np.inf if end is None else end
        for frame, time in timed:
            due = time - origin - start
            while (count + 0.5) / fps + _TIE < due:
                if start + (count + 0.5) / fps > limit:
                    return
                shown = convert(held) if shown is None else shown
                yield shown
                count += 1
            held, shown = frame, None
            last = time - origin + _duration(frame, stream)
        while (count + 0.5) / fps <= min(last, limit) - start:
            shown = convert(held) if shown is None else shown
            yield shown
            count += 1


def _duration(frame: VideoFrame, stream: VideoStream) -> float:
    if frame.duration and frame.time_base:
        return float(frame.duration * frame.time_base)
    return 1 / float(stream.average_rate or 25)


def _timed_frames(
    container: InputContainer, stream: VideoStream
) -> Iterator[tuple[VideoFrame, float]]:
    """Yield the frames that can be decoded, deinterlaced, with rising times."""
    latest = -np.inf
    for number, (size, run) in enumerate(groupby(_pictures(container, stream), _size)):
        if number:
            _log.warning(
                "%s changes its picture size to %d x %d", container.name, *size
            )
        for item in _even(stream, run):
            if item.time is not None and item.time > latest:
                latest = item.time
                yield item, item.time


def _size(frame: VideoFrame) -> tuple[int, int]:
    return frame.width, frame.height


def _even(stream: VideoStream, frames: Iterator[VideoFrame]) -> Iterator[VideoFrame]:
    """Deinterlace, from the first interlaced frame on, frames of one size."""
    graph: av.filter.Graph | None = None
    for frame in chain(frames, [None]):
        if graph is None and frame is not None and frame.interlaced_frame:
            graph = _deinterlacer(stream, frame)
        if graph is not None:
            graph.push(frame)
            yield from _pulled(graph)
        elif frame is not None:
            yield frame


def _pictures(container: InputContainer, stream: VideoStream) -> Iterator[VideoFrame]:
    return chain.from_iterable(decoded(container, stream))


def _deinterlacer(stream: VideoStream, frame: VideoFrame) -> av.filter.Graph:
    graph = av.filter.Graph()
    source = graph.add_buffer(
        template=stream,
        width=frame.width,
        height=frame.height,
        format=frame.format,
        time_base=frame.time_base,
    )
    yadif = graph.add("yadif", "mode=send_frame:deint=interlaced")
    sink = graph.add("buffersink")
    source.link_to(yadif)
    yadif.link_to(sink)
    graph.configure()
    return graph


def _pulled(graph: av.filter.Graph) -> list[VideoFrame]:
    frames = []
    with contextlib.suppress(av_error.BlockingIOError, av_error.EOFError):
        while True:
            item = graph.pull()
            assert isinstance(item, VideoFrame)
            frames.append(item)
    return frames


def read_audio(
    path: Path, *, rate: int = 16_000, start: float = 0.0, end: float | None = None
) -> Float[np.ndarray, " samples"]:
    """Read the sound as mono, time 0 being the first picture (if there are pictures).

    The channels are averaged, or the loudest is taken, by the rule of `mono`. Silence
    stands where there is none or where it is damaged.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It has no sound, or the sound cannot be decoded.
    """
    origin = _picture_start(path)
    with _open(path) as container:
        stream = _sound_stream(container, path)
        try:
            pieces = list(sound_pieces(container, stream, rate=rate))
        except FFmpegError as error:
            raise ValueError(
                f"the sound of {path} cannot be decoded ({_reason(error)})"
            ) from error
    first = pieces[0][0] if pieces else 0.0
    waves = [samples for _, samples in pieces]
    wave = mono(np.concatenate(waves, 1)) if waves else np.zeros(0, np.float32)
    lead = round((first - origin - start) * rate)
    wave = np.pad(wave, (lead, 0)) if lead > 0 else wave[-lead:]
    if end is not None:
        count = round((end - start) * rate)
        wave = np.pad(wave, (0, max(0, count - len(wave))))[:count]
    if not np.isfinite(wave).all():
        raise ValueError(f"the sound of {path} holds numbers that are not finite")
    return wave


def _picture_start(path: Path) -> float:
    with _open(path) as container:
        for stream in moving_pictures(container):
            with contextlib.suppress(FFmpegError, StopIteration):
                return next(_pictures(container, stream)).time or 0.0
    return 0.0


def copy_sound(path: Path, out: Path, *, start: float, end: float) -> None:
    """Copy a part of the sound as it is, without decoding, into a Matroska file.

    Args:
        path: A video with sound.
        out: The file to write, ``*.mka``.
        start: Seconds after the first picture to begin at (to a packet exactly).
        end: Seconds after the first picture to stop at.

    Raises:
        ValueError: There is no sound.
    """
    origin = _picture_start(path)
    with (
        _open(path) as source,
        av.open(str(out.absolute()), "w", format="matroska") as target,
    ):
        stream = _sound_stream(source, path)
        copy = target.add_stream_from_template(stream)
        for packet in source.demux(stream):
            if packet.pts is None or packet.dts is None:
                continue
            if start <= float(packet.pts * packet.time_base) - origin < end:
                shift = round((origin + start) / packet.time_base)
                packet.pts, packet.dts = packet.pts - shift, packet.dts - shift
                packet.stream = copy
                target.mux(packet)
