"""Let an outside system enter the benchmark with its own command.

An adapter is a TOML file::

    name = "still"                       # row in the tables
    command = ["{python}", "still.py", "{given}", "{out}"]
    minutes = 600                        # time limit; optional

The command runs in the file's folder. ``{python}`` is replaced by the Python that runs
the benchmark, ``{given}`` is replaced by the folder it may
read (``video.mp4``, ``audio.wav``, ``cameras.json``, ``driving.safetensors``; see
``talk3d.benchmark.task``), ``{out}`` by the folder it must fill: for every entry of
``shots`` in ``cameras.json`` one PNG of that name, RGB on 0.5 grey or RGBA, and where
it knows the depth a NumPy file of that name.
"""

from __future__ import annotations

import subprocess
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from talk3d.benchmark.controls import CONTROLS

__all__ = ["Adapter", "load_adapter", "run_adapter"]

_FIELDS = {"name", "command", "minutes"}
_RESERVED = (*CONTROLS, "ours", "without prior", "mesh")


@dataclass(frozen=True)
class Adapter:
    """An outside system."""

    name: str
    """Row in the tables."""
    command: tuple[str, ...]
    """Program and arguments."""
    folder: Path
    """Where the command runs."""
    minutes: float = 600.0
    """Time limit."""

    def __post_init__(self) -> None:
        """Refuse what cannot run.

        Raises:
            ValueError: The command lacks a place, or the name is taken.
        """
        if self.name in (*_RESERVED, "", ".", "..") or "/" in self.name:
            raise ValueError(
                f"An adapter is named {self.name!r}; take another name than "
                f"{', '.join(_RESERVED)}, without slashes, and not dots alone."
            )
        joined = " ".join(self.command)
        if "{given}" not in joined or "{out}" not in joined:
            raise ValueError(
                f"The command of the adapter {self.name} is {joined!r}; it must hold "
                "{given} and {out}."
            )


def load_adapter(name: str) -> Adapter:
    """Read an adapter: a TOML file, or the name of one in ``benchmarks/adapters``.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is no adapter.
    """
    places = [Path(name), Path("benchmarks/adapters") / f"{name}.toml"]
    file = next((place for place in places if place.is_file()), None)
    if file is None:
        raise FileNotFoundError(
            f"no adapter {name}: give a TOML file, or put {places[1]} there"
        )
    try:
        content = tomllib.loads(file.read_text())
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"the adapter {file} is no TOML: {error}") from error
    if not {"name", "command"} <= set(content) <= _FIELDS:
        raise ValueError(
            f"the adapter {file} has the fields {sorted(content)}; give name and "
            "command, and if wanted minutes"
        )
    name, command = content["name"], content["command"]
    minutes = content.get("minutes", Adapter.minutes)
    if not (_texts([name]) and _texts(command) and isinstance(minutes, (int, float))):
        raise ValueError(
            f"the adapter {file} has the name {name!r}, the command {command!r} and "
            f"{minutes!r} minutes; give a text, a list of texts, and a number"
        )
    return Adapter(name, tuple(command), file.resolve().parent, float(minutes))


def _texts(value: Any) -> bool:  # noqa: ANN401
    """Return whether a value from a file is a list of texts."""
    return isinstance(value, list) and all(isinstance(word, str) for word in value)


def run_adapter(adapter: Adapter, given: Path, out: Path) -> None:
    """Run an outside system on a task.

    Raises:
        OSError: It failed, or took too long; the message ends with what it said.
    """
    out.mkdir(parents=True, exist_ok=True)
    places = {
        "{python}": sys.executable,
        "{given}": str(given.resolve()),
        "{out}": str(out.resolve()),
    }
    words = list(adapter.command)
    for mark, place in places.items():
        words = [word.replace(mark, place) for word in words]
    try:
        # The user named this command in a file of their own.
        done = subprocess.run(  # noqa: S603
            words,
            cwd=adapter.folder,
            timeout=60 * adapter.minutes,
            capture_output=True,
            text=True,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise OSError(
            f"the adapter {adapter.name} took longer than {adapter.minutes} minutes"
        ) from error
    except OSError as error:
        raise OSError(
            f"the adapter {adapter.name} cannot be started: {error}"
        ) from error
    if done.returncode != 0:
        said = (done.stderr or done.stdout).strip().splitlines()[-1:]
        raise OSError(
            f"the adapter {adapter.name} failed with status {done.returncode}: "
            f"{' '.join(said) or 'it said nothing'}"
        )
