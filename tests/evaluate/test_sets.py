"""FID and KID against closed forms, brute force, and two other implementations."""

import tracemalloc

import numpy as np
import pytest
import torch
from scipy.linalg import sqrtm
from torchmetrics.image.kid import poly_mmd

from talk3d.evaluate import sets
from talk3d.evaluate.sets import frechet_distance, kernel_distance, kernel_spread


def _white(count: int, width: int, seed: int) -> np.ndarray:
    """Samples with mean exactly 0 and covariance exactly 1."""
    rows = np.random.default_rng(seed).normal(size=(count, width))
    rows -= rows.mean(0)
    root = np.linalg.cholesky(np.cov(rows, rowvar=False))
    return np.linalg.solve(root, rows.T).T


def test_frechet_distance_of_two_gaussians_is_closed():
    rng = np.random.default_rng(3)
    turn = np.linalg.qr(rng.normal(size=(5, 5)))[0]
    first, second = np.array([1.0, 2, 3, 0.5, 0]), np.array([2.0, 1, 0, 0.5, 1])
    one = _white(60, 5, 0) * first @ turn
    two = _white(80, 5, 1) * second @ turn + np.arange(5)
    wanted = (np.arange(5) ** 2).sum() + ((first - second) ** 2).sum()
    # A width without spread: the root of a rounding error of 1e-16 is 1e-8.
    assert frechet_distance(one, two) == pytest.approx(wanted, abs=1e-6)


# Roots of rounding errors again, in the other implementation.
@pytest.mark.parametrize(("own", "other"), [(40, 50), (40, 5), (6, 5), (9, 30)])
def test_frechet_distance_agrees_with_a_matrix_root(own, other):
    rng = np.random.default_rng(own + other)
    mix = rng.normal(size=(8, 8))
    one, two = rng.normal(size=(own, 8)) @ mix, 1 + rng.normal(size=(other, 8))
    covers = [np.cov(rows, rowvar=False) for rows in (one, two)]
    root = sqrtm(covers[0])
    trace = np.trace(np.real(sqrtm(root @ covers[1] @ root)))
    off = one.mean(0) - two.mean(0)
    wanted = off @ off + np.trace(covers[0]) + np.trace(covers[1]) - 2 * trace
    assert frechet_distance(one, two) == pytest.approx(np.real(wanted), abs=1e-6)


@pytest.mark.parametrize("count", [30, 400])
def test_a_set_is_at_no_distance_from_itself_in_any_order(count):
    rng = np.random.default_rng(4)
    one = rng.normal(size=(count, 64)).astype(np.float32)
    two = rng.normal(size=(count, 64)).astype(np.float32)
    mixed = rng.permutation(one)
    assert frechet_distance(one, mixed) == pytest.approx(0, abs=1e-8)
    for distance in (frechet_distance, kernel_distance):
        plain = distance(one, two)
        assert distance(mixed, rng.permutation(two)) == pytest.approx(plain, abs=1e-9)


def test_kernel_distance_agrees_with_torchmetrics():
    rng = np.random.default_rng(5)
    one, two = rng.normal(size=(20, 7)), rng.normal(0.5, 2, size=(20, 7))
    theirs = poly_mmd(torch.from_numpy(one), torch.from_numpy(two), degree=3, coef=1.0)
    assert kernel_distance(one, two) == pytest.approx(float(theirs), rel=1e-9)


def test_kernel_distance_of_equal_distributions_is_zero_on_average():
    rng = np.random.default_rng(6)
    found = [
        kernel_distance(rng.normal(size=(12, 4)), rng.normal(size=(12, 4)))
        for _ in range(2000)
    ]
    error = np.std(found) / np.sqrt(len(found))
    assert abs(np.mean(found)) < 3 * error
    assert min(found) < 0 < max(found)


def test_kernel_spread_needs_its_seed_only_and_falls_with_more_pictures():
    rng = np.random.default_rng(7)
    one, two = rng.normal(size=(2, 800, 4))

    def spread(count: int, seed: int = 0) -> float:
        chance = np.random.default_rng(seed)
        return kernel_spread(one[:count], two[:count], generator=chance)

    assert spread(100) == spread(100)
    assert spread(100) != spread(100, seed=1)
    assert 0 < spread(800) < spread(100) / 3
    assert np.isfinite(spread(2))


def test_frechet_distance_of_equal_spread_is_the_shift():
    rng = np.random.default_rng(0)
    features = rng.normal(size=(200, 6))
    shift = np.array([3.0, 0, 0, 4.0, 0, 0])
    assert frechet_distance(features, features) == pytest.approx(0, abs=1e-6)
    assert frechet_distance(features + shift, features) == pytest.approx(25, abs=1e-6)


def test_frechet_distance_of_scaled_features_is_closed():
    features = np.random.default_rng(1).normal(size=(300, 4))
    features -= features.mean(0)
    trace = np.trace(np.cov(features, rowvar=False))
    # tr(S + 9 S - 2 (9 S S)^½) = 4 tr S
    assert frechet_distance(3 * features, features) == pytest.approx(4 * trace)


def test_kernel_distance_is_the_brute_force_sum():
    rng = np.random.default_rng(2)
    one, two = rng.normal(size=(5, 3)), rng.normal(1, 1, size=(4, 3))

    def kernel(a, b):
        return (a @ b / 3 + 1) ** 3

    def within(x):
        pairs = [
            kernel(a, b) for i, a in enumerate(x) for j, b in enumerate(x) if i != j
        ]
        return np.mean(pairs)

    cross = np.mean([kernel(a, b) for a in one for b in two])
    wanted = within(one) + within(two) - 2 * cross
    assert kernel_distance(one, two) == pytest.approx(wanted, rel=1e-12)


def _whole_kernel_distance(one, two):
    def kernel(a, b):
        return (a @ b.T / a.shape[1] + 1) ** 3

    def within(x):
        inner = kernel(x, x)
        return (inner.sum() - np.trace(inner)) / (len(x) * (len(x) - 1))

    return within(one) + within(two) - 2 * kernel(one, two).mean()


def test_kernels_summed_in_blocks_give_the_numbers_of_whole_ones(monkeypatch):
    monkeypatch.setattr(sets, "_ROWS", 7)
    rng = np.random.default_rng(8)
    one, two = rng.normal(size=(40, 5)), rng.normal(0.3, 1, size=(33, 5))
    # Other orders of summation: rounding alone.
    wanted = _whole_kernel_distance(one, two)
    assert kernel_distance(one, two) == pytest.approx(wanted, rel=1e-10)
    chance, found = np.random.default_rng(0), []
    for _ in range(100):
        rows = [chance.choice(len(part), 16, replace=False) for part in (one, two)]
        found.append(_whole_kernel_distance(one[rows[0]], two[rows[1]]))
    spread = kernel_spread(one, two, generator=np.random.default_rng(0))
    assert spread == pytest.approx(np.std(found), rel=1e-10)


def test_memory_of_kernels_grows_with_the_pictures_not_their_pairs():
    rows = np.random.default_rng(9).normal(size=(3000, 4)).astype(np.float32)
    tracemalloc.start()
    kernel_distance(rows, rows)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    # Blocks of 256 rows of 3000 doubles and what is made of them; whole: 72 MB each.
    assert most < 40e6


def test_sets_of_another_width_are_refused():
    with pytest.raises(ValueError, match="same network"):
        frechet_distance(np.zeros((4, 3)), np.zeros((4, 2)))
    with pytest.raises(ValueError, match="two pictures"):
        kernel_distance(np.zeros((1, 3)), np.zeros((4, 3)))
