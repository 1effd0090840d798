"""A data folder of its own for every test, and avatars that need no training."""

import numpy as np
import pytest
import soundfile
import torch

from talk3d import speaking
from talk3d.avatar import Avatar
from talk3d.checkpoint import save_model
from talk3d.motion import continued
from talk3d.trust.consent import Consent

SIZE = 128


@pytest.fixture(autouse=True)
def data(tmp_path, monkeypatch):
    monkeypatch.setenv("TALK3D_DATA", str(tmp_path / "data"))
    monkeypatch.delenv("TALK3D_IDENTITY", raising=False)
    return tmp_path / "data"


@pytest.fixture
def agreed():
    return Consent("Ann", "self", "on paper, in the safe", "2026-01-02")


def picture(shift=0, size=SIZE):
    """Return a smooth picture with some edges."""
    y, x = np.mgrid[:size, :size] / size
    red = 128 + 60 * np.sin(9 * x + 5 * y + shift / 9)
    green = 120 + 80 * (np.hypot(x - 0.5 - shift / 900, y - 0.5) < 0.3)
    blue = 90 + 50 * y
    return np.stack([red, green, blue], axis=-1).astype(np.uint8)


@pytest.fixture
def bare_avatar(tmp_path):
    """An avatar file as one without consent would be."""
    path = tmp_path / "me.safetensors"
    state = {"motion.a": torch.arange(6.0), "person.b": torch.ones(2, 3).half()}
    save_model(path, state, kind="avatar", config={}, extra={"name": "me", "fps": 25.0})
    return path


class _Drawn(Avatar):
    """Stands in for a loaded avatar: what is tested begins behind its frames."""

    def __init__(self):
        self.info = {"fps": 25.0}
        self.plate = torch.full((3, SIZE, SIZE), 90, dtype=torch.uint8)

    def motion(self, count, *, seed):
        return continued(torch.zeros(1, 3), torch.zeros(1, 6), count, seed=seed)

    def speak(self, wave, _view, **_):
        for index in range(max(1, len(wave) // 640)):
            alpha = np.full((SIZE, SIZE, 1), 255, np.uint8)
            yield np.concatenate([picture(index), alpha], axis=2)


@pytest.fixture
def drawn(monkeypatch):
    monkeypatch.setattr(speaking, "load_avatar", lambda *_, **__: _Drawn())


@pytest.fixture
def speech(tmp_path):
    wave = 0.1 * np.sin(np.arange(48_000) / 9).astype(np.float32)
    soundfile.write(tmp_path / "speech.wav", wave, 16_000)
    return tmp_path / "speech.wav"
