"""LPIPS with made-up weights."""

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from talk3d.evaluate.perceptual import Lpips, load_lpips

PLACES = (0, 3, 6, 8, 10)


@pytest.fixture
def files(tmp_path):
    chance = torch.Generator().manual_seed(0)
    network, lines = {}, {}
    for number, (place, layer) in enumerate(
        zip(PLACES, Lpips().convolutions, strict=True)
    ):
        shape = tuple(layer.weight.shape)
        fan = shape[1] * shape[2] * shape[3]
        network[f"features.{place}.weight"] = (
            torch.randn(shape, generator=chance) / fan**0.5
        )
        network[f"features.{place}.bias"] = torch.zeros(shape[0])
        weight = torch.rand((1, shape[0], 1, 1), generator=chance)
        lines[f"lin{number}.model.1.weight"] = weight
    save_file(network, tmp_path / "alexnet.safetensors")
    save_file(lines, tmp_path / "lines.safetensors")
    return tmp_path / "alexnet.safetensors", tmp_path / "lines.safetensors"


def test_lpips_is_zero_for_equal_pictures_and_grows(files):
    model = load_lpips(*files)
    rng = np.random.default_rng(0)
    truth = rng.uniform(0, 1, (64, 64, 3)).astype(np.float32)
    noise = rng.normal(0, 1, truth.shape).astype(np.float32)
    near, far = (np.clip(truth + s * noise, 0, 1) for s in (0.05, 0.3))
    assert model.distance(truth, truth) == 0
    assert 0 < model.distance(near, truth) < model.distance(far, truth)


def test_lpips_is_its_formula(files):
    model = load_lpips(*files)
    rng = np.random.default_rng(1)
    one, two = rng.uniform(0, 1, (2, 67, 64, 3)).astype(np.float32)
    with torch.no_grad():
        values = [
            (2 * torch.tensor(p).permute(2, 0, 1)[None] - 1 - model.shift) / model.scale
            for p in (one, two)
        ]
        total = 0.0
        for number, layer in enumerate(model.convolutions):
            if number in (1, 2):
                values = [torch.nn.MaxPool2d(3, 2)(v) for v in values]
            values = [layer(v).clamp(min=0) for v in values]
            a, b = (v[0] / v[0].norm(dim=0, keepdim=True) for v in values)
            weight = model.weights[number][:, None, None]
            total += float(((a - b).nan_to_num() ** 2 * weight).sum(0).mean())
    # Sums run in another order, in float32.
    assert model.distance(one, two) == pytest.approx(total, rel=1e-4)


def test_absent_or_foreign_weights_are_said(files, tmp_path):
    with pytest.raises(FileNotFoundError, match="no weights at"):
        load_lpips(tmp_path / "absent.pth", files[1])
    with pytest.raises(ValueError, match=r"lacks features\.0\.weight"):
        load_lpips(files[1], files[1])
    model = load_lpips(*files)
    small = np.zeros((32, 32, 3), np.float32)
    with pytest.raises(ValueError, match="at least 64"):
        model.distance(small, small)
