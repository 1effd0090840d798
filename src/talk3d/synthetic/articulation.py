"""Phonemes to lips: visemes blended by dominance, with hard contacts.

Each phoneme asks for a mouth shape with a strength that falls off around its middle
(Cohen and Massaro 1993). Contacts are then forced: p b m shut the lips, f v tuck the
lower lip. Weights follow ``talk3d.synthetic.head.EXPRESSIONS``.
"""

import unicodedata

import numpy as np
from jaxtyping import Float

from talk3d.synthetic.head import EXPRESSIONS, expression_indices
from talk3d.synthetic.regions import smoothstep
from talk3d.synthetic.speech import Phoneme

__all__ = ["SOUNDS", "articulate", "lip_contact", "split_phonemes"]

_REACH = 0.055
"""Seconds over which a phoneme's dominance falls off, plus a share of its length."""
_REACH_SHARE = 0.12
_LEAD = 0.02
"""The mouth is ahead of the sound by this many seconds."""
_CLOSE_PER_JAW = 0.78
"""``mouthClose`` per ``jawOpen`` that keeps the lips together."""

_VISEMES: dict[str, tuple[float, dict[str, float]]] = {
    "p b m β ɓ": (1.4, {"jawOpen": 0.05, "mouthPress": 0.30, "mouthRollLower": 0.22,
                    "mouthRollUpper": 0.12}),
    "f v ʍ ɱ ʋ": (1.2, {"jawOpen": 0.07, "mouthRollLower": 0.50, "mouthUpperUp": 0.28,
                    "mouthShrugLower": 0.15}),
    "θ ð": (0.9, {"jawOpen": 0.13, "mouthLowerDown": 0.28, "mouthUpperUp": 0.10}),
    "t d n l ɾ ɫ ʎ ɲ ɭ ɳ ʈ ɖ": (0.6, {"jawOpen": 0.12, "mouthLowerDown": 0.22,
                          "mouthUpperUp": 0.08}),
    "s z ɕ ʑ ʂ ʐ": (0.9, {"jawOpen": 0.04, "mouthStretch": 0.28, "mouthLowerDown": 0.36,
                  "mouthUpperUp": 0.18, "mouthSmile": 0.10}),
    "ʃ ʒ": (1.1, {"jawOpen": 0.07, "mouthFunnel": 0.55, "mouthUpperUp": 0.12,
                  "mouthLowerDown": 0.15}),
    "k ɡ g ŋ x ç ɣ ɟ c q χ": (0.45, {"jawOpen": 0.17, "mouthLowerDown": 0.15}),
    "ɹ r ɻ ʁ ʀ ɚ ɜ ɝ": (0.8, {"jawOpen": 0.14, "mouthFunnel": 0.35,
                              "mouthPucker": 0.15}),
    "w ɥ ɰ": (1.2, {"jawOpen": 0.05, "mouthPucker": 0.72, "mouthFunnel": 0.15}),
    "j ʝ": (0.7, {"jawOpen": 0.07, "mouthStretch": 0.22, "mouthSmile": 0.18,
                "mouthLowerDown": 0.15}),
    "h ʔ ɦ ħ": (0.25, {"jawOpen": 0.20}),
    "æ": (1.0, {"jawOpen": 0.46, "mouthStretch": 0.22, "mouthLowerDown": 0.28,
                "mouthUpperUp": 0.18}),
    "ɑ a": (1.0, {"jawOpen": 0.50, "mouthLowerDown": 0.18}),
    "ʌ ɐ ɤ": (0.9, {"jawOpen": 0.36, "mouthLowerDown": 0.15}),
    "ɛ e": (1.0, {"jawOpen": 0.30, "mouthSmile": 0.18, "mouthStretch": 0.18,
                  "mouthLowerDown": 0.25}),
    "i ɪ ᵻ ɨ": (1.0, {"jawOpen": 0.13, "mouthSmile": 0.30, "mouthStretch": 0.26,
                    "mouthLowerDown": 0.22, "mouthUpperUp": 0.06}),
    "ɔ o ɒ œ": (1.1, {"jawOpen": 0.34, "mouthFunnel": 0.45, "mouthPucker": 0.12}),
    "u ʊ ʉ y ʏ ø ɵ": (1.1, {"jawOpen": 0.09, "mouthPucker": 0.62, "mouthFunnel": 0.22}),
    "ə ɘ ɯ": (0.5, {"jawOpen": 0.18, "mouthLowerDown": 0.12}),
    "_": (0.9, {}),
}  # fmt: skip
"""Phonemes -> dominance, expression weights. ``_`` is silence."""

_SHAPES = {name: shape for names, shape in _VISEMES.items() for name in names.split()}
SOUNDS = frozenset(_SHAPES)
"""Phonemes with a mouth shape, in IPA; ``_`` is silence."""
_CHANNELS = (
    "jawOpen", "mouthPress", "mouthRollLower", "mouthRollUpper", "mouthUpperUp",
    "mouthLowerDown", "mouthShrugLower", "mouthStretch", "mouthSmile", "mouthFunnel",
    "mouthPucker",
)  # fmt: skip
_TUCK = {"jawOpen": 0.06, "mouthRollLower": 0.55, "mouthUpperUp": 0.32,
         "mouthShrugLower": 0.1, "mouthStretch": 0.05}  # fmt: skip
