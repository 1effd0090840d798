"""Write a corpus of speech with the mouth that goes with it, without rendering.

The folder holds ``corpus.json`` {format, seed, rounds, phones, mouth, shards} and one
``speech-00000.safetensors`` per round, every voice speaking once or twice in each:

    power  f16 frames x 257   10 log10 of the mean square per frequency, 100 frames/s
    mouth  f16 frames x 12    expression weights in the order of ``MOUTH``
    phone  u8  frames         index into ``PHONES``
    start  i64 utterances + 1 first frame of each utterance, and the end

A round that exists is not made again.
"""

import json
import logging
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import soxr
import torch
from jaxtyping import Float, UInt8
from safetensors.numpy import save_file

from talk3d.audio import FRAME_RATE, power_spectra
from talk3d.checkpoint import write_atomically
from talk3d.dataset import AUDIO_RATE
from talk3d.speech.network import MOUTH, PHONES
from talk3d.synthetic.articulation import articulate, split_phonemes
from talk3d.synthetic.head import expression_indices
from talk3d.synthetic.speech import Phoneme, Speech
from talk3d.synthetic.voices import VOICES, Voice, draw_text, speak

__all__ = ["SpeechCorpusConfig", "label", "write_speech_corpus"]

_LOG = logging.getLogger(__name__)
_FORMAT = 1
_WORDS = 40
_FLOOR = 1e-12


@dataclass(frozen=True)
class SpeechCorpusConfig:
    """What is written."""

    rounds: int = 12
    """Rounds; each lasts about 22 minutes of speech."""
    seed: int = 0
    """Source of all chance."""
    voices: tuple[Voice, ...] = VOICES
    """Who speaks. A voice whose program is missing is left out."""
    recorded_twice: bool = True
    """Let voices made from recordings speak twice a round."""
    words: int = _WORDS
    """Words of an utterance."""

    def __post_init__(self) -> None:
        """Check the ranges."""
        if min(self.rounds, self.words) < 1:
            message = (
                f"rounds {self.rounds}, words {self.words}: give at least 1 of each"
            )
            raise ValueError(message)


def write_speech_corpus(
    out: Path, config: SpeechCorpusConfig
) -> Iterator[tuple[int, float]]:
    """Write the corpus, yielding the round and its length in seconds.

    Raises:
        OSError: if no voice at all could speak.
        ValueError: if the folder holds a corpus of another seed.
    """
    _check_seed(out / "corpus.json", config.seed)
    out.mkdir(parents=True, exist_ok=True)
    shards = []
    for number in range(config.rounds):
        name = f"speech-{number:05d}.safetensors"
        shards.append(name)
        if not (out / name).is_file():
            arrays = _round(config, number)
            with write_atomically(out / name) as temporary:
                save_file(arrays, temporary)
            yield number, len(arrays["phone"]) / FRAME_RATE
        content = {
            "format": _FORMAT,
            "seed": config.seed,
            "rounds": number + 1,
            "phones": PHONES,
            "mouth": MOUTH,
            "voices": [asdict(voice) for voice in config.voices],
            "shards": shards,
        }
        with write_atomically(out / "corpus.json") as temporary:
            temporary.write_text(json.dumps(content, indent=1), encoding="utf-8")


def _check_seed(file: Path, seed: int) -> None:
    """Refuse to go on with a corpus that was drawn from another seed."""
    if not file.is_file():
        return
    theirs = json.loads(file.read_text(encoding="utf-8")).get("seed")
    if theirs != seed:
        message = (
            f"{file.parent} holds a corpus of seed {theirs}, not {seed}: give the same"
            " --seed, or another folder"
        )
        raise ValueError(message)


def label(
    speech: Speech, frames: int
) -> tuple[Float[np.ndarray, "frames 12"], UInt8[np.ndarray, " frames"]]:
    """Return mouth weights and phones of a speech, 100 frames a second."""
    times = np.arange(frames) / FRAME_RATE
    phonemes = split_phonemes(speech.phonemes)
    weights = articulate(phonemes, times)
    columns = [expression_indices(name)[0] for name in MOUTH]
    phone = np.zeros(frames, np.uint8)
    for phoneme in phonemes:
        inside = (times >= phoneme.start) & (times < phoneme.end)
        phone[inside] = PHONES.index(phoneme.name)
    return weights[:, columns].astype(np.float32), phone


def _round(config: SpeechCorpusConfig, number: int) -> dict[str, np.ndarray]:
    rows: dict[str, list[np.ndarray]] = {"power": [], "mouth": [], "phone": []}
    start = [0]
    for index, voice in enumerate(config.voices):
        twice = config.recorded_twice and voice.program != "espeak"
        for time in range(2 if twice else 1):
            chance = np.random.default_rng([config.seed, 60, number, index, time])
            text = draw_text(voice, chance, words=config.words)
            try:
                speech = _varied(speak(voice, text, chance), chance)
                power = power_spectra(torch.from_numpy(speech.wave)).numpy()
                mouth, phone = label(speech, len(power))
            except (OSError, ValueError) as error:
                _LOG.warning("voice %s is left out: %s", voice.name, error)
                continue
            decibels = 10 * np.log10(np.maximum(power, _FLOOR))
            rows["power"].append(decibels.astype(np.float16))
            rows["mouth"].append(mouth.astype(np.float16))
            rows["phone"].append(phone)
            start.append(start[-1] + len(power))
    if len(start) == 1:
        message = "no voice could speak: install espeak-ng, flite or festival"
        raise OSError(message)
    # The file keeps rows: an array that lies by columns would be stored scrambled.
    arrays = {
        name: np.ascontiguousarray(np.concatenate(parts))
        for name, parts in rows.items()
    }
    return arrays | {"start": np.array(start, np.int64)}


def _varied(speech: Speech, chance: np.random.Generator) -> Speech:
    """Return the speech faster and higher, or slower and lower: another throat."""
    if chance.random() < 0.4:
        return speech
    factor = float(np.exp(chance.uniform(np.log(0.85), np.log(1.2))))
    wave = soxr.resample(speech.wave, AUDIO_RATE * factor, AUDIO_RATE)
    phonemes = tuple(
        Phoneme(p.start / factor, p.end / factor, p.name) for p in speech.phonemes
    )
    return Speech(np.asarray(wave, np.float32), phonemes, speech.source)
