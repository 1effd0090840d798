"""Write a clip of square pictures with sound as H.264 and AAC in MP4."""

from fractions import Fraction
from pathlib import Path
from types import TracebackType

import av
import numpy as np
from jaxtyping import Float, UInt8

from talk3d.dataset import AUDIO_RATE

__all__ = ["MovieWriter"]

_QUALITY = {"crf": "14", "preset": "veryfast"}


class MovieWriter:
    """Encodes pictures as they come; use as a context manager."""

    def __init__(self, path: Path, *, size: int, fps: float) -> None:
        """Open the file.

        Args:
            path: destination, ``*.mp4``.
            size: pixels per side; even.
            fps: frames per second.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        self._container = av.open(str(path.absolute()), "w")
        rate = Fraction(fps).limit_denominator(1001)
        self._video = self._container.add_stream("libx264", rate=rate, options=_QUALITY)
        self._video.width = self._video.height = size
        self._video.pix_fmt = "yuv420p"
        self._audio = self._container.add_stream("aac", rate=AUDIO_RATE, layout="mono")

    def __enter__(self) -> "MovieWriter":
        """Return the writer."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Finish and close the file."""
        if kind is None:
            self._container.mux(self._video.encode(None))
            self._container.mux(self._audio.encode(None))
        self._container.close()

    def add(self, image: UInt8[np.ndarray, "size size 3"]) -> None:
        """Append one picture, sRGB."""
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
        self._container.mux(self._video.encode(frame))

    def set_audio(self, wave: Float[np.ndarray, " samples"]) -> None:
        """Encode the sound: 16 kHz mono, -1 to 1."""
        frame = av.AudioFrame.from_ndarray(
            np.ascontiguousarray(wave[None], np.float32), format="fltp", layout="mono"
        )
        frame.sample_rate = AUDIO_RATE
        frame.pts = 0
        self._container.mux(self._audio.encode(frame))
