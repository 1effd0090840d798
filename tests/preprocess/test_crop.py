"""Crops: fine detail is averaged where the picture shrinks, and kept where not."""

import cv2
import numpy as np
import pytest

from talk3d import face
from talk3d.face import Roi
from talk3d.preprocess.crop import Crop, cut_crop

SIZE = 64


def noise(side: int) -> np.ndarray:
    values = np.random.default_rng(0).integers(0, 256, (side, side, 1), np.uint8)
    return np.repeat(values, 3, 2)


def resampled(image: np.ndarray, crop: Crop, over: int) -> np.ndarray:
    """Sample a square cubically, ``over`` times as finely, and average."""
    count = crop.size * over
    step = crop.side / count
    matrix = np.array(
        [[step, 0, crop.x + step / 2 - 0.5], [0, step, crop.y + step / 2 - 0.5]]
    )
    cut = cv2.warpAffine(
        image, matrix, (count, count), flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REPLICATE,
    )  # fmt: skip
    return cv2.resize(cut, (crop.size,) * 2, interpolation=cv2.INTER_AREA)


@pytest.mark.parametrize(
    ("ratio", "over"), [(0.7, 1), (1.0, 1), (1.4, 1), (1.6, 2), (2.0, 2)]
)
def test_small_squares_are_sampled_once_or_twice(ratio, over):
    crop = Crop(3.3, 5.7, ratio * SIZE, SIZE)
    image = noise(160)
    np.testing.assert_array_equal(cut_crop(image, crop), resampled(image, crop, over))


@pytest.mark.parametrize("ratio", [3.0, 6.0, 9.5])
def test_noise_is_averaged_over_a_pixel(ratio):
    side = round(ratio * SIZE)
    image = noise(side)
    cut = cut_crop(image, Crop(0.0, 0.0, float(side), SIZE))
    # The mean of n independent values deviates by 1 / sqrt(n); rounding adds 0.3.
    assert cut.std() < 1.15 * image.std() / ratio + 0.3


@pytest.mark.parametrize("ratio", [3.0, 6.0, 9.5])
def test_networks_see_noise_averaged(ratio):
    side = round(ratio * SIZE)
    image = noise(side)
    cut = face._cut(image, Roi(side / 2, side / 2, float(side), 0.0), SIZE)
    assert cut.std() < 1.15 * image.std() / ratio + 0.3


def test_a_huge_region_is_cut_in_bounded_memory():
    cut = face._cut(noise(100), Roi(50.0, 50.0, 1e6, 0.0), SIZE)
    assert cut.shape == (SIZE, SIZE, 3)
