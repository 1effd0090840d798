"""What all readers of media containers share: which pictures count, how sound is read.

Sound is float32, one row per channel. Times are seconds of the container.
"""

import numpy as np
from av.container import InputContainer
from av.stream import Disposition
from av.video.stream import VideoStream
from jaxtyping import Float

__all__ = ["mono", "moving_pictures", "pictures_start"]

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
