"""Smoothing of head channels: trembling goes, jerks stay."""

import numpy as np

from talk3d.preprocess.smooth import smooth_series


def trembling(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return a slow motion, and the same with noise of deviation 0.1."""
    slow = 2 * np.sin(np.arange(300) / 25)
    return slow, slow + 0.1 * np.random.default_rng(seed).normal(size=300)


def test_trembling_is_smoothed_without_lag():
    slow, seen = trembling(0)
    smooth = smooth_series(seen, least=0.3)
    assert (smooth - slow).std() < 0.05
    lags = [np.abs(np.roll(smooth, k) - slow)[5:-5].mean() for k in (-2, -1, 0, 1, 2)]
    assert int(np.argmin(lags)) == 2


def test_a_frame_that_really_jumps_is_kept():
    slow, seen = trembling(1)
    seen[150] += 3.0
    smooth = smooth_series(seen, least=0.3)
    assert smooth[150] - slow[150] > 2.0
    assert np.abs(smooth - slow)[[147, 153]].max() < 0.3


def test_a_still_series_stays():
    assert np.array_equal(smooth_series(np.zeros(50), least=0.3), np.zeros(50))
