"""SyncNet with made-up weights: names, cepstra, offsets, and other files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from talk3d.evaluate.learned import LearnedScores
from talk3d.evaluate.syncnet import SyncNet, cepstra, load_syncnet, published_shapes

LAYERS = {
    "netcnnaud.0": (64, 1, 3, 3),
    "netcnnaud.4": (192, 64, 3, 3),
    "netcnnaud.8": (384, 192, 3, 3),
    "netcnnaud.11": (256, 384, 3, 3),
    "netcnnaud.14": (256, 256, 3, 3),
    "netcnnaud.18": (512, 256, 5, 4),
    "netfcaud.0": (512, 512),
    "netfcaud.3": (1024, 512),
    "netfclip.0": (512, 512),
    "netfclip.3": (1024, 512),
    "netcnnlip.0": (96, 3, 5, 7, 7),
    "netcnnlip.4": (256, 96, 1, 5, 5),
    "netcnnlip.8": (256, 256, 1, 3, 3),
    "netcnnlip.11": (256, 256, 1, 3, 3),
    "netcnnlip.14": (256, 256, 1, 3, 3),
    "netcnnlip.18": (512, 256, 1, 6, 6),
}
"""Weights of the published file."""

CEPSTRA = np.array(
    [
        [18.8946, 22.3212, 5.7033, -11.105, -25.7318, -33.8349, -31.8849, -23.0251,
         -10.233, 1.0063, 8.4494, 10.2113, 8.1831],
        [19.5443, 17.6928, -5.9504, -27.3753, -38.008, -32.6884, -13.7589, 6.1813,
         18.1503, 17.1944, 8.5692, -1.8749, -7.4881],
        [20.2373, 12.9105, -18.175, -36.7697, -28.7136, -0.4852, 25.1598, 26.7389,
         7.4441, -14.4755, -20.0814, -9.9159, 4.3186],
    ]
)  # fmt: skip
"""Steps 0, 2 and 5 of a rising tone, by python_speech_features 0.6."""


@pytest.fixture(scope="module")
def weights(tmp_path_factory) -> Path:
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("syncnet") / "made-up.safetensors"
    save_file(SyncNet().state_dict(), path)
    return path


def test_names_and_shapes_are_the_published_ones():
    shapes = published_shapes()
    layers = {
        name.removesuffix(".weight"): shape
        for name, shape in shapes.items()
        if name.endswith(".weight") and len(shape) > 1
    }
    assert layers == LAYERS
    assert shapes["netcnnlip.19.running_var"] == (512,)
    assert shapes["netfcaud.1.running_mean"] == (512,)


def test_cepstra_are_those_of_the_published_package():
    time = np.arange(1200) / 16_000
    tone = 8000 * np.sin(2 * np.pi * (300 * time + 4000 * time**2))
    found = cepstra((np.round(tone) / 32768).astype(np.float32))
    assert found.shape == (6, 13)
    np.testing.assert_allclose(found[[0, 2, 5]], CEPSTRA, atol=2e-4)


def test_silence_has_finite_cepstra():
    assert np.isfinite(cepstra(np.zeros(8000, np.float32))).all()


class _Told(SyncNet):
    """Hears the energy of the first step, sees the brightness of the first face."""

    def hear(self, sound: torch.Tensor) -> torch.Tensor:
        return _spread(sound[:, 0, 0, 0])

    def see(self, faces: torch.Tensor) -> torch.Tensor:
        return _spread(faces[:, :, 0].mean((1, 2, 3)) / 8)


def _spread(value: torch.Tensor) -> torch.Tensor:
    return value[:, None].expand(-1, 1024) / 32


@pytest.mark.parametrize("late", [-3, 0, 4])
@pytest.mark.parametrize("fps", [25.0, 50.0])
def test_finds_how_late_the_sound_is(late, fps):
    chance = np.random.default_rng(1)
    loud = np.repeat(np.exp(chance.uniform(-4, 0, 100)), 640)
    wave = (0.9 * loud * chance.choice([-1.0, 1.0], len(loud))).astype(np.float32)
    energy = cepstra(wave)[::4, 0]
    bright = np.interp(np.arange(100) + late, np.arange(len(energy)), energy)

    def shots(k: int) -> np.ndarray:
        grey = 8 * bright[min(int((k + 0.5) / fps * 25), 99)]
        return np.full((120, 120, 3), round(grey), np.uint8)

    place = chance.uniform(40, 80, (478, 2)).astype(np.float32)
    track = np.repeat(place[None], round(100 * fps / 25), axis=0)
    score = _Told().judge(shots, track, wave, fps=fps)
    assert score is not None
    assert score.offset == pytest.approx(late / 25)
    # Beyond the ends the sound is zeros, as published, which costs up to 4 of 95.
    assert score.distance < 1
    assert score.confidence > score.distance


def test_tells_nothing_of_a_clip_that_is_too_short_or_shows_no_face(weights):
    network = load_syncnet(weights)
    blank = np.zeros((64, 64, 3), np.uint8)
    track, wave = np.zeros((30, 478, 2), np.float32), np.zeros(64_000, np.float32)
    assert network.judge(lambda _: blank, track, wave, fps=25.0) is None
    lost = np.full((100, 478, 2), np.nan, np.float32)
    assert network.judge(lambda _: blank, lost, wave, fps=25.0) is None


def test_an_evaluation_says_what_was_not_given(weights):
    assert LearnedScores(None, None).missing["SyncNet"] == "no weights were given"
    assert "SyncNet" not in LearnedScores(None, None, weights).missing


def test_refuses_other_files(tmp_path, weights):
    with pytest.raises(FileNotFoundError, match="no weights"):
        load_syncnet(tmp_path / "absent.model")
    state = SyncNet().state_dict()
    short = dict(state)
    del short["netcnnlip.18.weight"]
    save_file(short, tmp_path / "part.safetensors")
    with pytest.raises(ValueError, match=r"lacks netcnnlip\.18\.weight"):
        load_syncnet(tmp_path / "part.safetensors")
    state["netfclip.3.weight"] = torch.zeros(256, 512)
    save_file(state, tmp_path / "other.safetensors")
    with pytest.raises(ValueError, match="other shapes"):
        load_syncnet(tmp_path / "other.safetensors")
