"""Say whether a result carries our invisible mark, which counts as detail.

In: a result's file and its decoded frames. Out: a note for the report, or none.
"""

from pathlib import Path

from talk3d.evaluate.material import Clip
from talk3d.trust.detect import read_mark
from talk3d.trust.manifest import read_manifest

__all__ = ["mark_notes"]

_SECONDS, _FRAMES = 10.0, 125
"""Length of the scene that is looked at, and how many of its frames at most."""


def mark_notes(path: Path, clip: Clip, *, fps: float) -> list[str]:
    """Return what is to be said of a result's mark; nothing if it has none.

    Args:
        path: The result's file.
        clip: Its frames.
        fps: Frames per second of the clip.
    """
    if not (_is_signed(path) or _is_marked(clip, fps=fps)):
        return []
    return [
        "The result carries talk3d's watermark, which counts as detail: it raised the "
        "sharpness of blurred clips by up to 0.12. A video made with --unmarked REASON "
        "is measured without it."
    ]


def _is_signed(path: Path) -> bool:
    """Tell by the manifest: what we sign is marked, too."""
    manifest = read_manifest(path)
    return manifest is not None and manifest.statement is not None


def _is_marked(clip: Clip, *, fps: float) -> bool:
    """Tell by the pictures."""
    count = min(clip.shape[0], round(_SECONDS * fps))
    step = -(-count // _FRAMES)
    return read_mark(clip.frame(k) for k in range(0, count, step)).found
