"""The entry point.

Exit status: 0 success, 2 bad input, something missing, or a training that cannot go on
(one sentence, no traceback), 1 a defect of ours, 130 interrupted.
"""

import ctypes
import logging
import os
import sys
from collections.abc import Sequence

import tyro

from talk3d import __version__
from talk3d.cli.avatars import COMMANDS
from talk3d.cli.benchmark import BENCHMARKS
from talk3d.cli.workshop import GROUPS

__all__ = ["main"]

_TRIM, _TOP_PAD, _MMAP_MAX = -1, -2, -4
_SPINS = "1000"
_STYLE = (tyro.conf.OmitArgPrefixes, tyro.conf.FlagCreatePairsOff)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit status."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if words[:1] == ["--version"]:
        print(__version__)
        return 0
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    _keep_memory()
    _wait_briefly()
    groups = GROUPS | {"benchmark": BENCHMARKS}
    group = groups.get(words[0]) if words else None
    try:
        if group is not None:
            name = f"talk3d {words[0]}"
            tyro.extras.subcommand_cli_from_dict(
                group, args=words[1:], prog=name, config=_STYLE
            )
        else:
            tyro.extras.subcommand_cli_from_dict(
                COMMANDS,
                args=words,
                prog="talk3d",
                config=_STYLE,
                description="One short video of a person in, a 3D talking avatar out."
                " More commands: talk3d synth --help, talk3d prior --help,"
                " talk3d speech --help, talk3d benchmark --help.",
            )
    except (ValueError, OSError, FloatingPointError, ImportError) as error:
        # Python names the module that it lacks: only our own sentences do not.
        if isinstance(error, ImportError) and error.name is not None:
            raise
        print(f"talk3d: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    return 0


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
