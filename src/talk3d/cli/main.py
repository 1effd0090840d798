"""The entry point.

Exit status: 0 success, 2 bad input, something missing, or a training that cannot go on
(one sentence, no traceback), 1 a defect of ours, 130 interrupted, 141 nobody reads what
is printed, 143 terminated; ``verify`` also 3.
"""

import ctypes
import errno
import logging
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

import tyro

from talk3d import __version__
from talk3d.cli.avatars import COMMANDS
from talk3d.cli.benchmark import BENCHMARKS
from talk3d.cli.workshop import GROUPS

__all__ = ["main"]

_TRIM, _TOP_PAD, _MMAP_MAX = -1, -2, -4
_SPINS = "1000"
_REFUSED = {
    errno.ENOENT: "does not exist",
    errno.EACCES: "may not be used by you (permission denied)",
    errno.EPERM: "may not be used by you (permission denied)",
    errno.EROFS: "is on a disk that cannot be written",
    errno.EEXIST: "is a file where a folder is needed",
    errno.ENOTDIR: "lies in a file where a folder is needed",
    errno.EISDIR: "is a folder where a file is needed",
    errno.ENOSPC: "does not fit: the disk is full",
}
_ABOUT = {
    "synth": "People that are drawn, not filmed: pictures, talking clips, corpora.",
    "speech": "Networks that hear speech: training them.",
    "prior": "The generator of heads that every avatar begins with.",
    "benchmark": "Tests of ours and of other software against known truth.",
}
_STYLE = (tyro.conf.OmitArgPrefixes, tyro.conf.FlagCreatePairsOff)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit status."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if words[:1] == ["--version"]:
        print(__version__)
        return 0
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    before = signal.signal(signal.SIGTERM, _end)
    try:
        return _run(words)
    finally:
        signal.signal(signal.SIGTERM, before)


class _Terminated(KeyboardInterrupt):
    """Somebody ended the process: it is tidied up as after Ctrl-C."""


def _end(*_: object) -> NoReturn:
    raise _Terminated


def _run(words: list[str]) -> int:
    _keep_memory()
    _wait_briefly()
    groups = GROUPS | {"benchmark": BENCHMARKS}
    group = groups.get(words[0]) if words else None
    try:
        if group is not None:
            name = f"talk3d {words[0]}"
            status = tyro.extras.subcommand_cli_from_dict(
                group,
                args=words[1:],
                prog=name,
                config=_STYLE,
                description=_ABOUT[words[0]],
            )
        else:
            status = tyro.extras.subcommand_cli_from_dict(
                COMMANDS,
                args=words,
                prog="talk3d",
                config=_STYLE,
                description="One short video of a person in, a 3D talking avatar out."
                " More commands: talk3d synth --help, talk3d prior --help,"
                " talk3d speech --help, talk3d benchmark --help.",
            )
    except BrokenPipeError:
        # As with `| head`; what is left to print goes nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except (ValueError, OSError, FloatingPointError, ImportError) as error:
        # Python names the module that it lacks: only our own sentences do not.
        if isinstance(error, ImportError) and error.name is not None:
            raise
        print(f"talk3d: {_sentence(error)}", file=sys.stderr)
        return 2
    except _Terminated:
        return 143
    except KeyboardInterrupt:
        return 130
    return status or 0


def _sentence(error: Exception) -> str:
    """Return what an error says; of the system's own, what it is about and why."""
    why = _REFUSED.get(error.errno or 0) if isinstance(error, OSError) else None
    if why is None or not isinstance(error, OSError) or error.filename is None:
        return str(error)
    path = Path(os.fsdecode(error.filename))
    # Files are written under hidden names and renamed: those say nothing.
    shown = path.parent if path.name.startswith(".") else path
    return f"{shown} {why}: check the name or give another"


def _keep_memory() -> None:
    """Tell glibc to keep freed memory for the next tensors.

    Asking the system anew for the large tensors of every step costs up to half of
    the time of training on CPUs. The numbers are those of ``malloc.h``.
    """
    if sys.platform != "linux":
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return
    for option, value in ((_MMAP_MAX, 0), (_TRIM, 2**31 - 1), (_TOP_PAD, 64 << 20)):
        mallopt(option, value)


def _wait_briefly() -> None:
    """Have PyTorch's threads sleep soon while they wait for each other.

    They spin, by default for milliseconds: where another program has one of two cores,
    they take turns with the very thread that they wait for, and all takes several
    times as long. ``GOMP_SPINCOUNT`` and ``OMP_WAIT_POLICY`` of the user are left. To
    be set before PyTorch is loaded.
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", _SPINS)


if __name__ == "__main__":
    sys.exit(main())
