"""Moving pictures: any video in as upright RGB at a constant rate, H.264 out.

Frame ``n`` covers ``[n / fps, (n + 1) / fps)`` seconds and shows what the source showed
in the middle of that time. Pictures are RGB uint8, sRGB, square pixels. Sound is
float32 in [-1, 1], mono; it is placed by its time stamps against the first picture.
"""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain
from pathlib import Path

import av
import av.filter
import cv2
import numpy as np
from av import error as av_error
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.error import FFmpegError
from av.stream import Disposition
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from jaxtyping import Float, UInt8

__all__ = ["VideoInfo", "copy_sound", "probe_video", "read_audio", "read_frames"]

_PICTURE_FORMATS = ("image2", "png_pipe", "jpeg_pipe", "gif", "webp_pipe", "bmp_pipe")
_MIN_SECONDS, _MIN_SIDE = 1.0, 64
_BT601, _BT709, _BT2020 = 5, 1, 9
_PQ, _HLG = 16, 18
_GAP = 0.03
"""Seconds without sound that are filled with silence; less is rounding."""
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
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist: give the path of a video file")
    if path.stat().st_size == 0:
        raise ValueError(f"{path} is empty (0 bytes): give a video file")
    try:
        container = av.open(str(path))
    except (FFmpegError, UnicodeDecodeError) as error:
        raise ValueError(
            f"{path} is not a video that can be read ({_reason(error)}): give an MP4, "
            "MOV, WebM, MKV, AVI or MPEG file"
        ) from error
    with container:
        yield container


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)


def _moving(container: InputContainer) -> list[VideoStream]:
    """Return the picture streams that are not cover art."""
    streams = container.streams.video
    return [s for s in streams if not s.disposition & Disposition.attached_pic]


def _video_stream(container: InputContainer, path: Path) -> VideoStream:
    pictures = _moving(container)
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
        picture = _Converter(stream)(first)
        height, width = picture.shape[:2]
        seconds = (container.duration or 0) / av.time_base
        if stream.duration is not None and stream.time_base is not None:
            seconds = float(stream.duration * stream.time_base)
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


def _first_frame(
    container: InputContainer, stream: VideoStream, path: Path
) -> VideoFrame:
    try:
        return next(container.decode(stream))
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
    if frame.color_trc in (_PQ, _HLG):
        notes.append("high dynamic range mapped to standard")
    aspect = stream.sample_aspect_ratio
    if aspect and aspect != 1:
        notes.append(f"pixels of aspect {aspect} made square")
    return tuple(notes)


