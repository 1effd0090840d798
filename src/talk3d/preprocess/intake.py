"""What is checked before a video is worked on, so that nothing is half-written.

Comes in: the video, the output folder and the part that is used. Goes out: what the
video is, or one sentence why it cannot be used.
"""

import shutil
from pathlib import Path

from talk3d.video import VideoInfo, probe_video, read_audio

__all__ = ["check_disk", "check_video"]

_BYTES_PER_PIXEL = 1.0
"""A crop and its matte as files take about 0.6 bytes per pixel."""
_SPARE_BYTES = 100e6


def check_video(
    video: Path, *, start: float, end: float | None, silent: bool
) -> VideoInfo:
    """Return what a video is.

    Args:
        video: The file.
        start: Seconds at which the used part begins.
        end: Seconds at which it stops; None for the end of the video.
        silent: Whether a video without a sound track will do.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is no video, too short, too small, or its sound is missing or
            broken.
    """
    info = probe_video(video)
    if start >= info.seconds:
        raise ValueError(
            f"{video} lasts {info.seconds:.1f} s, it cannot begin at {start:g} s: "
            "give an earlier --from"
        )
    if info.has_sound:
        read_audio(video, start=start, end=end)
    elif not silent:
        raise ValueError(
            f"{video} has no sound track, so the avatar could not learn to speak: give "
            "a video with speech, or --silent to take the pictures alone"
        )
    return info


def check_disk(out: Path, *, frames: float, size: int) -> None:
    """Refuse to begin what would fill the disk.

    Raises:
        OSError: Too little space is left.
    """
    place = next(p for p in (out, *out.absolute().parents) if p.exists())
    need = frames * size**2 * _BYTES_PER_PIXEL + _SPARE_BYTES
    free = shutil.disk_usage(place).free
    if free < need:
        raise OSError(
            f"{place} has {free / 1e9:.2f} GB left and {need / 1e9:.2f} GB are needed: "
            "free some space or give another output folder"
        )
