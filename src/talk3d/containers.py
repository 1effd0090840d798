"""What all readers of media containers share: which pictures count, how sound is read.

Damaged packets are left out. Sound is float32, one row per channel, and keeps its
place: where none can be decoded there is silence. Times are seconds of the container.
"""

import logging
from collections.abc import Iterator
from itertools import chain, groupby
from typing import Any

import av
import numpy as np
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.error import FFmpegError
from av.stream import Disposition
from av.video.stream import VideoStream
from jaxtyping import Float

__all__ = ["decoded", "mono", "moving_pictures", "pictures_start", "sound_pieces"]

_log = logging.getLogger(__name__)

_GAP = 0.03
"""Seconds without sound that are filled with silence; less is rounding."""
_HOLE = 0.002
"""Likewise where a packet gave no sound: time stamps are rounded to milliseconds."""
_LOST = 0.4
"""Part of the loudest channel's energy below which a mean has lost the sound."""


def moving_pictures(container: InputContainer) -> list[VideoStream]:
    """Return the picture streams that are not cover art."""
    streams = container.streams.video
    return [s for s in streams if not s.disposition & Disposition.attached_pic]


def pictures_start(container: InputContainer) -> float | None:
    """Return when the first picture is shown, seconds; none without pictures."""
    for stream in moving_pictures(container):
        return float((stream.start_time or 0) * (stream.time_base or 0))
    return None


def mono(channels: Float[np.ndarray, "channels samples"]) -> Float[np.ndarray, " n"]:
    """Return the mean channel, or the loudest where the mean loses most of it.

    That happens when one channel is silent, or two are in opposite phase.
    """
    mean = channels.mean(axis=0)
    energies = [float(np.vdot(channel, channel)) for channel in channels]
    if np.vdot(mean, mean) < _LOST * max(energies):
        return channels[int(np.argmax(energies))]
    return mean


def decoded(
    container: InputContainer, stream: AudioStream | VideoStream
) -> Iterator[list[Any]]:
    """Yield the frames of each packet: none if it is damaged or more are awaited.

    Args:
        container: an open file.
        stream: one of its tracks.

    Raises:
        FFmpegError: no packet could be decoded.
    """
    packets = container.demux(stream)
    what = "sound" if stream.type == "audio" else "pictures"
    good, damaged = False, 0
    failure: FFmpegError | None = None
    while True:
        frames: list[Any] = []
        try:
            packet = next(packets)
        except StopIteration:
            break
        except FFmpegError as error:
            failure = error
            if good:
                _log.warning(
                    "%s cannot be read to its end (%s): the rest of its %s is left out",
                    container.name,
                    error.strerror,
                    what,
                )
            break
        try:
            frames = packet.decode()
        except FFmpegError as error:
            failure = error
            damaged += 1
        good = good or bool(frames)
        yield frames
    if failure is not None and not good:
        raise failure
    if damaged:
        _log.warning(
            "%s: %d damaged packets of %s are left out",
            container.name,
            damaged,
            what,
        )


def sound_pieces(
    container: InputContainer,
    stream: AudioStream,
    *,
    rate: int,
    layout: str | None = None,
) -> Iterator[tuple[float, Float[np.ndarray, "channels samples"]]]:
    """Yield the sound piece by piece at a constant rate, without gaps.

    Args:
        container: an open file.
        stream: one of its sound tracks.
        rate: samples per second to deliver.
        layout: names the channels to deliver; those of the first packet if None.

    Yields:
        When the piece begins (seconds, by counting from the first) and its samples.

    Raises:
        FFmpegError: nothing could be decoded.
    """
    begin: float | None = None
    count = 0
    for (_, name, _), run in groupby(_gapless(container, stream), _kind):
        layout = layout or name
        resampler = av.AudioResampler(format="fltp", layout=layout, rate=rate)
        for frame in chain(run, [None]):
            if frame is not None:
                begin = (frame.time or 0.0) if begin is None else begin
                frame.pts = None
            for piece in resampler.resample(frame):
                assert begin is not None
                yield begin + count / rate, piece.to_ndarray()
                count += piece.samples


def _kind(frame: AudioFrame) -> tuple[str, str, int]:
    return frame.format.name, frame.layout.name, frame.sample_rate


def _gapless(container: InputContainer, stream: AudioStream) -> Iterator[AudioFrame]:
    """Decode a sound track and put silence where its time stamps leave a gap."""
    reached: float | None = None
    lost = False
    for frames in decoded(container, stream):
        lost = lost or not frames
        for frame in frames:
            time = frame.time
            reached = time or 0.0 if reached is None else reached
            if time is not None and time - reached > (_HOLE if lost else _GAP):
                yield from _silence(frame, time - reached)
                reached = time
            reached += frame.samples / frame.sample_rate
            lost = False
            yield frame


def _silence(like: AudioFrame, seconds: float) -> Iterator[AudioFrame]:
    """Yield silent frames of at most a second."""
    middle = b"\x80" if like.format.name.startswith("u8") else b"\0"
    missing = round(seconds * like.sample_rate)
    while missing > 0:
        count = min(missing, like.sample_rate)
        frame = av.AudioFrame(like.format.name, like.layout.name, count)
        frame.sample_rate = like.sample_rate
        for plane in frame.planes:
            plane.update(middle * plane.buffer_size)
        missing -= count
        yield frame
