"""The options that commands of avatars share: reading, marking, showing, editing.

Nothing heavy is imported before a command runs, so help answers at once.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import arg

if TYPE_CHECKING:
    from talk3d.edits import Edit
    from talk3d.preprocess.run import PreprocessConfig
    from talk3d.trust.marking import Marks

__all__ = [
    "ALONE",
    "MARKED",
    "UNEDITED",
    "WHOLE",
    "Editing",
    "Marking",
    "Reading",
    "Showing",
]


@dataclass(frozen=True)
class Reading:
    """How to read a video."""

    start: Annotated[float, arg(name="from")] = 0.0
    """Seconds into the video to begin at."""
    end: Annotated[float | None, arg(name="to")] = None
    """Seconds into the video to stop at."""
    face: int = 0
    """Which face to take if there are several, 0 the largest."""
    offline: bool = False
    """Fetch nothing, neither face networks nor a speech model."""
    face_models: Path | None = None
    """Folder with the face networks; the user's cache if not given."""
    fix_sync: bool = False
    """Shift the sound so that it fits the lips."""
    silent: bool = False
    """Take a video without a sound track, for its pictures alone."""

    def config(self) -> "PreprocessConfig":
        """Return the configuration."""
        from talk3d.preprocess.run import PreprocessConfig

        return PreprocessConfig(
            start=self.start,
            end=self.end,
            face=self.face,
            offline=self.offline,
            models_dir=self.face_models,
            fix_sync=self.fix_sync,
            silent=self.silent,
        )


WHOLE = Reading()


@dataclass(frozen=True)
class Marking:
    """What a video is made for, and how it is marked."""

    purpose: str = "private"
    """private, research, publication or commercial; the consent must cover it."""
    label: bool = False
    """Write AI GENERATED into the picture."""
    unmarked: str | None = None
    """Reason to leave out watermark and manifest; it is noted in the ledger."""

    def marks(self) -> "Marks":
        """Return the configuration."""
        from talk3d.trust.marking import Marks

        return Marks(self.purpose, self.label, self.unmarked)


MARKED = Marking()


@dataclass(frozen=True)
class Showing:
    """What is seen around the head, and from where."""

    view: str = "recorded"
    """recorded, front, orbit, or degrees as YAW,PITCH."""
    background: str = "keep"
    """keep, a colour, or a picture file."""
    alpha: bool = False
    """Leave the background out and write a MOV with transparency."""
    into: Path | None = None
    """The video the avatar was made from: its whole frame is shown."""


ALONE = Showing()


@dataclass(frozen=True)
class Editing:
    """What is changed of the person."""

    smile: float = 0.0
    """-1 to 1: how much more the person smiles."""
    years: float = 0.0
    """-40 to 40: how much older the person is."""
    articulation: float = 1.0
    """0 to 2: how far the lips move, times what the sound tells."""

    def edit(self) -> "Edit":
        """Return the configuration."""
        from talk3d.edits import Edit

        return Edit(self.smile, self.years, self.articulation)


UNEDITED = Editing()
