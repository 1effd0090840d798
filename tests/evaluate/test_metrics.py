"""Picture metrics against torchmetrics, closed forms and laws."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchmetrics.functional.image import (
    multiscale_structural_similarity_index_measure,
    peak_signal_noise_ratio,
    structural_similarity_index_measure,
)

from talk3d.evaluate import metrics, structure


def _noise(seed: int, height: int, width: int) -> np.ndarray:
    return np.random.default_rng(seed).random((height, width, 3), dtype=np.float32)


def _scene(seed: int, height: int, width: int) -> np.ndarray:
    """Smooth shapes with some grain: a stand-in for a photograph."""
    rng = np.random.default_rng(seed)
    coarse = rng.random((9, 9, 3), dtype=np.float32)
    smooth = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    grain = 0.05 * rng.standard_normal((height, width, 3), dtype=np.float32)
    return np.clip(smooth + grain, 0, 1).astype(np.float32)


def _tensor(picture: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(picture.transpose(2, 0, 1).copy()).double()[None]


PAIRS = [
    ("noise", _noise(0, 181, 200), _noise(1, 181, 200)),
    ("scene", _scene(2, 256, 256), _scene(2, 256, 256) * 0.9 + 0.05),
    ("unlike scenes", _scene(3, 177, 190), _scene(4, 177, 190)),
    ("blurred", _scene(5, 192, 180), cv2.GaussianBlur(_scene(5, 192, 180), (0, 0), 2)),
    ("bright", 0.97 + _scene(6, 177, 177) * 0.03, 0.97 + _scene(7, 177, 177) * 0.03),
    ("dark", _scene(6, 177, 177) * 0.02, _scene(7, 177, 177) * 0.02),
]
IDS = [name for name, _, _ in PAIRS]


# 1e-5 is the promised agreement; ours is float32 and the reference runs in float64.
@pytest.mark.parametrize(("name", "first", "second"), PAIRS, ids=IDS)
def test_psnr_ssim_and_ms_ssim_agree_with_torchmetrics(name, first, second):
    one, two = _tensor(first), _tensor(second)
    theirs = peak_signal_noise_ratio(one, two, data_range=1.0)
    assert metrics.psnr(first, second) == pytest.approx(float(theirs), abs=1e-5)
    theirs = structural_similarity_index_measure(one, two, data_range=1.0)
    assert structure.ssim(first, second) == pytest.approx(float(theirs), abs=1e-5)
    theirs = multiscale_structural_similarity_index_measure(one, two, data_range=1.0)
    assert structure.ms_ssim(first, second) == pytest.approx(float(theirs), abs=1e-5)


def test_psnr_and_mae_of_a_constant_error():
    truth = np.full((20, 20, 3), 0.5, np.float32)
    result = truth + np.float32(0.1)
    assert metrics.psnr(result, truth) == pytest.approx(20.0, abs=1e-4)
    assert metrics.mae(result, truth) == pytest.approx(0.1, abs=1e-6)


def test_equal_pictures_are_perfect():
    picture = _scene(0, 180, 180)
    assert metrics.psnr(picture, picture) == metrics.PSNR_CEILING
    assert metrics.mae(picture, picture) == 0.0
    assert structure.ssim(picture, picture) == pytest.approx(1.0, abs=1e-6)
    assert structure.ms_ssim(picture, picture) == pytest.approx(1.0, abs=1e-6)
    assert metrics.sharpness(picture, picture) == 1.0


def test_a_mask_neither_counts_the_outside_nor_calls_it_perfect():
    truth = np.zeros((40, 40, 3), np.float32)
    result = truth.copy()
    result[:, :10] = 0.1
    mask = np.zeros((40, 40), bool)
    mask[:, :10] = True
    assert metrics.psnr(result, truth, mask=mask) == pytest.approx(20.0, abs=1e-4)
    assert metrics.psnr(result, truth, mask=~mask) == metrics.PSNR_CEILING
    assert metrics.mae(result, truth, mask=mask) == pytest.approx(0.1, abs=1e-6)


def test_a_full_mask_changes_nothing():
    first, second = _scene(1, 180, 190), _scene(2, 180, 190)
    full = np.ones((180, 190), np.float32)
    for metric in (
        metrics.psnr,
        metrics.mae,
        metrics.sharpness,
        structure.ssim,
        structure.ms_ssim,
    ):
        plain = metric(first, second)
        assert metric(first, second, mask=full) == pytest.approx(plain, rel=1e-5)


def test_an_empty_mask_gives_nan():
    picture = _scene(1, 30, 30)
    assert math.isnan(metrics.mae(picture, picture, mask=np.zeros((30, 30), bool)))


def test_masked_ssim_on_grey_ignores_the_background():
    truth = _scene(1, 64, 64)
    mask = np.zeros((64, 64), bool)
    mask[16:48, 16:48] = True
    other = np.where(mask[..., None], truth, _noise(9, 64, 64))
    first, second = metrics.on_grey(other, mask), metrics.on_grey(truth, mask)
    assert structure.ssim(first, second, mask=mask) == pytest.approx(1.0, abs=1e-6)


def _wave(size: int, cycles: int) -> np.ndarray:
    """A horizontal cosine of the mirrored grid: `cycles / size` of Nyquist."""
    place = (np.arange(size) + 0.5) / size
    line = 0.5 + 0.25 * np.cos(np.pi * cycles * place)
    return np.repeat(np.tile(line, (size, 1))[..., None], 3, axis=2).astype(np.float32)


@pytest.mark.parametrize(
    ("share", "passes"), [(0.0625, 0.0), (0.1875, 0.0), (0.25, 0.25), (0.375, 1.0)]
)
def test_detail_is_the_power_above_a_quarter_of_nyquist(share, passes):
    # Amplitude 0.25 is power 0.03125; half the amplitude at the cut is 1/4 of it.
    power = metrics.detail_power(_wave(128, int(128 * share))).mean()
    assert power == pytest.approx(0.03125 * passes, rel=1e-3, abs=1e-9)


def test_shrinking_to_a_quarter_removes_nearly_all_detail():
    truth = _scene(3, 256, 256)
    small = cv2.resize(truth, (64, 64), interpolation=cv2.INTER_AREA)
    back = cv2.resize(small, (256, 256), interpolation=cv2.INTER_CUBIC)
    assert metrics.sharpness(back, truth) < 0.05
    assert metrics.sharpness(truth, truth) == 1.0


@settings(max_examples=15, deadline=None)
@given(st.floats(0.05, 0.95))
def test_sharpness_goes_with_the_square_of_contrast(contrast):
    truth = _scene(8, 48, 48)
    faded = (truth - 0.5) * np.float32(contrast) + 0.5
    assert metrics.sharpness(faded.astype(np.float32), truth) == pytest.approx(
        contrast**2, rel=1e-3
    )


def test_too_small_pictures_are_refused_in_one_sentence():
    with pytest.raises(
        ValueError, match="100 x 120 pixels; this metric needs at least 161"
    ):
        structure.ms_ssim(_noise(0, 120, 100), _noise(0, 120, 100))
