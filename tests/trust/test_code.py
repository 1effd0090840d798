"""The code of the mark: exact without noise, right with it, honest beyond it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from talk3d.trust.code import CODED_BITS, ID_BITS, decode, encode


@given(st.integers(0, (1 << ID_BITS) - 1))
def test_what_is_coded_comes_back(identity):
    soft = np.where(encode(identity), -1.0, 1.0)
    assert decode(soft) == (identity, 1.0)


def test_any_two_words_differ_in_ten_bits():
    # free distance of the generators 171, 133 (Proakis, table 8.2-1)
    rng = np.random.default_rng(0)
    words = [encode(int(i)) for i in rng.integers(0, 1 << ID_BITS, 60)]
    words += [encode(1 << k) for k in range(ID_BITS)]
    gaps = [(a != b).sum() for i, a in enumerate(words) for b in words[:i]]
    assert min(gaps) >= 10


def test_one_bit_in_twelve_may_be_wrong():
    rng = np.random.default_rng(1)
    right = 0
    for identity in rng.integers(0, 1 << ID_BITS, 50).tolist():
        soft = np.where(encode(identity), -1.0, 1.0)
        flipped = rng.choice(CODED_BITS, CODED_BITS // 12, replace=False)
        soft[flipped] *= -1
        right += decode(soft)[0] == identity
    # hard bits at 8 % errors; the curve of this code gives about one word in 30 wrong
    assert right >= 45


def test_noise_is_no_identity():
    rng = np.random.default_rng(2)
    found = [decode(rng.standard_normal(CODED_BITS))[0] for _ in range(150)]
    # each passes the 16-bit check with probability 2**-16
    assert found == [None] * 150


@pytest.mark.parametrize("identity", [-1, 1 << ID_BITS])
def test_a_number_that_does_not_fit_is_refused(identity):
    with pytest.raises(ValueError, match="40 bits"):
        encode(identity)
