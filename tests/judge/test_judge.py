"""The judge of lips and sound: what it measures, learns and says."""

from dataclasses import asdict, replace
from itertools import islice

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file
from tests.drawn import write_speech_corpus

from talk3d.checkpoint import save_model
from talk3d.face import load_face_shape
from talk3d.interrupted import StateFile
from talk3d.judge.mouth import mouth_lengths
from talk3d.judge.network import KIND, JudgeConfig, SyncJudge, load_judge, shipped_judge
from talk3d.judge.train import JudgeTrainConfig, MouthModel, save_judge, train_judge
from talk3d.judge.verdict import judge_sync
from talk3d.speech.network import MOUTH
from talk3d.speech.train import SpeechCorpus
from talk3d.synthetic.speech import bundled_speech
from talk3d.synthetic.speech_corpus import label

CONFIG = JudgeTrainConfig(
    steps=40, batch=3, frames=24, network=JudgeConfig.tiny(), seed=3
)
RATE = 16_000


def face(weights):
    """Return the average face's landmarks for mouth weights by name."""
    shape, names = load_face_shape(), list(load_face_shape().expression_names)
    points = shape.mean[:, :2].copy()
    for name, weight in weights.items():
        for side in (name, f"{name}_L", f"{name}_R"):
            if side in names:
                points += weight * shape.expression[names.index(side)][:, :2]
    return points


@pytest.fixture(scope="module")
def talk():
    """The sample speech, and 25 pictures a second of lips that say it."""
    speech = bundled_speech()
    weights, _ = label(speech, round(len(speech.wave) / RATE * 100))
    frames = weights[2::4]
    rows = [dict(zip(MOUTH, row.tolist(), strict=True)) for row in frames]
    return np.stack([face(row) for row in rows]).astype(np.float32), speech.wave


def scale_of(track):
    return float(np.linalg.norm(track[0, 33] - track[0, 263]))


def test_lengths_are_those_of_the_mouth_however_it_lies():
    shut, open_ = (torch.from_numpy(face({"jawOpen": w})) for w in (0.0, 0.4))
    scale = float((shut[33] - shut[263]).norm())
    lengths = mouth_lengths(torch.stack([shut, open_]), scale)
    assert lengths[1, 0] > lengths[0, 0] + 5
    assert lengths[1, 1] > lengths[0, 1] + 5
    turn = torch.tensor([[0.8, -0.6], [0.6, 0.8]], dtype=shut.dtype)
    moved = 3 * torch.stack([shut, open_]) @ turn + 7
    torch.testing.assert_close(mouth_lengths(moved, 3 * scale), lengths)


def test_drawn_mouths_follow_the_weights():
    weights = torch.zeros(4, 50, len(MOUTH))
    weights[:, 20:30, MOUTH.index("jawOpen")] = 0.5
    seen = MouthModel().seen(weights, generator=torch.Generator().manual_seed(0))
    assert seen.shape == (4, 50, 4)
    gap = seen[..., 0]
    assert (gap[:, 20:30].mean(1) > gap[:, :20].mean(1) + 3).all()


@pytest.mark.parametrize("change", [{"steps": 0}, {"batch": 0}, {"frames": 16}])
def test_a_training_of_nothing_is_refused(change):
    with pytest.raises(ValueError, match="give at least 1, 1 and 17"):
        replace(CONFIG, **change)


def test_training_finds_the_sound_and_repeats(tmp_path):
    corpus = SpeechCorpus(write_speech_corpus(tmp_path))
    runs = [list(train_judge(corpus, CONFIG)) for _ in range(2)]
    losses = [measures["loss"] for _, measures, _ in runs[0]]
    assert np.mean(losses[-5:]) < np.mean(losses[:5]) - 0.3
    assert losses == [measures["loss"] for _, measures, _ in runs[1]]
    network = runs[0][-1][2].eval()
    save_judge(tmp_path / "j.safetensors", network, corpus, step=40)
    again = load_judge(tmp_path / "j.safetensors")
    given = torch.randn(1, 10, 4), torch.rand(1, 40, 80)
    for new, old in zip(again(*given), network(*given), strict=True):
        torch.testing.assert_close(new, old, atol=0.05, rtol=0.05)