def read_frames(
    path: Path, *, fps: float = 25.0, start: float = 0.0, end: float | None = None
) -> Iterator[UInt8[np.ndarray, "height width 3"]]:
    """Yield the pictures at a constant rate, one at a time.

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
        convert = _Converter(stream)
        origin: float | None = None
        shown: UInt8[np.ndarray, "height width 3"] | None = None
        count = 0
        limit = np.inf if end is None else end
        held: VideoFrame | None = None
        for frame, time in _timed_frames(container, stream):
            origin = time if origin is None else origin
            due = time - origin - start
            while held is not None and (count + 0.5) / fps + _TIE < due:
                if start + (count + 0.5) / fps > limit:
                    return
                shown = convert(held) if shown is None else shown
                yield shown
                count += 1
            held, shown = frame, None
            last = time - origin + _duration(frame, stream)
        while held is not None and (count + 0.5) / fps <= min(last, limit) - start:
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
    """Yield decoded, deinterlaced frames with rising times; stop where data ends."""
    graph: av.filter.Graph | None = None
    latest = -np.inf
    for frame in chain(_decoded(container, stream), [None]):
        if graph is None and frame is not None and frame.interlaced_frame:
            graph = _deinterlacer(stream, frame)
        if graph is not None:
            graph.push(frame)
            ready = _pulled(graph)
        else:
            ready = [] if frame is None else [frame]
        for item in ready:
            if item.time is not None and item.time > latest:
                latest = item.time
                yield item, item.time


def _decoded(container: InputContainer, stream: VideoStream) -> Iterator[VideoFrame]:
    """Decode to the end, or to the first damage after a good start."""
    good = 0
    try:
        for frame in container.decode(stream):
            good += 1
            yield frame
    except FFmpegError:
        if not good:
            raise


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


class _Converter:
    """Turns decoded frames into upright sRGB arrays with square pixels."""

    def __init__(self, stream: VideoStream) -> None:
        self._aspect = stream.sample_aspect_ratio or Fraction(1)

    def __call__(self, frame: VideoFrame) -> UInt8[np.ndarray, "height width 3"]:
        if frame.color_trc in (_PQ, _HLG):
            picture = _standard_range(frame)
        else:
            space = int(frame.colorspace)
            if space not in (_BT601, 6, 4, 7, _BT709, _BT2020):
                space = _BT709 if frame.height >= 720 else _BT601
            picture = frame.to_ndarray(format="rgb24", src_colorspace=space)
        if self._aspect != 1 and self._aspect > 0:
            width = round(picture.shape[1] * self._aspect)
            picture = cv2.resize(picture, (width, picture.shape[0]))
        turns = round(frame.rotation / 90) % 4
        return np.ascontiguousarray(np.rot90(picture, turns)) if turns else picture


def _standard_range(frame: VideoFrame) -> UInt8[np.ndarray, "height width 3"]:
    """Map an HDR picture (PQ or HLG, BT.2020) to sRGB."""
    wide = frame.to_ndarray(format="rgb48le", src_colorspace=_BT2020)
    code = np.linspace(0, 1, 4096, dtype=np.float32)
    light = (_pq_light if frame.color_trc == _PQ else _hlg_light)(code)
    linear = light[np.right_shift(wide.astype(np.uint16), 4)]
    # BT.2020 to BT.709 primaries (ITU-R BT.2087).
    matrix = np.array(
        [
            [1.6605, -0.5876, -0.0728],
            [-0.1246, 1.1329, -0.0083],
            [-0.0182, -0.1006, 1.1187],
        ],
        dtype=np.float32,
    )  # fmt: skip
    linear = np.clip(linear @ matrix.T, 0, None)
    # Extended Reinhard: keeps mid tones, brings highlights of 10x white below 1.
    mapped = linear * (1 + linear / 100) / (1 + linear) * 1.5
    curve = 1.055 * mapped ** (1 / 2.4) - 0.055
    coded = np.where(mapped <= 0.0031308, 12.92 * mapped, curve)
    return (np.clip(coded, 0, 1) * 255 + 0.5).astype(np.uint8)


def _pq_light(code: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """SMPTE ST 2084: code value to light, 1 = 203 cd/m2 (BT.2408 graphics white)."""
    power = code ** (1 / 78.84375)
    ratio = np.clip(power - 0.8359375, 0, None) / (18.8515625 - 18.6875 * power)
    return (ratio ** (1 / 0.1593017578125) * 10000 / 203).astype(np.float32)


def _hlg_light(code: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """ARIB STD-B67: code value to light, 1 = the light of code value 0.75."""
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    scene = np.where(code <= 0.5, code**2 / 3, (np.exp((code - c) / a) + b) / 12)
    return (scene / 0.26496256).astype(np.float32) ** 1.2


def read_audio(
    path: Path, *, rate: int = 16_000, start: float = 0.0, end: float | None = None
) -> Float[np.ndarray, " samples"]:
    """Read the sound as mono, time 0 being the first picture (if there are pictures).

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It has no sound, or the sound cannot be decoded.
    """
    origin = _picture_start(path)
    with _open(path) as container:
        stream = _sound_stream(container, path)
        resampler = av.AudioResampler(format="fltp", rate=rate)
        pieces: list[np.ndarray] = []
        first, reached = 0.0, None
        try:
            for frame in container.decode(stream):
                time = reached if frame.time is None else frame.time
                if reached is None:
                    first = reached = time or 0.0
                elif time is not None and time - reached > _GAP:
                    pieces.append(np.zeros(round((time - reached) * rate), np.float32))
                    reached = time
                reached += frame.samples / frame.sample_rate
                frame.pts = None
                pieces += [f.to_ndarray().mean(0) for f in resampler.resample(frame)]
        except FFmpegError as error:
            if not pieces:
                raise ValueError(
                    f"the sound of {path} cannot be decoded ({_reason(error)})"
                ) from error
        pieces += [f.to_ndarray().mean(0) for f in resampler.resample(None)]
    wave = np.concatenate(pieces) if pieces else np.zeros(0, np.float32)
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
        for stream in _moving(container):
            with contextlib.suppress(FFmpegError, StopIteration):
                return next(container.decode(stream)).time or 0.0
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
    with _open(path) as source, av.open(str(out), "w", format="matroska") as target:
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
