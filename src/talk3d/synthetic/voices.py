"""Voices of free speech programs, and texts for them to speak.

espeak-ng is joined by flite and festival, whose voices were made from recordings of
people: the closest to real speech that comes with exact phoneme times. All run as
programs of their own. Out: ``talk3d.synthetic.speech.Speech`` with IPA names that
``talk3d.synthetic.articulation`` knows.
"""

import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import soxr

from talk3d.dataset import AUDIO_RATE
from talk3d.synthetic.sentences import SENTENCES
from talk3d.synthetic.speech import Phoneme, Speech, speak_text

__all__ = ["VOICES", "Voice", "draw_text", "ipa", "speak"]

_TIMEOUT = 120.0
_PEAK = 0.6
_SENTENCE_SHARE = 0.5
"""Share of sentences, against made-up words, in English texts."""


@dataclass(frozen=True)
class Voice:
    """A voice of a speech program."""

    program: str
    """``espeak``, ``flite`` or ``festival``."""
    name: str
    """As the program calls it."""
    text: str = "latin"
    """What it reads: ``english``, ``latin`` (any letters a to z) or ``russian``."""


_ENGLISH = (
    "en-us", "en-us+m1", "en-us+f2", "en-us+m7", "en-us+f4", "en-us+klatt3",
    "en-us+anika", "en-us+benjamin", "en-us+john", "en-us+linda", "en-gb-x-rp+m3",
    "en-gb-x-rp+f1", "en-gb-scotland+m4", "en-029+f3", "en-gb-x-gbclan+klatt2",
    "en-us+victor", "en-us+quincy", "en+steph", "en-us+michel", "en-us+adam",
)  # fmt: skip
_OTHER = (
    "de+m2", "de+f2", "fr+m3", "fr+f4", "es+m5", "es-419+f1", "it+klatt",
    "nl+f3", "pl+m8", "cs+david", "ro+belinda", "sv+m6", "da+edward", "nb+f5", "fi+rob",
    "hr+klatt4", "et+shelby", "lv+paul", "sw+caleb", "id+sandro", "eo+boris", "sq+max",
)  # fmt: skip
_FESTIVAL = (
    Voice("festival", "cmu_us_slt_arctic_hts", "english"),
    Voice("festival", "ked_diphone", "english"),
    Voice("festival", "kal_diphone", "english"),
    Voice("festival", "upc_ca_ona_hts"),
    Voice("festival", "msu_ru_nsh_clunits", "russian"),
    Voice("festival", "lp_diphone"),
    Voice("festival", "pc_diphone"),
    Voice("festival", "suo_fi_lj_diphone"),
    Voice("festival", "hy_fi_mv_diphone"),
    Voice("festival", "czech_dita"),
    Voice("festival", "czech_krb"),
    Voice("festival", "czech_machac"),
    Voice("festival", "czech_ph"),
)
VOICES = (
    *(Voice("flite", name, "english") for name in ("slt", "rms", "awb", "kal16")),
    *_FESTIVAL,
    *(Voice("espeak", name, "english") for name in _ENGLISH),
    *(Voice("espeak", name) for name in _OTHER),
    Voice("espeak", "ru+m1", "russian"),
)
"""Voices to learn from. Hungarian, Portuguese, Turkish, Greek and Hindi are left out
on purpose: they are for judging."""

_CONSONANTS = "bdfgklmnprstvz"
_ONSETS = (*_CONSONANTS, "sh", "ch", "j", "w", "y", "pl", "br", "st", "tr", "m", "b",
           "p", "f", "v")  # fmt: skip
_VOWELS = ("a", "e", "i", "o", "u", "a", "o", "u")
_CODAS = ("", "", "", "n", "m", "s", "r", "l", "t", "p", "b", "f", "k")
_RUSSIAN: dict[str, str] = dict(
    zip(
        ("sh", "ch", *"bdfgklmnprstvzjwyaeiou"),
        ("ш", "ч", *"бдфгклмнпрстввзжвяаеиоу"),
        strict=False,
    )
)

