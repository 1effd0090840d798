"""Agreement with numbers written by the published EG3D code.

Random weights, jitter 0 and evenly spread importance positions. Tolerances: mean
2e-5 and maximum 3e-3 on pictures and depth, 1e-4 on planes and mapping; two float32
programs that sum in different orders differ by less.
"""

from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from talk3d.camera import camera_rays
from talk3d.eg3d.depths import Sampling
from talk3d.eg3d.generator import Generator
from talk3d.eg3d.presets import ffhq512
from talk3d.eg3d.superres import SuperResolutionConfig


@pytest.fixture(scope="module")
def wanted(eg3d_small):
    with np.load(eg3d_small / "outputs.npz") as file:
        return {name: torch.from_numpy(file[name]) for name in file.files}


@pytest.fixture(scope="module")
def generator(eg3d_small):
    config = replace(
        ffhq512(),
        width_base=4096,
        width_max=64,
        neural_size=32,
        superres=SuperResolutionConfig(
            input_size=64,
            widths=(128, 64),
            doublings=1,
            upsampling="official",
            clamp=256.0,
            alpha=False,
            spare_filter=True,
        ),
    )
    state = load_file(eg3d_small / "state.safetensors")
    del state["dataset_label_std"]
    with torch.random.fork_rng():
        generator = Generator(config)
    missing, unexpected = generator.load_state_dict(state, strict=False)
    assert (missing, unexpected) == (["z_avg", "z_spread"], [])
    return generator.requires_grad_(requires_grad=False)


@pytest.fixture(scope="module")
def planes(generator, wanted):
    return generator.planes(wanted["in.ws"])


@pytest.fixture(scope="module")
def rendering(generator, planes, wanted):
    shared = planes.expand(3, -1, -1, -1, -1)
    return generator.render(shared, wanted["in.c"], Sampling(12, 12))


def _gate(found, wanted, *, mean=2e-5, largest=3e-3):
    error = (found - wanted).abs()
    assert error.mean() < mean
    assert error.max() < largest


def test_mapping(generator, wanted):
    full, half = (
        generator.map(wanted["in.z"], wanted["in.c"], truncation=t) for t in (1.0, 0.5)
    )
    _gate(half, wanted["map.psi05_nocut"], largest=1e-4)
    cut = torch.cat([half[:, :8], full[:, 8:]], dim=1)
    _gate(cut, wanted["map.psi05_cut8"], largest=1e-4)


def test_planes(planes, wanted):
    stacked = planes.flatten(1, 2)
    _gate(stacked[:, :, 3::8, 5::8], wanted["planes.const.sub"], largest=1e-4)
    _gate(stacked[:, :, :12, :12], wanted["planes.const.corner"], largest=1e-4)


def test_rays(wanted):
    origins, directions = camera_rays(wanted["in.c"], 32)
    _gate(origins[:, 0], wanted["rays.o"], mean=1e-6, largest=1e-6)
    _gate(directions, wanted["rays.d"], mean=1e-6, largest=1e-6)


def test_points(generator, planes, wanted):
    raw, features = generator.query(planes, wanted["points.x"])
    # Raw densities reach some hundreds here.
    _gate(raw, wanted["points.sigma"][..., 0], mean=1e-4)
    _gate(features, wanted["points.rgb"])


def test_rendering(rendering, wanted):
    _gate(rendering.features, wanted["A.feat"])
    _gate(rendering.features[:, :3], wanted["A.image_raw"])
    _gate(rendering.alpha, wanted["A.weight_sum"])


def test_depth(rendering, wanted):
    # Where the opacity is a few float32 roundings, the mean depth is one of noise.
    seen = wanted["A.weight_sum"] > 1e-5
    assert seen.float().mean() > 0.98
    error = (rendering.depth - wanted["A.image_depth"]).abs()
    assert error.mean() < 2e-5
    assert error[seen].max() < 3e-3


def test_picture(generator, rendering, wanted):
    styles = wanted["in.ws"].expand(3, -1, -1)
    _gate(generator.upsample(rendering, styles), wanted["A.image"])
