"""The code of the watermark: 40 bits of identity to 124 bits, and back from noise.

The identity is followed by a 16-bit check (CRC-16/CCITT-FALSE) and six zeros, and
coded by the convolutional code of rate 1/2 and constraint length 7 (generators 171,
133 octal, free distance 10). Reading takes soft bits and finds the likeliest word
(Viterbi 1967); a word whose check is wrong is no identity.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float

__all__ = ["CODED_BITS", "ID_BITS", "decode", "encode"]

ID_BITS = 40
_CHECK_BITS, _TAIL = 16, 6
_GENERATORS = (0o171, 0o133)
_STATES = 1 << _TAIL
CODED_BITS = 2 * (ID_BITS + _CHECK_BITS + _TAIL)
"""Length of a code word."""


def encode(identity: int) -> Bool[np.ndarray, " coded"]:
    """Return the code word of an identity.

    Raises:
        ValueError: if the identity does not fit 40 bits.
    """
    if not 0 <= identity < 1 << ID_BITS:
        message = f"the identity {identity} does not fit {ID_BITS} bits"
        raise ValueError(message)
    data = _bits(identity, ID_BITS)
    register, word = 0, []
    for bit in [*data, *_bits(_check(data), _CHECK_BITS), *[0] * _TAIL]:
        register = (bit << _TAIL) | register
        word += [(register & g).bit_count() & 1 for g in _GENERATORS]
        register >>= 1
    return np.array(word, dtype=bool)


def decode(soft: Float[np.ndarray, " coded"]) -> tuple[int | None, float]:
    """Return the identity, or None if its check fails, and how many bits agree.

    Args:
        soft: one number per coded bit, positive for 0, negative for 1; its size is
            the certainty.

    Returns:
        The identity, and the part of the coded bits that had the sign of the word.
    """
    data = _viterbi(np.asarray(soft, np.float64).reshape(-1, 2))
    identity = _number(data[:ID_BITS])
    agreement = float(np.mean((soft < 0) == _word_of(data)))
    given = _number(data[ID_BITS : ID_BITS + _CHECK_BITS])
    if _check(data[:ID_BITS]) != given:
        return None, agreement
    return identity, agreement


def _word_of(data: Sequence[int]) -> Bool[np.ndarray, " coded"]:
    register, word = 0, []
    for bit in data:
        register = (bit << _TAIL) | register
        word += [(register & g).bit_count() & 1 for g in _GENERATORS]
        register >>= 1
    return np.array(word, dtype=bool)


def _viterbi(soft: Float[np.ndarray, "steps 2"]) -> list[int]:
    """Return the likeliest input bits, the encoder starting and ending at zero."""
    state = np.arange(_STATES)
    # A state is the last six bits, the newest on top: it was reached by its top bit
    # from the two states that share its lower five bits, shifted up.
    before = np.stack([(state << 1) & (_STATES - 1), (state << 1) & (_STATES - 1) | 1])
    register = ((state >> (_TAIL - 1)) << _TAIL) | before
    signs = np.array(
        [[[1 - 2 * ((int(r) & g).bit_count() & 1) for r in row] for row in register]
         for g in _GENERATORS],
        dtype=np.float64,
    )  # fmt: skip
    score = np.full(_STATES, -np.inf)
    score[0] = 0.0
    chosen = np.empty((len(soft), _STATES), dtype=np.int64)
    for step, (first, second) in enumerate(soft):
        reached = score[before] + first * signs[0] + second * signs[1]
        choice = reached.argmax(0)
        score = reached[choice, state]
        chosen[step] = before[choice, state]
    bits, current = [], 0
    for row in chosen[::-1]:
        bits.append(current >> (_TAIL - 1))
        current = int(row[current])
    return bits[::-1]


def _check(data: Sequence[int]) -> int:
    """Return the CRC-16/CCITT-FALSE of bits."""
    value = 0xFFFF
    for bit in data:
        top = (value >> 15) ^ bit
        value = (value << 1) & 0xFFFF
        if top:
            value ^= 0x1021
    return value


def _bits(number: int, count: int) -> list[int]:
    return [(number >> shift) & 1 for shift in range(count - 1, -1, -1)]


def _number(bits: Sequence[int]) -> int:
    value = 0
    for bit in bits:
        value = (value << 1) | bit
    return value
