"""Runs the whole path in a process that may not use a network, and reports tries.

    python -m tests.trust.cut_off FOLDER path|probe

An audit hook refuses and notes what Python would send or start. In a network name
space of its own the kernel's counters also show what native code tries: without a
route, every try counts as one.
"""

import contextlib
import ctypes
import json
import os
import socket
import struct
import sys
from pathlib import Path

import soundfile

from talk3d.cli.main import main
from talk3d.demo import shipped

_REACHING = (
    "socket.connect",
    "socket.getaddrinfo",
    "socket.gethostbyaddr",
    "socket.gethostbyname",
    "socket.sendmsg",
    "socket.sendto",
    "urllib.Request",
    "subprocess.Popen",
    "os.posix_spawn",
    "os.system",
)
_SECONDS, _SPOKEN = "2.4", 1.0


def refuse_network(tries: list[str]) -> None:
    """Refuse and note every try, for the rest of this process."""

    def refuse(event: str, details: tuple) -> None:
        if event in _REACHING:
            tries.append(f"{event} {details!r}")
            raise ConnectionError(f"cut off: {event}")

    sys.addaudithook(refuse)


def unrouted() -> int:
    """Return how many packets of this name space found no way out, or went out."""
    counted = 0
    lines = Path("/proc/self/net/snmp").read_text().splitlines()
    names, values = (line.split()[1:] for line in lines if line.startswith("Ip:"))
    ip = dict(zip(names, values, strict=True))
    counted += int(ip["OutNoRoutes"]) + int(ip["OutRequests"])
    for line in Path("/proc/self/net/snmp6").read_text().splitlines():
        name, value = line.split()
        if name in ("Ip6OutNoRoutes", "Ip6OutRequests"):
            counted += int(value)
    return counted


def walk(folder: Path) -> dict[str, int]:
    """Run the commands of the path; return their exit states."""
    speech, avatar = folder / "speech.wav", folder / "me.safetensors"
    wave, rate = soundfile.read(shipped("sample_speech.flac"))
    soundfile.write(speech, wave[: round(_SPOKEN * rate)], rate)
    clip, out = shipped("speaker.mp4"), folder / "out.mp4"
    short = ["--to", _SECONDS, "--max-minutes", "0.01"]
    commands = {
        "create": [clip, "-o", avatar, "--synthetic", "--offline", *short],
        "speak": [avatar, speech, "-o", out],
        "verify": [out, "--json"],
        "forget": [avatar],
    }
    return {
        name: main([name, *map(str, words)]) for name, words in commands.items()
    }  # fmt: skip


def probe() -> None:
    """Try to reach out, from Python and past it."""
    for address in ("192.0.2.1", "example.org"):
        with contextlib.suppress(OSError):
            socket.create_connection((address, 80), timeout=2).close()
    libc = ctypes.CDLL(None, use_errno=True)
    number = libc.socket(socket.AF_INET, socket.SOCK_DGRAM, 0)
    where = struct.pack("=HH4s8x", socket.AF_INET, 0x5000, bytes([192, 0, 2, 1]))
    libc.connect(number, where, len(where))
    os.close(number)


def report(folder: Path, what: str) -> None:
    """Do it and write what was tried into ``tries.json``."""
    tries: list[str] = []
    refuse_network(tries)
    found: dict[str, object] = {"tries": tries}
    if what == "probe":
        probe()
    else:
        found["states"] = walk(folder)
    found["unrouted"] = unrouted()
    (folder / "tries.json").write_text(json.dumps(found))


if __name__ == "__main__":
    report(Path(sys.argv[1]), sys.argv[2])
