"""Voices of free speech programs and the corpus they speak."""

import shutil

import numpy as np
import pytest
from safetensors.numpy import load_file

from talk3d.speech.network import MOUTH, PHONES
from talk3d.synthetic.articulation import SOUNDS
from talk3d.synthetic.speech import Phoneme, Speech
from talk3d.synthetic.speech_corpus import (
    SpeechCorpusConfig,
    label,
    write_speech_corpus,
)
from talk3d.synthetic.voices import VOICES, Voice, draw_text, ipa, speak

ESPEAK = Voice("espeak", "en-us", "english")


def needs(program):
    return pytest.mark.skipif(
        shutil.which(program) is None, reason=f"{program} is not installed"
    )


def test_texts_have_the_length_and_alphabet_asked_for():
    rng = np.random.default_rng(0)
    for voice in (VOICES[0], Voice("espeak", "de"), Voice("espeak", "ru", "russian")):
        text = draw_text(voice, rng, words=30)
        assert 30 <= len(text.split()) <= 60
        russian = sum("а" <= c <= "я" for c in text)
        assert (russian > 20) == (voice.text == "russian")


def test_every_sound_with_a_mouth_shape_is_among_the_phones():
    assert {ipa(name, {}) for name in SOUNDS - {"_"}} <= set(PHONES)


def test_labels_shut_the_lips_for_m_and_round_them_for_u():
    phonemes = (
        Phoneme(0.0, 0.3, ""),
        Phoneme(0.3, 0.5, "m"),
        Phoneme(0.5, 0.8, "uː"),
        Phoneme(0.8, 1.1, "ɑ"),
    )
    mouth, phone = label(Speech(np.zeros(1, np.float32), phonemes, "none"), 110)
    column = {name: k for k, name in enumerate(MOUTH)}
    at_m, at_u, at_a = mouth[40], mouth[63], mouth[97]
    assert [PHONES[phone[k]] for k in (10, 40, 63, 97)] == ["_", "m", "u", "ɑ"]
    opening = column["jawOpen"]
    assert at_m[opening] - at_m[column["mouthClose"]] < 0.1 < 0.3 < at_a[opening]
    assert at_u[column["mouthPucker"]] > 0.4 > at_a[column["mouthPucker"]]


@pytest.mark.parametrize(
    "voice",
    [
        pytest.param(ESPEAK, marks=needs("espeak-ng"), id="espeak"),
        pytest.param(
            Voice("flite", "slt", "english"), marks=needs("flite"), id="flite"
        ),
        pytest.param(
            Voice("festival", "kal_diphone", "english"),
            marks=needs("festival"),
            id="festival",
        ),
    ],
)
def test_phones_stand_where_their_sound_is(voice):
    """Vowels are loud, silence is not, and the names are IPA."""
    speech = speak(voice, "Mama bought five maps.", np.random.default_rng(0))
    assert speech.phonemes[-1].end <= speech.seconds + 0.05
    names = [p.name for p in speech.phonemes if p.name]
    joined = "".join(names)
    assert joined.count("m") == 3
    assert "f" in joined
    assert "v" in joined
    power = np.abs(speech.wave)

    def level(phoneme):
        a, b = int(phoneme.start * 16_000), int(phoneme.end * 16_000)
        return power[a:b].mean() if b > a else 0.0

    vowels = [level(p) for p in speech.phonemes if set(p.name) & set("ɑaɔæ")]
    silence = [level(p) for p in speech.phonemes if not p.name and p.end > p.start]
    assert min(vowels) > 3 * max([*silence, 1e-4])


@needs("espeak-ng")
def test_a_corpus_is_written_once_and_row_by_row(tmp_path):
    missing = Voice("festival", "nobody_diphone")
    config = SpeechCorpusConfig(rounds=1, voices=(ESPEAK, missing), words=6)
    assert len(list(write_speech_corpus(tmp_path, config))) == 1
    assert list(write_speech_corpus(tmp_path, config)) == []
    arrays = load_file(tmp_path / "speech-00000.safetensors")
    frames = int(arrays["start"][-1])
    assert arrays["power"].shape == (frames, 257)
    mouth = arrays["mouth"].astype(np.float32)
    assert mouth.shape == (frames, len(MOUTH))
    # Columns keep their meaning: the jaw moves most of all, smiles are faint.
    assert mouth[:, 0].max() > 0.25
    assert mouth[:, MOUTH.index("mouthShrugLower")].max() < 0.2


def test_a_corpus_of_another_seed_is_left_as_it_is(tmp_path):
    before = '{"seed": 3, "shards": []}'
    (tmp_path / "corpus.json").write_text(before)
    with pytest.raises(ValueError, match="holds a corpus of seed 3, not 4: give the"):
        list(write_speech_corpus(tmp_path, SpeechCorpusConfig(rounds=1, seed=4)))
    assert [path.name for path in tmp_path.iterdir()] == ["corpus.json"]
    assert (tmp_path / "corpus.json").read_text() == before


@pytest.mark.parametrize("change", [{"rounds": 0}, {"rounds": -1}, {"words": 0}])
def test_a_corpus_of_nothing_is_refused(change):
    with pytest.raises(ValueError, match="give at least 1 of each"):
        SpeechCorpusConfig(**change)


def test_without_a_voice_nothing_is_written(tmp_path):
    config = SpeechCorpusConfig(rounds=1, voices=(Voice("festival", "nobody"),))
    with pytest.raises(OSError, match="espeak-ng"):
        list(write_speech_corpus(tmp_path, config))