_RADIO = {
    "aa": "ɑ", "ae": "æ", "ah": "ʌ", "ao": "ɔ", "aw": "aʊ", "ax": "ə", "axr": "ɚ",
    "ay": "aɪ", "ch": "tʃ", "dh": "ð", "dx": "ɾ", "eh": "ɛ", "el": "əl", "em": "m",
    "en": "n", "er": "ɝ", "ey": "eɪ", "hh": "h", "hv": "h", "ih": "ɪ", "iy": "i",
    "jh": "dʒ", "ng": "ŋ", "nx": "n", "ow": "oʊ", "oy": "ɔɪ", "r": "ɹ", "sh": "ʃ",
    "th": "θ", "uh": "ʊ", "uw": "u", "y": "j", "zh": "ʒ",
}  # fmt: skip
_CONTINENTAL = {
    "ax": "ə", "@": "ə", "E": "ɛ", "O": "ɔ", "&": "æ", "7": "o", "S": "ʃ", "Z": "ʒ",
    "T": "θ", "D": "ð", "J": "n", "L": "l", "N": "ŋ", "ng": "ŋ", "nf": "m", "tS": "tʃ",
    "dZ": "dʒ", "ts": "ts", "dz": "dz", "rr": "r",
}  # fmt: skip
_CZECH = {
    "c": "ts", "c~": "tʃ", "ch": "x", "d~": "dj", "t~": "tj", "n~": "nj", "n*": "ŋ",
    "s~": "ʃ", "z~": "ʒ", "r~": "rʒ", "r~*": "rʃ",
}  # fmt: skip
_CYRILLIC = {
    "c": "ts", "ch": "tʃ", "sh": "ʃ", "sch": "ʃ", "zh": "ʒ", "h": "x", "y": "ɪ",
    "ay": "ə", "ae": "ɪ", "ur": "ʊ",
}  # fmt: skip
_PAUSES = frozenset({"pau", "#", "##", "h#", "brth", "_"})
_UNKNOWN = str.maketrans(
    {
        "y": "u", "ø": "o", "œ": "ɔ", "ɵ": "ʊ", "ɤ": "ʌ", "ɯ": "ɪ", "ɨ": "ɪ", "ɸ": "f",
        "β": "w", "ʋ": "v", "ɥ": "w", "ɲ": "n", "ɳ": "n", "ʎ": "l", "ɭ": "l", "ʈ": "t",
        "ɖ": "d", "c": "k", "ɟ": "g", "q": "k", "χ": "x", "ʁ": "x", "ç": "x", "ɣ": "g",
        "ʂ": "ʃ", "ɕ": "ʃ", "ʐ": "ʒ", "ʑ": "ʒ", "ħ": "h", "ɦ": "h", "ɻ": "ɹ", "ʀ": "r",
        "ʏ": "ʊ", "ɶ": "æ", "ɱ": "m", "ʝ": "j", "ɰ": "w", "ɓ": "b",
    }
)  # fmt: skip
"""IPA that has no mouth shape of its own -> the nearest that has."""


def draw_text(voice: Voice, generator: np.random.Generator, *, words: int) -> str:
    """Return a text: sentences or made-up words, with pauses now and then."""
    parts: list[str] = []
    while sum(part.count(" ") + 1 for part in parts) < words:
        sentence = generator.random() < _SENTENCE_SHARE
        if voice.text == "english" and sentence:
            english = SENTENCES["English"]
            parts.append(english[int(generator.integers(len(english)))])
            continue
        count = int(generator.integers(3, 9))
        made = [_word(generator, voice.text) for _ in range(count)]
        parts.append(" ".join(made) + str(generator.choice([".", ",", ",", "?"])))
    return " ".join(parts)


def speak(voice: Voice, text: str, generator: np.random.Generator) -> Speech:
    """Speak a text at a rate and pitch drawn from the generator.

    Raises:
        OSError: if the program is missing or fails.
    """
    if voice.program == "espeak":
        rate, pitch = int(generator.integers(120, 200)), int(generator.integers(15, 85))
        speech = speak_text(text, voice=voice.name, rate=rate, pitch=pitch)
        return _renamed(speech, {})
    if shutil.which(voice.program) is None:
        message = f"{voice.program} is not installed: install the Debian package"
        raise OSError(message)
    stretch = float(generator.uniform(0.75, 1.3))
    with tempfile.TemporaryDirectory() as name:
        if voice.program == "flite":
            return _flite(voice, text, Path(name), stretch)
        return _festival(voice, text, Path(name), stretch)