_TUCK_CLOSE = 0.5
"""``mouthClose`` of f and v."""
_VOWELS = frozenset("æɑaʌɐɤɛeiɪᵻɨɔoɒœuʊʉyʏøɵəɘɯɜɝɚ")


_NASAL = "\N{COMBINING TILDE}"
_MARKS = frozenset("ˈˌʲʰʷˑːˀ:̪-|.‿ ")
"""Stress, length and other signs that do not change the lips."""


def split_phonemes(phonemes: tuple[Phoneme, ...]) -> list[Phoneme]:
    """Split diphthongs and affricates into the shapes known here; ``_`` is silence.

    Raises:
        ValueError: if a phoneme holds no known sound.
    """
    result = []
    for phoneme in phonemes:
        if phoneme.end - phoneme.start < 0.004:
            continue
        name = "".join(
            letter
            for letter in _oral(phoneme.name)
            if letter not in _MARKS and not unicodedata.combining(letter)
        )
        parts = _known(name) if name else ["_"]
        step = (phoneme.end - phoneme.start) / len(parts)
        for k, part in enumerate(parts):
            start = phoneme.start + k * step
            result.append(Phoneme(start, start + step, part))
    return result


def _oral(name: str) -> str:
    """Return a phoneme without the sign of nasal vowels: lips do not show it."""
    apart = unicodedata.normalize("NFD", name).replace(_NASAL, "")
    return unicodedata.normalize("NFC", apart)


def articulate(
    phonemes: list[Phoneme],
    times: Float[np.ndarray, " frames"],
    *,
    effort: float = 1.0,
) -> Float[np.ndarray, "frames 53"]:
    """Return the mouth's weights at given times.

    Args:
        phonemes: split phonemes.
        times: seconds.
        effort: factor on all movements: 0.8 mumbles, 1.2 is very clear.
    """
    curves = _blend(phonemes, times) * effort
    column = {name: curves[:, k] for k, name in enumerate(_CHANNELS)}
    shut = lip_contact(phonemes, times, sounds="pbmβɓ")
    tuck = lip_contact(phonemes, times, sounds="fvʍɱʋ")
    for name in _CHANNELS:
        column[name] = column[name] * (1 - tuck) + _TUCK.get(name, 0.0) * tuck
    for name in ("mouthLowerDown", "mouthFunnel"):
        column[name] = column[name] * (1 - shut)
    late = np.clip((shut - 0.62) / 0.38, 0, 1)
    column["mouthUpperUp"] = column["mouthUpperUp"] * (1 - late)
    column["mouthPress"] = np.maximum(column["mouthPress"], 0.25 * shut)
    close = _CLOSE_PER_JAW * shut * column["jawOpen"]
    column["mouthClose"] = np.maximum(close, _TUCK_CLOSE * tuck * column["jawOpen"])
    weights = np.zeros((len(times), len(EXPRESSIONS)))
    for name, values in column.items():
        weights[:, expression_indices(name)] = np.clip(values, 0, 1)[:, None]
    return weights


def lip_contact(
    phonemes: list[Phoneme], times: Float[np.ndarray, " frames"], *, sounds: str
) -> Float[np.ndarray, " frames"]:
    """Return 1 while one of the sounds is made, with short ramps.

    The ramps shrink beside short vowels, so that these are not swallowed.
    """
    contact = np.zeros(len(times))
    for k, phoneme in enumerate(phonemes):
        if phoneme.name not in sounds:
            continue
        length = phoneme.end - phoneme.start
        middle = (phoneme.start + phoneme.end) / 2
        ramps = [_ramp(phonemes, k - 1), _ramp(phonemes, k + 1)]
        ramp = np.where(times < middle, *ramps)
        away = np.maximum(0, np.abs(times - middle) - 0.28 * length)
        contact = np.maximum(contact, np.clip(1.15 - away / ramp, 0, 1))
    return smoothstep(0, 1, contact)


def _ramp(phonemes: list[Phoneme], index: int) -> float:
    if not 0 <= index < len(phonemes) or phonemes[index].name not in _VOWELS:
        return 0.045
    length = phonemes[index].end - phonemes[index].start
    return float(np.clip(0.4 * length, 0.022, 0.045))


def _blend(phonemes: list[Phoneme], times: np.ndarray) -> np.ndarray:
    """Return the dominance-weighted mean of all shapes, frames x channels."""
    total = np.zeros((len(times), len(_CHANNELS)))
    weight = np.full(len(times), 1e-6)
    for phoneme in phonemes:
        strength, shape = _SHAPES[phoneme.name]
        length = phoneme.end - phoneme.start
        middle = (phoneme.start + phoneme.end) / 2 - _LEAD
        core = length / 2 * (0.9 if phoneme.name == "_" else 0.55) * 0.6
        away = np.maximum(0, np.abs(times - middle) - core)
        reach = _REACH + _REACH_SHARE * length
        dominance = strength * np.exp(-((away / reach) ** 1.3))
        total += dominance[:, None] * [shape.get(name, 0.0) for name in _CHANNELS]
        weight += dominance
    return total / weight[:, None]


def _known(name: str) -> list[str]:
    parts, rest = [], name
    while rest:
        size = 2 if rest[:2] in _SHAPES else 1
        if rest[:size] in _SHAPES:
            parts.append(rest[:size])
        rest = rest[size:]
    if not parts:
        message = (
            f"unknown phoneme {name!r}: use IPA; known are {' '.join(sorted(_SHAPES))}"
        )
        raise ValueError(message)
    return parts
