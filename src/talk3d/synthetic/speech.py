"""Speech with the time of every phoneme: spoken by espeak-ng, or the bundled sample.

Out: 16 kHz mono sound, -1 to 1, and phonemes (seconds, IPA names).
"""

import json
import logging
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import numpy as np
import soundfile
import soxr
from jaxtyping import Float

from talk3d.dataset import AUDIO_RATE
from talk3d.synthetic.sentences import LANGUAGES, SENTENCES, VOICES

__all__ = [
    "Phoneme",
    "Speech",
    "bundled_speech",
    "make_speech",
    "read_speech",
    "speak_text",
]

_log = logging.getLogger(__name__)

_TIMEOUT = 120.0
_PEAK = 0.6


@dataclass(frozen=True)
class Phoneme:
    """One sound of a speech."""

    start: float
    """Seconds."""
    end: float
    """Seconds."""
    name: str
    """IPA with stress marks; empty for silence."""


@dataclass(frozen=True)
class Speech:
    """Sound and what is said when."""

    wave: Float[np.ndarray, " samples"]
    """16 kHz mono, -1 to 1."""
    phonemes: tuple[Phoneme, ...]
    """In order of time."""
    source: str
    """The voice, or ``bundled``."""

    @property
    def seconds(self) -> float:
        """Length of the sound."""
        return len(self.wave) / AUDIO_RATE


def make_speech(seed: int, seconds: float) -> Speech:
    """Return ``seconds`` of speech, language and voice drawn from the seed.

    The last sentence is cut off where the time is over. Without espeak-ng the bundled
    sample is repeated.
    """
    generator = np.random.default_rng([seed, 50])
    language = LANGUAGES[generator.integers(len(LANGUAGES))]
    voices, sentences = VOICES[language], SENTENCES[language]
    voice = voices[generator.integers(len(voices))]
    rate, pitch = int(generator.integers(130, 180)), int(generator.integers(30, 75))
    parts: list[Speech] = []
    while sum(part.seconds for part in parts) < seconds:
        order = generator.permutation(len(sentences))[: max(3, int(seconds / 3))]
        text = " ".join(sentences[k] for k in order)
        try:
            part = speak_text(text, voice=voice, rate=rate, pitch=pitch)
        except OSError as error:
            _log.info("the bundled speech is used: %s", error)
            part = bundled_speech()
        parts.append(part)
    return _cut(_join(parts), seconds)


def speak_text(text: str, *, voice: str, rate: int, pitch: int) -> Speech:
    """Speak a text with espeak-ng in a process of its own.

    Args:
        text: what to say.
        voice: an espeak-ng voice, for example ``en-us+f2``.
        rate: words per minute.
        pitch: 0 to 99.

    Raises:
        OSError: if espeak-ng is missing or fails.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        job = {
            "text": text,
            "voice": voice,
            "rate": rate,
            "pitch": pitch,
            "wave": str(folder / "speech.wav"),
            "phonemes": str(folder / "phonemes.json"),
        }
        file = folder / "job.json"
        file.write_text(json.dumps(job), encoding="utf-8")
        command = [sys.executable, "-m", "talk3d.synthetic.espeak", str(file)]
        result = subprocess.run(  # noqa: S603
            command, capture_output=True, timeout=_TIMEOUT, check=False, text=True
        )
        if result.returncode != 0:
            last = result.stderr.strip().splitlines()[-1:] or ["no message"]
            message = f"espeak-ng could not speak: {last[0]}"
            raise OSError(message)
        wave, source_rate = soundfile.read(job["wave"], dtype="float32")
        rows = json.loads(Path(job["phonemes"]).read_text(encoding="utf-8"))
    wave = soxr.resample(wave, source_rate, AUDIO_RATE).astype(np.float32)
    return Speech(
        wave=wave * np.float32(_PEAK / max(float(np.abs(wave).max()), 1e-6)),
        phonemes=tuple(Phoneme(*row) for row in rows),
        source=voice,
    )


def bundled_speech() -> Speech:
    """Return the sample that ships with the package."""
    folder = resources.files("talk3d") / "data"
    with resources.as_file(folder / "sample_speech.flac") as path:
        wave, _ = soundfile.read(path, dtype="float32")
    rows = json.loads((folder / "sample_speech.json").read_text(encoding="utf-8"))
    return Speech(wave, tuple(Phoneme(*row) for row in rows), "bundled")


def read_speech(sound: Path, phonemes: Path) -> Speech:
    """Read a recording with the times of its phonemes.

    Args:
        sound: any sound file that libsndfile reads; several channels are averaged.
        phonemes: JSON, rows of start, end (seconds) and IPA name, empty for silence.

    Raises:
        FileNotFoundError: if a file is missing.
        ValueError: if the rows are not of that form.
    """
    for path in (sound, phonemes):
        if not path.is_file():
            message = f"no file {path}: give a sound and the times of its phonemes"
            raise FileNotFoundError(message)
    wave, source_rate = soundfile.read(sound, dtype="float32", always_2d=True)
    wave = soxr.resample(wave.mean(1), source_rate, AUDIO_RATE).astype(np.float32)
    try:
        rows = [
            Phoneme(float(start), float(end), str(name))
            for start, end, name in json.loads(phonemes.read_text(encoding="utf-8"))
        ]
    except (ValueError, TypeError) as error:
        message = (
            f"{phonemes} holds no phoneme times ({error}): give a JSON list of"
            " [start, end, name]"
        )
        raise ValueError(message) from error
    return Speech(wave, tuple(rows), sound.name)


def _join(parts: list[Speech]) -> Speech:
    waves, phonemes, start = [], [], 0.0
    for part in parts:
        waves.append(part.wave)
        phonemes += [
            Phoneme(p.start + start, p.end + start, p.name) for p in part.phonemes
        ]
        start += part.seconds
    return Speech(np.concatenate(waves), tuple(phonemes), parts[0].source)


def _cut(speech: Speech, seconds: float) -> Speech:
    kept = tuple(
        Phoneme(p.start, min(p.end, seconds), p.name)
        for p in speech.phonemes
        if p.start < seconds
    )
    return Speech(speech.wave[: round(seconds * AUDIO_RATE)], kept, speech.source)
