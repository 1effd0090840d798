import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from talk3d.dataset import Subject
from talk3d.synthetic import speech as speech_module
from talk3d.synthetic.articulation import articulate, lip_contact, split_phonemes
from talk3d.synthetic.head import EXPRESSIONS, LIPS_LOWER, LIPS_UPPER
from talk3d.synthetic.motion import perform
from talk3d.synthetic.people import make_person, pose_person
from talk3d.synthetic.sentences import SENTENCES, VOICES
from talk3d.synthetic.speech import (
    Phoneme,
    Speech,
    bundled_speech,
    make_speech,
    read_speech,
)
from talk3d.synthetic.talking import TalkConfig, write_talk


@pytest.fixture
def no_espeak(monkeypatch):
    def refuse(*_, **__):
        raise OSError("no espeak-ng library")

    monkeypatch.setattr(speech_module, "speak_text", refuse)


def test_bundled_speech_is_whole():
    speech = bundled_speech()
    assert speech.seconds > 15
    assert np.abs(speech.wave).max() > 0.3
    starts = [phoneme.start for phoneme in speech.phonemes]
    assert starts == sorted(starts)
    assert speech.phonemes[-1].end == pytest.approx(speech.seconds, abs=0.01)


def test_speech_without_espeak_is_the_sample_repeated(no_espeak):
    speech = make_speech(1, 30.0)
    assert speech.source == "bundled"
    assert speech.seconds == pytest.approx(30.0, abs=1e-4)
    sample = bundled_speech()
    repeat = len(sample.wave)
    assert (speech.wave[repeat : repeat + 1000] == sample.wave[:1000]).all()


def test_espeak_runs_in_its_own_process():
    make_speech(0, 1.0)
    assert "talk3d.synthetic.espeak" not in sys.modules


def test_spoken_speech_is_deterministic():
    try:
        one = speech_module.speak_text("Mama", voice="en-us", rate=150, pitch=50)
    except OSError as error:
        pytest.skip(str(error))
    two = speech_module.speak_text("Mama", voice="en-us", rate=150, pitch=50)
    assert (one.wave == two.wave).all()
    names = [phoneme.name for phoneme in one.phonemes]
    assert names.count("m") == 2


def test_diphthongs_and_affricates_are_split():
    parts = split_phonemes((Phoneme(0.0, 0.2, "aɪ"), Phoneme(0.2, 0.3, "tʃ")))
    assert [part.name for part in parts] == ["a", "ɪ", "t", "ʃ"]
    assert parts[1].start == pytest.approx(0.1)
    assert split_phonemes((Phoneme(0.0, 0.1, ""),))[0].name == "_"


def test_every_phoneme_of_the_sample_is_known():
    parts = split_phonemes(bundled_speech().phonemes)
    assert {"p", "b", "m", "f", "v", "w"} <= {part.name for part in parts}


def test_bilabials_shut_the_lips(head, surface):
    person = make_person(surface, 3)
    phonemes = split_phonemes(bundled_speech().phonemes)
    middle = [(p.start + p.end) / 2 for p in phonemes if p.name in "pbm"]
    vowels = [
        (p.start + p.end) / 2
        for p in phonemes
        if p.name in "æɑa" and p.end - p.start > 0.08
    ]
    gaps = {}
    for name, times in (("shut", middle), ("open", vowels)):
        weights = articulate(phonemes, np.array(times)).astype(np.float32)
        gaps[name] = [
            head.gap(
                pose_person(head, person, row, np.zeros(4, np.float32)),
                LIPS_UPPER,
                LIPS_LOWER,
            )
            for row in weights
        ]
    assert len(middle) > 10
    # closure counts below 0.05 cm (docs/protocol)
    assert max(gaps["shut"]) < 0.05
    assert np.median(gaps["open"]) > 0.35


def test_contact_leaves_short_vowels_open():
    phonemes = [
        Phoneme(0.00, 0.06, "p"),
        Phoneme(0.06, 0.12, "ə"),
        Phoneme(0.12, 0.18, "p"),
    ]
    times = np.array([0.03, 0.09, 0.15])
    contact = lip_contact(phonemes, times, sounds="pbm")
    assert contact[0] == contact[2] == 1
    assert contact[1] < 0.3