def test_a_resumed_training_equals_an_uninterrupted_one(tmp_path):
    corpus = SpeechCorpus(write_speech_corpus(tmp_path))
    config = replace(CONFIG, steps=5)
    whole = list(train_judge(corpus, config))[-1][2].state_dict()
    state = StateFile(tmp_path / "j.state", every=2)
    list(islice(train_judge(corpus, config, state=state), 3))
    rest = list(train_judge(corpus, config, state=state))
    assert [step for step, _, _ in rest] == [3, 4, 5]
    for name, value in rest[-1][2].state_dict().items():
        torch.testing.assert_close(whole[name], value, atol=0, rtol=0)


@pytest.mark.parametrize("late", [-0.24, -0.04, 0.0, 0.1, 0.4])
def test_the_shipped_judge_tells_how_late_the_sound_is(talk, late):
    track, wave = talk
    quiet = np.zeros(round(abs(late) * RATE), np.float32)
    moved = np.concatenate([quiet, wave]) if late > 0 else wave[len(quiet) :]
    verdict = judge_sync(shipped_judge(), track, moved, fps=25.0, scale=scale_of(track))
    assert verdict.offset == pytest.approx(late, abs=0.02)
    assert verdict.confidence > 1
    assert (verdict.in_step > 0) == (abs(late) < 0.05)


def test_neither_size_nor_frame_rate_changes_the_verdict(talk):
    track, wave = talk
    whole = judge_sync(shipped_judge(), track, wave, fps=25.0, scale=scale_of(track))
    times = (np.arange(2 * len(track)) + 0.5) / 50
    place = np.clip(times * 25 - 0.5, 0, len(track) - 1)
    low = np.minimum(place.astype(int), len(track) - 2)
    part = (place - low)[:, None, None]
    dense = (track[low] * (1 - part) + track[low + 1] * part).astype(np.float32)
    again = judge_sync(
        shipped_judge(), 100 * dense, wave, fps=50.0, scale=100 * scale_of(track)
    )
    assert again.offset == pytest.approx(whole.offset, abs=0.01)
    assert again.confidence == pytest.approx(whole.confidence, rel=0.1)


def test_lips_of_other_words_are_not_believed(talk):
    track, wave = talk
    own = judge_sync(shipped_judge(), track, wave, fps=25.0, scale=scale_of(track))
    other = judge_sync(
        shipped_judge(), track[::-1].copy(), wave, fps=25.0, scale=scale_of(track)
    )
    assert other.confidence < 0.5 * own.confidence
    assert other.in_step < 0


def test_too_little_tells_nothing(talk):
    track, wave = talk
    short = judge_sync(shipped_judge(), track[:20], wave, fps=25.0, scale=1.0)
    lost = np.where(np.arange(len(track))[:, None, None] % 3, np.nan, track)
    gone = judge_sync(shipped_judge(), lost, wave, fps=25.0, scale=1.0)
    for verdict in (short, gone):
        assert np.isnan(verdict.offset)
        assert verdict.confidence == 0


def test_weights_that_do_not_fit_are_refused(tmp_path):
    path, network = tmp_path / "j.safetensors", SyncJudge(JudgeConfig.tiny())
    for config in (asdict(JudgeConfig()), {}):
        save_model(path, network.state_dict(), kind=KIND, config=config)
        with pytest.raises(ValueError, match="do not fit its configuration"):
            load_judge(path)


def test_another_file_is_no_judge(tmp_path):
    save_file({"a": np.zeros(1)}, tmp_path / "j.safetensors")
    with pytest.raises(ValueError, match="is not a talk3d model"):
        load_judge(tmp_path / "j.safetensors")
