"""Speak a text with the espeak-ng library, with the time of every phoneme.

A small program of its own: ``python -m talk3d.synthetic.espeak JOB.json``. The
library is under the GPL and is loaded in this process only; callers start it and read
its files (``talk3d.synthetic.speech``). The job names text, voice, rate, pitch and
the two files to write: ``wave`` (WAV) and ``phonemes`` (JSON: start, end in seconds,
IPA name).
"""

import ctypes
import json
import sys
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import soundfile

__all__ = ["main", "speak"]

_LIBRARIES = ("libespeak-ng.so.1", "libespeak-ng.dylib", "libespeak-ng.dll")
_SYNCHRONOUS, _PHONEME_EVENTS, _PHONEME_IPA = 1, 1, 2
_EVENT_END, _EVENT_PHONEME = 0, 7
_UTF8 = 1
_EPSILON = "\N{GREEK SMALL LETTER EPSILON}"
"""How the Italian voice of espeak-ng 1.51 writes an open e."""
_RATE, _PITCH, _RANGE = 1, 3, 4


class _Identifier(ctypes.Union):
    _fields_: ClassVar = [
        ("number", ctypes.c_int),
        ("name", ctypes.c_char_p),
        ("string", ctypes.c_char * 8),
    ]


class _Event(ctypes.Structure):
    _fields_: ClassVar = [
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", _Identifier),
    ]


def speak(
    job: dict[str, Any],
) -> tuple[np.ndarray, int, list[tuple[float, float, str]]]:
    """Return samples, sampling rate and phonemes of a job.

    Raises:
        OSError: if the library is missing or does not know the voice.
    """
    library = _load()
    rate = library.espeak_Initialize(
        _SYNCHRONOUS, 400, None, _PHONEME_EVENTS | _PHONEME_IPA
    )
    if rate <= 0 or library.espeak_SetVoiceByName(job["voice"].encode()) != 0:
        message = f"espeak-ng does not know the voice {job['voice']!r}"
        raise OSError(message)
    waves: list[np.ndarray] = []
    starts: list[tuple[float, str]] = []

    def receive(samples: Any, count: int, events: Any) -> int:  # noqa: ANN401
        if count > 0:
            waves.append(np.ctypeslib.as_array(samples, (count,)).copy())
        index = 0
        while events[index].type != _EVENT_END:
            event = events[index]
            if event.type == _EVENT_PHONEME:
                name = bytes(event.id).split(b"\0")[0].decode("utf-8", "replace")
                starts.append((event.sample / rate, name.replace(_EPSILON, "ɛ")))
            index += 1
        return 0

    kind = ctypes.CFUNCTYPE(
        ctypes.c_int,
        ctypes.POINTER(ctypes.c_short),
        ctypes.c_int,
        ctypes.POINTER(_Event),
    )
    callback = kind(receive)
    library.espeak_SetSynthCallback(callback)
    library.espeak_SetParameter(_RATE, int(job["rate"]), 0)
    library.espeak_SetParameter(_PITCH, int(job["pitch"]), 0)
    library.espeak_SetParameter(_RANGE, 60, 0)
    text = job["text"].encode() + b"\0"
    library.espeak_Synth(text, len(text), 0, 0, 0, _UTF8, None, None)
    library.espeak_Synchronize()
    wave = np.concatenate(waves) if waves else np.zeros(0, np.int16)
    ends = [*(start for start, _ in starts[1:]), len(wave) / rate]
    phonemes = [
        (start, end, name) for (start, name), end in zip(starts, ends, strict=True)
    ]
    return wave, int(rate), phonemes


def main(arguments: list[str]) -> None:
    """Do the job described in the file named by the only argument."""
    job = json.loads(Path(arguments[0]).read_text(encoding="utf-8"))
    wave, rate, phonemes = speak(job)
    soundfile.write(job["wave"], wave, rate, subtype="PCM_16")
    Path(job["phonemes"]).write_text(json.dumps(phonemes), encoding="utf-8")


def _load() -> ctypes.CDLL:
    for name in _LIBRARIES:
        try:
            return ctypes.CDLL(name)
        except OSError:
            continue
    message = f"no espeak-ng library ({', '.join(_LIBRARIES)}): install espeak-ng"
    raise OSError(message)


if __name__ == "__main__":
    main(sys.argv[1:])