def test_performance_is_in_range_and_repeatable():
    wave = np.sin(np.arange(16000 * 6) * 0.05).astype(np.float32)
    speech = Speech(wave, (Phoneme(0.5, 0.7, "m"), Phoneme(0.7, 1.2, "ɑː")), "test")
    one, two = (
        perform(speech, fps=25.0, generator=np.random.default_rng(4)) for _ in range(2)
    )
    assert one.expression.shape == (150, 53)
    assert (one.expression == two.expression).all()
    assert one.expression.min() >= 0
    assert one.expression.max() <= 1
    blink = one.expression[:, EXPRESSIONS.index("eyeBlink_L")]
    assert blink.max() > 0.9
    assert np.abs(np.degrees(one.turn)).max() <= 28.001
    jaw = one.expression[:, EXPRESSIONS.index("jawOpen")]
    assert jaw[20:27].max() > 0.3
    assert jaw[100:].max() < 0.05


def test_a_talking_subject(opengl, no_espeak, tmp_path):
    config = TalkConfig(
        seed=3, seconds=0.4, size=48, oversample=1, truth_yaws=(30.0,), truth_frames=2
    )
    write_talk(tmp_path, config)
    subject = Subject.open(tmp_path)
    assert subject.frames == 10
    assert subject.info["synthetic"] is True
    assert len(subject.audio()) == pytest.approx(0.4 * 16000, abs=1)
    image, matte, plate = subject.frame(0), subject.matte(0), subject.plate()
    # JPEG leaves the background as it is within a few levels
    apart = np.abs(image.astype(float) - plate)[matte == 0]
    assert np.median(apart) < 4
    truth = load_file(tmp_path / "truth/arrays.safetensors")
    assert truth["landmarks_3d"].shape == (10, 478, 3)
    assert truth["visible"].mean() > 0.6
    view = load_file(tmp_path / "truth/yaw+30.safetensors")
    assert view["depth"].shape == (2, 48, 48)
    recorded = load_file(tmp_path / "truth/recorded.safetensors")
    frames = json.loads((tmp_path / "truth/truth.json").read_text())["frames"]
    assert frames == [0, 9]
    assert (recorded["image"][1, ..., 3] == subject.matte(9)).all()
    assert (recorded["camera"] == subject.arrays["camera"][frames]).all()
    assert (tmp_path / "source.mp4").stat().st_size > 1000


def test_bad_configs():
    with pytest.raises(ValueError, match=r"seconds is 0\.0"):
        TalkConfig(seconds=0.0)
    with pytest.raises(ValueError, match="size is 100: give a multiple of 8"):
        TalkConfig(size=100)
    with pytest.raises(ValueError, match="text and sound"):
        TalkConfig(text="a", sound=bundled_folder() / "sample_speech.flac")


def bundled_folder():
    return Path(speech_module.__file__).parents[1] / "data"


def test_an_unknown_phoneme_is_named():
    with pytest.raises(ValueError, match=re.escape("unknown phoneme 'Ж'")):
        split_phonemes((Phoneme(0.0, 0.1, "Ж"),))


def test_an_unknown_language_is_named():
    with pytest.raises(OSError, match=r"does not know the voice 'xx-nowhere'|library"):
        speech_module.speak_text("a", voice="xx-nowhere", rate=150, pitch=50)


def test_nasal_and_stressed_vowels_are_known():
    parts = split_phonemes((Phoneme(0.0, 0.1, "ˈɑ̃ː"), Phoneme(0.1, 0.2, "øː")))
    assert [part.name for part in parts] == ["ɑ", "ø"]


@pytest.mark.parametrize("language", sorted(SENTENCES))
def test_every_language_is_spoken_with_known_phonemes(language):
    text = " ".join(SENTENCES[language][:4])
    try:
        speech = speech_module.speak_text(
            text, voice=VOICES[language][0], rate=150, pitch=50
        )
    except OSError as error:
        pytest.skip(str(error))
    names = {part.name for part in split_phonemes(speech.phonemes)}
    assert len(names) > 12
    assert speech.seconds > 5


def test_a_recording_with_its_phonemes(tmp_path):
    sound = bundled_folder() / "sample_speech.flac"
    speech = read_speech(sound, sound.with_suffix(".json"))
    assert speech.seconds == pytest.approx(bundled_speech().seconds)
    assert speech.phonemes == bundled_speech().phonemes
    bad = tmp_path / "bad.json"
    bad.write_text("[[0.0, 0.1]]")
    with pytest.raises(ValueError, match=r"bad\.json holds no phoneme times"):
        read_speech(sound, bad)
    with pytest.raises(FileNotFoundError, match="no file"):
        read_speech(tmp_path / "none.wav", bad)
