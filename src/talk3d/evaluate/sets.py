"""Compare two sets of pictures by their features: FID and KID.

In: a row of features per picture, of the same network for both sets. Out: numbers that
do not depend on the order of the pictures.

| function           | range      | better | source                               |
|--------------------|------------|--------|--------------------------------------|
| `frechet_distance` | 0..inf     | lower  | Heusel et al. 2017, eq. 6            |
| `kernel_distance`  | about 0..  | lower  | Bińkowski et al. 2018, unbiased MMD² |
| `kernel_spread`    | 0..inf     |        | over random subsets, as they do      |

Both have the unit of the features (FID squared). FID of small sets is too large: with
fewer pictures than features (2048) it says more about their number than about them, so
only FIDs of equally many pictures compare. KID has no such bias, but both take pictures
to be drawn independently, which frames of one video are not.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float

__all__ = ["frechet_distance", "kernel_distance", "kernel_spread"]

Features = Float[np.ndarray, "_ _"]
"""A row per picture."""
Subsets = Bool[np.ndarray, "_ _"]
"""A row per subset: which pictures are in it."""

_SUBSETS = 100
_LARGEST = 1000
_ROWS = 256
"""Rows of the kernel that are held at a time."""


def frechet_distance(result: Features, truth: Features) -> float:
    """Compute FID of two sets of features: |m - n|² + tr(S + T - 2 (S T)^½).

    S = AᵀA and T = BᵀB are the covariances; tr (S T)^½ is the sum of the singular
    values of A Bᵀ, which needs no root of numbers near zero. A and B are the centred
    features themselves, or the symmetric roots of S and T where those are smaller.

    Raises:
        ValueError: A set has fewer than two pictures, or the widths differ.
    """
    _check(result, truth)
    off = result.mean(0, dtype=np.float64) - truth.mean(0, dtype=np.float64)
    own, other = _root(result), _root(truth)
    shared = np.linalg.svd(own @ other.T, compute_uv=False).sum()
    distance = off @ off + (own**2).sum() + (other**2).sum() - 2 * shared
    return float(max(distance, 0.0))


def kernel_distance(result: Features, truth: Features) -> float:
    """Compute KID: the unbiased squared MMD with the kernel (x·y / d + 1)³.

    Over all pictures at once; near 0 it may be negative.

    Raises:
        ValueError: A set has fewer than two pictures, or the widths differ.
    """
    _check(result, truth)
    every = (np.ones((1, len(features)), bool) for features in (result, truth))
    return float(_discrepancies(result, truth, *every)[0])


def kernel_spread(
    result: Features, truth: Features, *, generator: np.random.Generator
) -> float:
    """Compute the standard deviation of KID over 100 random subsets.

    Each takes half of the smaller set from either set, at most 1000 pictures, without
    repetition. It tells how much KID hangs on single pictures.

    Raises:
        ValueError: A set has fewer than two pictures, or the widths differ.
    """
    _check(result, truth)
    size = min(max(min(len(result), len(truth)) // 2, 2), _LARGEST)
    own, other = (np.zeros((_SUBSETS, len(part)), bool) for part in (result, truth))
    for first, second in zip(own, other, strict=True):
        for row in (first, second):
            row[generator.choice(len(row), size, replace=False)] = True
    return float(np.std(_discrepancies(result, truth, own, other)))


def _root(features: Features) -> Float[np.ndarray, "rows width"]:
    """Return a matrix R with RᵀR the covariance and as few rows as possible."""
    centred = features.astype(np.float64) - features.mean(0, dtype=np.float64)
    centred /= np.sqrt(len(centred) - 1)
    if len(centred) <= centred.shape[1]:
        return centred
    values, vectors = np.linalg.eigh(centred.T @ centred)
    return (vectors * np.sqrt(np.maximum(values, 0.0))) @ vectors.T


def _discrepancies(
    result: Features, truth: Features, own: Subsets, other: Subsets
) -> Float[np.ndarray, " subsets"]:
    """Return the unbiased squared MMD of subsets, marked in a row of either set each.

    The kernel is never held whole: it has a number for each pair of pictures.
    """
    within = [
        (_kernel_sums(part, part, chosen, chosen) - _kernel_traces(part, chosen))
        / (chosen.sum(1) * (chosen.sum(1) - 1))
        for part, chosen in ((result, own), (truth, other))
    ]
    pairs = own.sum(1) * other.sum(1)
    across = _kernel_sums(result, truth, own, other) / pairs
    return within[0] + within[1] - 2 * across


def _kernel_sums(
    first: Features, second: Features, own: Subsets, other: Subsets
) -> Float[np.ndarray, " subsets"]:
    """Return the sum of the kernel over all pairs of each subset."""
    total = np.zeros(len(own))
    columns = second.astype(np.float64).T
    chosen = other.T.astype(np.float64)
    for start in range(0, len(first), _ROWS):
        rows = slice(start, start + _ROWS)
        inner = first[rows].astype(np.float64) @ columns
        total += ((inner / len(columns) + 1) ** 3 @ chosen * own[:, rows].T).sum(0)
    return total


def _kernel_traces(
    features: Features, chosen: Subsets
) -> Float[np.ndarray, " subsets"]:
    """Return the sum of the kernel of each picture with itself."""
    inner = (features.astype(np.float64) ** 2).mean(1)
    return chosen @ (inner + 1) ** 3


def _check(result: Features, truth: Features) -> None:
    if min(len(result), len(truth)) < 2 or result.shape[1] != truth.shape[1]:
        raise ValueError(
            f"The sets are {result.shape} and {truth.shape}; give at least two "
            "pictures each, with features of the same network."
        )