def _word(generator: np.random.Generator, alphabet: str) -> str:
    parts: list[str] = []
    for _ in range(int(generator.integers(1, 4))):
        parts += [str(generator.choice(p)) for p in (_ONSETS, _VOWELS)]
    parts.append(str(generator.choice(_CODAS)))
    if alphabet != "russian":
        return "".join(parts)
    letters = [
        _RUSSIAN.get(p) or "".join(_RUSSIAN.get(c, "") for c in p) for p in parts
    ]
    return "".join(letters)


def _flite(voice: Voice, text: str, folder: Path, stretch: float) -> Speech:
    wave = folder / "speech.wav"
    command = [
        "flite", "-voice", voice.name, "--setf", f"duration_stretch={stretch:.3f}",
        "-psdur", "-t", text, "-o", str(wave),
    ]  # fmt: skip
    told = _run(command)
    ends = [pair.rsplit(":", 1) for pair in told.split() if ":" in pair]
    return _read(voice, wave, [(float(end), name) for name, end in ends], _RADIO)


def _festival(voice: Voice, text: str, folder: Path, stretch: float) -> Speech:
    wave, segments, job = folder / "s.wav", folder / "s.segs", folder / "s.scm"
    spoken = text.replace("\\", "").replace('"', "")
    # Voices that decide lengths by themselves ignore the stretch.
    job.write_text(
        f"(voice_{voice.name})\n(Parameter.set 'Duration_Stretch {stretch:.3f})\n"
        f'(set! u (SynthText "{spoken}"))\n(utt.save.segs u "{segments}")\n'
        f'(utt.save.wave u "{wave}" \'riff)\n',
        encoding="utf-8",
    )
    _run(["festival", "--batch", str(job)])
    if not wave.is_file() or not segments.is_file():
        message = f"festival could not speak with the voice {voice.name}"
        raise OSError(message)
    rows = [line.split() for line in segments.read_text("utf-8").splitlines()]
    ends = [(float(row[0]), row[2]) for row in rows if len(row) == 3]
    names = _RADIO if voice.text == "english" else _CONTINENTAL
    if voice.name.startswith("czech"):
        names = _CZECH
    if voice.text == "russian":
        names = _CYRILLIC
    return _read(voice, wave, ends, names)


def _run(command: list[str]) -> str:
    result = subprocess.run(  # noqa: S603
        command, capture_output=True, timeout=_TIMEOUT, check=False
    )
    if result.returncode != 0:
        message = f"{command[0]} failed with code {result.returncode}"
        raise OSError(message)
    return result.stdout.decode("utf-8", "replace")


def _read(
    voice: Voice, file: Path, ends: list[tuple[float, str]], names: dict[str, str]
) -> Speech:
    wave, rate = soundfile.read(file, dtype="float32")
    wave = soxr.resample(wave, rate, AUDIO_RATE).astype(np.float32)
    starts = [0.0, *(end for end, _ in ends[:-1])]
    phonemes = tuple(
        Phoneme(start, end, name)
        for start, (end, name) in zip(starts, ends, strict=True)
    )
    peak = max(float(np.abs(wave).max(initial=0.0)), 1e-6)
    source = f"{voice.program}:{voice.name}"
    return _renamed(Speech(wave * np.float32(_PEAK / peak), phonemes, source), names)


def _renamed(speech: Speech, names: dict[str, str]) -> Speech:
    phonemes = tuple(
        Phoneme(p.start, p.end, ipa(p.name, names)) for p in speech.phonemes
    )
    return Speech(speech.wave, phonemes, speech.source)


def ipa(name: str, names: dict[str, str]) -> str:
    """Return a sound's name in IPA, as the hearing network tells phones apart.

    Args:
        name: as a speech program writes it.
        names: the program's names and what they are in IPA; empty: it writes IPA.

    Returns:
        The name; empty for silence.
    """
    if name in _PAUSES:
        return ""
    if not names:
        return name.translate(_UNKNOWN)
    plain = name.strip("012:_")
    if plain in names:
        return names[plain]
    # Doubled letters are long vowels and soft consonants of the Russian voice.
    short = plain[:1] if len(plain) == 2 and plain[0] == plain[1] else plain
    return names.get(short, short).translate(_UNKNOWN)
