"""Speech models of others: untrained small ones stand for them."""

import functools
import json
import shutil
import socket
import sys

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from talk3d.speech_model import SpeechModel, load_speech_model

transformers = pytest.importorskip("transformers", reason="the extra speech")
SIZES = {
    "hidden_size": 16,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "conv_dim": (8,) * 7,
    "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 4,
}
huggingface_hub = pytest.importorskip("huggingface_hub", reason="the extra speech")
NETWORKS = {
    "hubert": (transformers.HubertConfig, transformers.HubertModel),
    "wav2vec2": (transformers.Wav2Vec2Config, transformers.Wav2Vec2Model),
}
RATE = 16_000


def _written(folder, kind="hubert", **rules):
    """Write an untrained model as the library does; return the network."""
    torch.manual_seed(3)
    config, network = NETWORKS[kind]
    made = network(config(**SIZES)).eval()
    made.save_pretrained(folder)
    extractor = transformers.Wav2Vec2FeatureExtractor(
        **({"do_normalize": True} | rules)
    )
    extractor.save_pretrained(folder)
    return made


def _sound(seconds, seed=0):
    noise = np.random.default_rng(seed).normal(size=round(seconds * RATE))
    return (0.1 * noise).astype(np.float32)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("models") / "small-hubert"
    _written(path)
    return path


@pytest.fixture(scope="module")
def model(folder):
    return load_speech_model(str(folder), offline=True)


@pytest.mark.parametrize("kind", NETWORKS)
def test_a_window_is_what_the_library_says_of_its_middle_layer(tmp_path, kind):
    made = _written(tmp_path / kind, kind)
    model = load_speech_model(str(tmp_path / kind), offline=True)
    wave = _sound(6)
    # The second window keeps outputs 100 to 199 and looks at a second to each side.
    window = wave[50 * 320 : 249 * 320 + 400]
    extractor = transformers.AutoFeatureExtractor.from_pretrained(tmp_path / kind)
    values = extractor(window, sampling_rate=RATE, return_tensors="pt").input_values
    with torch.inference_mode():
        states = made(values, output_hidden_states=True).hidden_states
    assert len(states) == SIZES["num_hidden_layers"] + 1
    times = (np.array([110, 150, 190]) * 320 + 200) / RATE
    told = model.heard(wave, times).reshape(3, 3, 16)[:, 1]
    expected = states[2][0, [60, 100, 140]].numpy()
    np.testing.assert_allclose(told, expected, atol=2e-5)


def test_features_do_not_depend_on_how_the_sound_was_cut(model):
    wave, times = _sound(9), np.arange(20, 120) / 25
    whole = model.heard(wave, times)
    np.testing.assert_array_equal(model.heard(wave[: round(7.2 * RATE)], times), whole)
    pieces = [model.heard(wave, part) for part in np.array_split(times, 7)]
    np.testing.assert_array_equal(np.concatenate(pieces), whole)


def test_features_move_with_the_sound(model):
    """A window later, the same sound gives the same features."""
    wave, times = _sound(8), np.arange(75, 125) / 25
    later = np.concatenate([np.zeros(2 * RATE, np.float32), wave])
    np.testing.assert_allclose(
        model.heard(later, times + 2), model.heard(wave, times), atol=1e-6
    )


def test_beyond_the_ends_there_is_silence(model):
    told = model.heard(_sound(1), np.array([-1.0, 0.0, 0.99, 60.0, 90.0]))
    assert np.isfinite(told).all()
    np.testing.assert_allclose(told[3], told[4], atol=1e-6)


def test_the_hash_is_of_the_weights(folder, model, tmp_path):
    _written(tmp_path / "again")
    assert load_speech_model(str(tmp_path / "again")).sha256 == model.sha256
    state = load_file(folder / "model.safetensors")
    name = next(name for name in state if "attention" in name)
    state[name][0] += 1e-3
    (tmp_path / "other").mkdir()
    for file in folder.glob("*.json"):
        (tmp_path / "other" / file.name).write_text(file.read_text())
    save_file(state, tmp_path / "other" / "model.safetensors", {"format": "pt"})
    assert load_speech_model(str(tmp_path / "other")).sha256 != model.sha256


def test_names_are_folders_or_ids(model):
    assert model.name == "small-hubert"
    with pytest.raises(ValueError, match="not in the cache and may not be fetched"):
        load_speech_model("nobody/nothing", offline=True)
    with pytest.raises(ValueError, match="no folder at /not/here"):
        load_speech_model("/not/here")


def test_what_the_cache_has_is_not_fetched(folder, model, tmp_path, monkeypatch):
    cached = tmp_path / "models--some--body"
    shutil.copytree(folder, cached / "snapshots" / "0123")
    (cached / "refs").mkdir()
    (cached / "refs" / "main").write_text("0123")
    look = huggingface_hub.try_to_load_from_cache
    here = functools.partial(look, cache_dir=tmp_path)
    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", here)

    def connected(*_address, **_options):
        pytest.fail("the network was asked")

    monkeypatch.setattr(socket, "getaddrinfo", connected)
    found = load_speech_model("some/body")
    assert (found.name, found.sha256) == ("some/body", model.sha256)
    # A download that was interrupted is not taken for a model.
    (cached / "snapshots" / "0123" / "config.json").unlink()
    with pytest.raises(ValueError, match="not in the cache"):
        load_speech_model("some/body", offline=True)


def test_pickles_are_not_read(tmp_path):
    made = _written(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    torch.save(made.state_dict(), tmp_path / "pytorch_model.bin")
    with pytest.raises(ValueError, match=r"model\.safetensors of a wav2vec"):
        load_speech_model(str(tmp_path))


def test_damaged_files_are_refused(tmp_path):
    _written(tmp_path)
    weights = (tmp_path / "model.safetensors").read_bytes()
    (tmp_path / "model.safetensors").write_bytes(weights[:1000])
    with pytest.raises(ValueError, match="cannot be read"):
        load_speech_model(str(tmp_path))
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(ValueError, match="cannot be read"):
        load_speech_model(str(tmp_path))


def test_missing_weights_are_not_made_up(tmp_path):
    _written(tmp_path)
    path = tmp_path / "model.safetensors"
    state = {k: v for k, v in load_file(path).items() if "layers.1" not in k}
    save_file(state, path, {"format": "pt"})
    with pytest.raises(ValueError, match="lacks weights"):
        load_speech_model(str(tmp_path))


def test_other_networks_are_refused(tmp_path):
    config = transformers.BertConfig(hidden_size=16, num_attention_heads=2)
    config.save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="of type bert"):
        load_speech_model(str(tmp_path))


def test_other_sampling_rates_are_refused(tmp_path):
    _written(tmp_path, sampling_rate=8000)
    with pytest.raises(ValueError, match="wants 8000 samples"):
        load_speech_model(str(tmp_path))


def test_code_in_a_model_is_not_run(tmp_path):
    _written(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    config["auto_map"] = {"AutoModel": "evil.Evil", "AutoConfig": "evil.Config"}
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    assert isinstance(load_speech_model(str(tmp_path)), SpeechModel)
    assert not (tmp_path / "ran").exists()


def test_without_the_extra_it_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(ImportError, match=r"pip install 'talk3d\[speech\]'"):
        load_speech_model("anything")
