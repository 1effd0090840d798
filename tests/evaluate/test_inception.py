"""Inception with made-up weights: names, numbers, and files that are something else."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from talk3d.evaluate.inception import FEATURES, load_inception, published_shapes
from talk3d.evaluate.learned import LearnedScores, set_scores

LAYERS = Path(__file__).parent / "inception_layers.txt"
"""Name and shape of the convolutions in the published file."""


def _state() -> dict[str, Tensor]:
    """Weights drawn from a seed, in the order of the names."""
    chance = torch.Generator().manual_seed(0)
    state = {}
    for name, shape in sorted(published_shapes().items()):
        noise = torch.randn(shape, generator=chance)
        if name.endswith("conv.weight"):
            noise *= (2 / noise[0].numel()) ** 0.5
        elif name.endswith("running_var"):
            noise = 1 + 0.2 * noise.tanh()
        elif name.endswith("bn.weight"):
            noise = 1 + 0.1 * noise
        else:
            noise *= 0.1
        state[name] = noise
    return state


@pytest.fixture(scope="module")
def weights(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("inception") / "made-up.safetensors"
    save_file(_state(), path)
    return path


@pytest.fixture(scope="module")
def pictures() -> np.ndarray:
    across = np.linspace(0, 1, 240, dtype=np.float32)
    waves = [np.sin(40 * phase * across) / 2 + 0.5 for phase in (0.1, 0.5, 1, 2)]
    return np.stack(
        [np.stack([wave[:180, None] * across] * 3, axis=-1) for wave in waves]
    ).astype(np.float32)


def test_names_and_shapes_are_the_published_ones():
    wanted: dict[str, tuple[int, ...]] = {"fc.weight": (1008, 2048)}
    for line in LAYERS.read_text().splitlines():
        name, *shape = line.split()
        wanted[f"{name}.conv.weight"] = tuple(map(int, shape))
        for part in ("weight", "bias", "running_mean", "running_var"):
            wanted[f"{name}.bn.{part}"] = (int(shape[0]),)
    assert published_shapes() == wanted


def test_features_are_those_of_another_implementation(weights, pictures):
    # Made once with torchvision 0.28's Inception3 (1008 classes, no auxiliary head),
    # its average pools set to leave the padding out and that of Mixed_7c replaced by a
    # maximum, on these weights and pictures. Folded norms round differently.
    found = load_inception(weights).features(list(pictures))
    assert found.shape == (4, FEATURES)
    golden = [
        [1.340487, 0.496393, 0.344398, 1.007358],
        [1.846114, 0.549916, 0.398738, 1.185975],
        [1.983225, 0.543071, 0.425526, 1.284712],
        [2.170062, 0.541594, 0.478132, 1.363214],
    ]
    assert found[:, ::512] == pytest.approx(np.array(golden), abs=2e-5)
    assert float(found.mean()) == pytest.approx(0.4070785, abs=1e-5)


def test_batches_change_nothing(weights, pictures):
    model = load_inception(weights)
    together, alone = (model.features(list(pictures), batch=n) for n in (3, 1))
    assert together == pytest.approx(alone, abs=1e-5)
    assert model.features([]).shape == (0, FEATURES)


def test_a_torch_file_and_a_safetensors_file_say_the_same(weights, pictures, tmp_path):
    torch.save(_state(), tmp_path / "made-up.pth")
    first = load_inception(weights).features(list(pictures[:1]))
    second = load_inception(tmp_path / "made-up.pth").features(list(pictures[:1]))
    assert np.array_equal(first, second)


def test_a_row_is_at_no_distance_from_itself_and_noise_is_far(weights, pictures):
    learned = LearnedScores(None, weights)
    assert "FID, KID" not in learned.missing
    codes = (255 * pictures).astype(np.uint8)
    noise = np.random.default_rng(0).integers(0, 256, codes.shape).astype(np.uint8)
    truth = learned.features(lambda k: codes[k], 4)
    other = learned.features(lambda k: noise[k], 4)
    same, far = set_scores(truth, truth), set_scores(other, truth)
    assert same["full/fid"].mean == pytest.approx(0, abs=1e-6)
    assert far["full/fid"].mean > 10 * abs(same["full/fid"].mean)
    assert far["full/kid"].mean > same["full/kid"].mean
    assert far["full/kid"].frames == 4


def test_absent_weights_leave_the_scores_out():
    learned = LearnedScores(None, None)
    assert learned.missing["FID, KID"] == "no weights were given"
    assert learned.missing["LPIPS"] == "no weights were given"
    assert learned.features(lambda _: np.zeros((8, 8, 3), np.uint8), 3) is None
    assert set_scores(None, None) == {}


def test_other_files_are_refused_in_one_sentence(tmp_path):
    with pytest.raises(FileNotFoundError, match="no weights at"):
        load_inception(tmp_path / "absent.pth")
    state = _state()
    kept = {name: state[name] for name in state if "Mixed_7c" not in name}
    save_file(kept, tmp_path / "part.safetensors")
    with pytest.raises(ValueError, match=r"lacks Mixed_7c\.\S+: give the published"):
        load_inception(tmp_path / "part.safetensors")
    save_file(
        state | {"fc.weight": torch.zeros(1000, 2048)}, tmp_path / "o.safetensors"
    )
    with pytest.raises(ValueError, match=r"\(1000, 2048\), not \(1008, 2048\): FID"):
        load_inception(tmp_path / "o.safetensors")
    sound = b"RIFF" + bytes(range(256)) * 40
    for name, content in (
        ("noise.pth", b"no weights at all"),
        ("noise.safetensors", b"no weights at all"),
        ("sound.pth", sound),
    ):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ValueError, match="cannot be read as weights"):
            load_inception(tmp_path / name)
    torch.save({"epoch": 3, "model": state["fc.weight"]}, tmp_path / "training.pth")
    with pytest.raises(ValueError, match="something else than tensors by name"):
        load_inception(tmp_path / "training.pth")
