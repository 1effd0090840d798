"""What is checked before a video is worked on, so that nothing is half-written.

Comes in: the video, the output folder and the part that is used. Goes out: what the
video is, or one sentence why it cannot be used.
"""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from talk3d.video import VideoInfo, probe_video, read_audio

__all__ = ["check_disk", "check_video", "clean_folder"]

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


@contextmanager
def clean_folder(out: Path) -> Iterator[None]:
    """Make a folder; if the input proves bad and it is new, take it away again.

    An interruption leaves it: the same command goes on with what it holds.

    Raises:
        OSError: The folder cannot be made.
    """
    new = not out.exists()
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OSError(
            f"the folder {out} cannot be written ({error.strerror}): give an output "
            "folder in a place you may write to"
        ) from error
    try:
        yield
    except (ValueError, OSError):
        if new:
            shutil.rmtree(out, ignore_errors=True)
        raise
