"""The hearing network: what a moment may depend on, its file, silence."""

from dataclasses import asdict
from pathlib import Path

import pytest
import torch

from talk3d.audio import MelConfig, log_mel
from talk3d.checkpoint import save_model
from talk3d.speech.network import (
    KIND,
    Hearing,
    HearingConfig,
    load_hearing,
    shipped_hearing,
)


@pytest.fixture
def tiny():
    torch.manual_seed(0)
    return Hearing(HearingConfig.tiny()).eval()


def test_one_embedding_for_every_second_frame(tiny):
    for frames in (1, 2, 7, 50):
        assert tiny(torch.rand(1, frames, 20)).shape == (1, (frames + 1) // 2, 6)


def test_a_moment_depends_on_its_reach_and_on_nothing_else(tiny):
    features = torch.rand(200, 20)
    moment, reach = torch.tensor([1.0]), tiny.config.reach
    before = tiny.at(features, moment)
    margin = tiny.config.margin
    changed = features.clone()
    changed[: 100 - margin] += 1
    changed[100 + margin + 1 :] += 1
    torch.testing.assert_close(tiny.at(changed, moment), before)
    for edge in (100 - margin, 100 + margin):
        changed = features.clone()
        changed[edge] += 1
        assert not torch.equal(tiny.at(changed, moment), before)
    assert reach == margin / 100


def test_silence_around_a_sound_changes_nothing(tiny):
    features = torch.rand(60, 20)
    padded = torch.cat([torch.zeros(40, 20), features, torch.zeros(30, 20)])
    times = torch.linspace(-0.3, 0.9, 25)
    torch.testing.assert_close(tiny.at(padded, times + 0.4), tiny.at(features, times))


def test_moments_between_steps_are_interpolated(tiny):
    features = torch.rand(60, 20)
    ends = tiny.at(features, torch.tensor([0.20, 0.22]))
    middle = tiny.at(features, torch.tensor([0.21]))[0]
    torch.testing.assert_close(middle, ends.mean(0))


def test_a_file_gives_the_same_network(tiny, tmp_path):
    path = tmp_path / "hearing.safetensors"
    save_model(path, tiny.state_dict(), kind=KIND, config=asdict(tiny.config))
    features = torch.rand(1, 30, 20)
    torch.testing.assert_close(load_hearing(path)(features), tiny(features))


@pytest.mark.parametrize("width", [7, None])
def test_weights_that_do_not_fit_are_refused(tiny, tmp_path, width):
    path = tmp_path / "hearing.safetensors"
    config = asdict(tiny.config) | {"width": width}
    save_model(path, tiny.state_dict(), kind=KIND, config=config)
    with pytest.raises(ValueError, match="do not fit its configuration: make it again"):
        load_hearing(path)
    save_model(path, tiny.state_dict(), kind=KIND, config={})
    with pytest.raises(ValueError, match="do not fit its configuration"):
        load_hearing(path)


def test_a_file_of_another_kind_is_refused(tiny, tmp_path):
    path = tmp_path / "other.safetensors"
    save_model(path, tiny.state_dict(), kind="prior", config=asdict(tiny.config))
    with pytest.raises(ValueError, match="hearing"):
        load_hearing(path)
    with pytest.raises(FileNotFoundError):
        load_hearing(Path("nowhere.safetensors"))


def test_the_shipped_network_tells_hiss_from_a_vowel():
    """A buzz shaped by the formants of an open vowel opens the jaw; a hiss does not."""
    network = shipped_hearing()
    time = torch.arange(16_000) / 16_000
    buzz = torch.zeros(16_000)
    for k in range(1, 40):
        hertz = 120.0 * k
        gain = sum(1 / (1 + ((hertz - f) / 90) ** 2) for f in (750.0, 1150.0, 2500.0))
        buzz += gain * torch.cos(2 * torch.pi * hertz * time)
    noise = torch.randn(16_000, generator=torch.Generator().manual_seed(0))
    hiss = torch.diff(torch.diff(noise, prepend=torch.zeros(1)), prepend=noise[:1])
    jaw = {}
    for name, wave in (("vowel", buzz), ("hiss", hiss)):
        loud = 0.1 * wave / wave.std()
        features = log_mel(loud, MelConfig())
        told = network.mouth(network.at(features, torch.linspace(0.3, 0.7, 20)))
        jaw[name] = told[:, 0].mean().item()
    assert jaw["vowel"] > jaw["hiss"] + 0.5
