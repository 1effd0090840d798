"""The pictures of a media container, for all that read or lay sound beside them."""

from av.container import InputContainer
from av.stream import Disposition
from av.video.stream import VideoStream

__all__ = ["moving_pictures", "pictures_start"]


def moving_pictures(container: InputContainer) -> list[VideoStream]:
    """Return the picture streams that are not cover art."""
    streams = container.streams.video
    return [s for s in streams if not s.disposition & Disposition.attached_pic]


def pictures_start(container: InputContainer) -> float | None:
    """Return when the first picture is shown, seconds; none without pictures."""
    for stream in moving_pictures(container):
        return float((stream.start_time or 0) * (stream.time_base or 0))
    return None
