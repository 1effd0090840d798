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

__all__ = ["Phoneme", "Speech", "bundled_speech", "make_speech", "speak_text"]

_log = logging.getLogger(__name__)

_TIMEOUT = 120.0
_PEAK = 0.6
_VOICES = (
    "en-us", "en-us+m1", "en-us+m3", "en-us+m7", "en-us+f1", "en-us+f2", "en-us+f4",
    "en", "en+m2", "en+f3", "en-gb-x-rp", "en-gb-x-rp+f1", "en-gb-scotland", "en-029",
)  # fmt: skip
SENTENCES = (
    "Good morning, and thank you for joining me today.",
    "My mother bought five big apples at the village market.",
    "Please move the blue boat before the wave brings it back.",
    "We never found out why the old clock stopped at noon.",
    "Both brothers played football in the park until it was dark.",
    "She showed us a short film about whales in the northern sea.",
    "If you push the button twice, the lamp will slowly fade.",
    "The judge asked who had opened the window in the hall.",
    "Five very fine voices filled the valley with a familiar song.",
    "I would rather walk home than wait for another bus.",
    "The baker put warm bread, butter and plum jam on the table.",
    "Our garden is full of yellow roses, and bees love them.",
    "Why did the young man choose such a huge grey coat?",
    "A quick brown fox jumps over the lazy dog, they say.",
    "Maybe we should leave early, because the roads may be busy.",
    "The chef cooked mushrooms and fresh fish for the whole group.",
    "Three thin thieves thought a thousand thoughts on Thursday.",
    "Could you read that number again: six, eleven, forty two?",
    "My neighbour's piano is out of tune, but I like the sound.",
    "Wool, cheese, papa, mama, baby: watch how the lips meet.",
    "The museum opens at nine, and the first hour is free.",
    "He promised to bring the map, the rope and a pair of boots.",
    "Snow fell all night, and by dawn the hills were white.",
    "You choose the music, and I will choose the movie.",
    "Usually the pleasure of a journey lies in the unexpected.",
    "Few people remember the name of the bridge builder.",
    "Put the pepper back beside the blue bowl, please.",
    "What a wonderful view we have from up here!",
    "The doctor gave her patient very simple advice.",
    "Oh no, I forgot to water the flowers on the balcony.",
)


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
    """Return at least ``seconds`` of speech with a voice drawn from the seed.

    Without espeak-ng the bundled sample is repeated.
    """
    generator = np.random.default_rng([seed, 50])
    voice = _VOICES[generator.integers(len(_VOICES))]
    rate, pitch = int(generator.integers(130, 180)), int(generator.integers(30, 75))
    parts: list[Speech] = []
    while sum(part.seconds for part in parts) < seconds:
        order = generator.permutation(len(SENTENCES))[: max(3, int(seconds / 3))]
        text = " ".join(SENTENCES[k] for k in order)
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
