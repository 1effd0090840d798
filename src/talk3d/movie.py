"""Writes frames and sound as a movie.

Comes in: frames one by one and a sound file of any format. Goes out: an MP4 that plays
everywhere (H.264 with BT.709 colours), or a MOV with transparency for compositing
(ProRes 4444), with AAC sound at the source's rate, at most 48 kHz, starting together.
Memory does not grow with the length of the video; the file appears under its name when
it is whole.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain
from pathlib import Path

import av
import numpy as np
from av.container import OutputContainer
from av.video.stream import VideoStream
from jaxtyping import Float, UInt8

from talk3d.checkpoint import write_atomically
from talk3d.containers import pictures_start, sound_pieces

__all__ = ["write_alpha_movie", "write_movie"]

_OPTIONS = {"crf": "16", "preset": "medium"}
_ALPHA_OPTIONS = {"profile": "4444"}
_SOUND_BITS = 192_000
_RATES = (8_000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000)
"""Samples a second that AAC knows, up to what is of use."""
_BT709 = 1


def write_movie(
    path: Path,
    frames: Iterable[UInt8[np.ndarray, "height width 3"]],
    *,
    fps: float,
    sound: Path | None = None,
) -> None:
    """Write a movie.

    Args:
        path: destination, ``*.mp4``.
        frames: sRGB pictures, all of one even size.
        fps: frames per second.
        sound: file whose sound is laid under the pictures; none for silence.

    Raises:
        ValueError: if the name does not end in .mp4, or there are no frames.
        OSError: if the file cannot be written.
    """
    form = _Form(".mp4", "libx264", "rgb24", "yuv420p", _OPTIONS)
    _write(path, frames, form, fps=fps, sound=sound)


def write_alpha_movie(
    path: Path,
    frames: Iterable[UInt8[np.ndarray, "height width 4"]],
    *,
    fps: float,
    sound: Path | None = None,
) -> None:
    """Write a movie with transparency, ProRes 4444.

    Args:
        path: destination, ``*.mov``.
        frames: straight RGBA pictures, all of one even size.
        fps: frames per second.
        sound: file whose sound is laid under the pictures; none for silence.

    Raises:
        ValueError: if the name does not end in .mov, or there are no frames.
        OSError: if the file cannot be written.
    """
    form = _Form(".mov", "prores_ks", "rgba", "yuva444p10le", _ALPHA_OPTIONS)
    _write(path, frames, form, fps=fps, sound=sound)


@dataclass(frozen=True)
class _Form:
    """How pictures are encoded."""

    suffix: str
    codec: str
    given: str
    stored: str
    options: dict[str, str]


def _write(
    path: Path,
    frames: Iterable[np.ndarray],
    form: _Form,
    *,
    fps: float,
    sound: Path | None,
) -> None:
    if path.suffix.lower() != form.suffix:
        message = f"cannot write {path}: give a name that ends in {form.suffix}"
        raise ValueError(message)
    pictures = iter(frames)
    first = next(pictures, None)
    if first is None:
        message = f"there are no frames to write to {path}"
        raise ValueError(message)
    with (
        write_atomically(path) as temporary,
        av.open(str(temporary.absolute()), "w", format=form.suffix[1:]) as container,
    ):
        rate = Fraction(fps).limit_denominator(1001)
        stream = container.add_stream(form.codec, rate=rate, options=form.options)
        if not isinstance(stream, VideoStream):
            message = f"this installation of PyAV lacks the encoder {form.codec}"
            raise OSError(message)
        stream.height, stream.width = first.shape[:2]
        stream.pix_fmt = form.stored
        _fill(container, stream, chain([first], pictures), form, sound)


def _fill(
    container: OutputContainer,
    stream: VideoStream,
    frames: Iterator[np.ndarray],
    form: _Form,
    sound: Path | None,
) -> None:
    context = stream.codec_context
    context.colorspace = context.color_primaries = context.color_trc = _BT709
    rate = Fraction(stream.codec_context.framerate)
    waves = None if sound is None else _Sound(container, sound)
    for index, picture in enumerate(frames):
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), form.given)
        frame = frame.reformat(format=form.stored, dst_colorspace="ITU709")
        frame.pts, frame.time_base = index, 1 / rate
        container.mux(stream.encode(frame))
        if waves is not None:
            waves.write_until(float((index + 1) / rate))
    container.mux(stream.encode(None))
    if waves is not None:
        waves.close()


class _Sound:
    """Feeds a sound file into a container as the pictures go on."""

    def __init__(self, container: OutputContainer, path: Path) -> None:
        self._container = container
        self._source = av.open(str(path.absolute()))
        stream = self._source.streams.audio[0]
        rate = next((r for r in _RATES if r >= stream.rate), _RATES[-1])
        layout = "mono" if stream.channels == 1 else "stereo"
        self._out = container.add_stream("aac", rate=rate, layout=layout)
        self._out.bit_rate = _SOUND_BITS
        self._pieces = sound_pieces(self._source, stream, rate=rate, layout=layout)
        self._samples, self._rate = 0, rate
        self._layout = layout
        self._missing: int | None = None

    def write_until(self, seconds: float) -> None:
        """Encode the sound up to a moment of the movie."""
        while self._samples < seconds * self._rate:
            piece = next(self._pieces, None)
            if piece is None:
                return
            begin, samples = piece
            if self._missing is None:
                self._missing = self._begin(begin)
            self._put(samples[:, self._missing :])
            self._missing = max(0, self._missing - samples.shape[1])

    def _begin(self, first: float) -> int:
        """Write silence until the sound begins; return the samples to leave out.

        In a file with pictures the first of them is the beginning.
        """
        origin = pictures_start(self._source)
        delay = 0.0 if origin is None else first - origin
        late = round(delay * self._rate)
        if late > 0:
            channels = 1 if self._layout == "mono" else 2
            silence = np.zeros((channels, late), np.float32)
            self._put(silence)
        return max(0, -late)

    def close(self) -> None:
        """Write what is left in the encoder."""
        self._container.mux(self._out.encode(None))
        self._source.close()

    def _put(self, samples: Float[np.ndarray, "channels samples"]) -> None:
        if samples.shape[1] == 0:
            return
        frame = av.AudioFrame.from_ndarray(
            np.ascontiguousarray(samples), "fltp", self._layout
        )
        frame.sample_rate = self._rate
        frame.pts, frame.time_base = self._samples, Fraction(1, self._rate)
        self._samples += frame.samples
        self._container.mux(self._out.encode(frame))
