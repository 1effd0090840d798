"""What is checked before a video is worked on, so that nothing is half-written.

Comes in: the video, the output folder and the part that is used. Goes out: what the
video is, or one sentence why it cannot be used.
"""

import shutil
from pathlib import Path

from talk3d.dataset import Subject
from talk3d.video import VideoInfo, probe_video, read_audio

__all__ = ["check_disk", "check_folder", "check_video"]

_WRITTEN = (
    "frames",
    "matte",
    "audio.wav",
    "soundtrack.mka",
    "plate.png",
    "report.html",
)
"""What is written into a subject folder, but for what tells one."""
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
            "a video with speech (talk3d preprocess --silent takes pictures alone)"
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


def check_folder(out: Path, digest: str, *, begun: str) -> None:
    """Refuse to write a subject over another, or over what is none.

    Args:
        out: The folder.
        digest: Hash of the video.
        begun: File that an unfinished subject has.

    Raises:
        ValueError: It is of another video, or holds files of such names.
    """
    if (out / "subject.json").is_file():
        if Subject.open(out).info["source"]["sha256"] != digest:
            message = f"{out} is the subject of another video: give another folder"
            raise ValueError(message)
        return
    foreign = [name for name in _WRITTEN if (out / name).exists()]
    if foreign and not (out / begun).is_file():
        message = (
            f"{out} is no subject and holds {foreign[0]}, which would be written over:"
            " give another folder"
        )
        raise ValueError(message)
