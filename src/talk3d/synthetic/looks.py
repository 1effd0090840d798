"""How a synthetic person looks: skin, eyes, hair, clothes, glasses, from one generator.

Colours are linear reflectances. Sex, age and skin tone are drawn evenly; what depends
on them (hair colour, beard, wrinkles) follows in plausible proportions.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

__all__ = [
    "BEARDS",
    "HAIR_COLOURS",
    "HAIR_STYLES",
    "Clothes",
    "Eyes",
    "Hair",
    "Looks",
    "Skin",
    "draw_looks",
]

_Colour = Float[np.ndarray, "3"]

HAIR_COLOURS: dict[str, tuple[float, float, float]] = {
    "black": (0.015, 0.0125, 0.011),
    "dark brown": (0.036, 0.023, 0.016),
    "brown": (0.085, 0.047, 0.027),
    "light brown": (0.18, 0.105, 0.055),
    "blond": (0.38, 0.25, 0.13),
    "platinum": (0.52, 0.42, 0.29),
    "red": (0.27, 0.088, 0.03),
    "auburn": (0.12, 0.035, 0.016),
    "grey": (0.26, 0.25, 0.245),
    "white": (0.50, 0.49, 0.475),
}
HAIR_STYLES = (
    "bald", "buzz", "short", "slick", "medium", "long", "curly", "bob", "tied",
)  # fmt: skip
BEARDS = ("none", "stubble", "short", "full", "goatee")

_STYLES_OF_WOMEN = (0.0, 0.03, 0.07, 0.05, 0.17, 0.25, 0.13, 0.14, 0.16)
_STYLES_OF_MEN = (0.12, 0.15, 0.36, 0.12, 0.08, 0.03, 0.12, 0.0, 0.02)
_BEARDS_OF_MEN = (0.35, 0.28, 0.17, 0.1, 0.1)
_HAIR_OF_LIGHT = (2.5, 3, 3, 2, 2.2, 0.5, 0.8, 0.6, 0, 0)
_HAIR_OF_DARK = (8, 3, 0.7, 0.1, 0, 0, 0, 0.1, 0, 0)
_HAIR_OF_OLD = (1, 1, 0.6, 0, 0.3, 0, 0, 0, 3, 2.5)

_IRISES = (
    # outer colour, inner colour: brown, dark brown, black-brown, blue, deep blue,
    # green, grey
    ((0.20, 0.10, 0.04), (0.10, 0.05, 0.02)),
    ((0.10, 0.05, 0.022), (0.05, 0.022, 0.01)),
    ((0.045, 0.024, 0.013), (0.03, 0.014, 0.008)),
    ((0.20, 0.245, 0.275), (0.25, 0.22, 0.15)),
    ((0.135, 0.185, 0.235), (0.19, 0.22, 0.25)),
    ((0.19, 0.25, 0.13), (0.25, 0.15, 0.05)),
    ((0.26, 0.28, 0.28), (0.22, 0.22, 0.18)),
)
_IRISES_OF_LIGHT = (0.18, 0.2, 0.12, 0.15, 0.15, 0.11, 0.09)
_IRISES_OF_DARK = (0.1, 0.4, 0.5, 0, 0, 0, 0)

_CLOTHS = (
    (0.03, 0.03, 0.035), (0.6, 0.6, 0.6), (0.02, 0.035, 0.09), (0.25, 0.03, 0.03),
    (0.04, 0.1, 0.06), (0.3, 0.28, 0.22), (0.12, 0.12, 0.14), (0.35, 0.2, 0.25),
    (0.07, 0.15, 0.3), (0.45, 0.42, 0.38), (0.10, 0.07, 0.05), (0.05, 0.12, 0.14),
)  # fmt: skip
_LIGHT_CLOTHS = (
    (0.75, 0.75, 0.74), (0.68, 0.68, 0.66), (0.45, 0.55, 0.68), (0.65, 0.58, 0.5),
)  # fmt: skip
_LIGHT_SHARE = 0.3


@dataclass(frozen=True)
class Skin:
    """Reflectance and texture of the skin."""

    melanin: float
    """0 lightest to 1 darkest."""
    colour: _Colour
    """Base reflectance."""
    lips: _Colour
    """Reflectance of the lips."""
    blush: float
    """Strength of the reddened zones."""
    freckles: float
    """Strength of freckles; 0 for most."""
    mottle: float
    """Strength of blotches."""
    under_eye: float
    """Strength of dark rings."""
    wrinkles: float
    """Depth of the folds, 0 to about 1."""
    eye_shadow: float
    """Strength of make-up on the lids."""
    oil: float
    """Gloss of forehead and nose."""
    stubble: float
    """Strength of painted beard shadow."""
    offset: float
    """Where in the noise this person's skin lies."""


@dataclass(frozen=True)
class Eyes:
    """Iris, pupil and lids."""

    outer: _Colour
    """Reflectance of the outer iris."""
    inner: _Colour
    """Reflectance around the pupil."""
    pupil: float
    """Pupil radius divided by the iris's."""
    iris_radius: float
    """Radius of the iris, cm."""
    lashes: float
    """Length of the lashes, 1 is long."""
    resting_blink: float
    """Blink weight when the person looks ahead; below 0 the weight of ``eyeWide``."""


@dataclass(frozen=True)
class Hair:
    """Hair of scalp, brows and beard."""

    colour_name: str
    """Key of ``HAIR_COLOURS``."""
    colour: _Colour
    """Reflectance of the hair."""
    brow_colour: _Colour
    """Reflectance of the brows."""
    style: str
    """One of ``HAIR_STYLES``."""
    hairline: float
    """How far the hairline lies forward, cm."""
    scalp_paint: float
    """Cover of the colour painted on the scalp."""
    scalp_shade: float
    """Brightness of the scalp under the hair."""
    shell: float
    """Thickness of cropped hair drawn as a shell, cm."""
    wave: float
    """Factor on the waves of the style."""
    beard: str
    """One of ``BEARDS``."""


@dataclass(frozen=True)
class Clothes:
    """What the torso wears, and glasses."""

    first: _Colour
    """Reflectance of the cloth."""
    second: _Colour
    """Reflectance of stripes or collar."""
    pattern: int
    """0 plain, 1 striped, 2 collar."""
    glasses: int
    """0 none, 1 rectangular, 2 round, 3 wide."""
    frame: _Colour
    """Reflectance of the frame."""


@dataclass(frozen=True)
class Looks:
    """Everything about a person's surface."""

    woman: bool
    """Drawn sex: sets proportions and fashion."""
    age: float
    """Years, 18 to 80."""
    skin: Skin
    """Skin."""
    eyes: Eyes
    """Eyes."""
    hair: Hair
    """Hair."""
    clothes: Clothes
    """Clothes."""


def draw_looks(generator: np.random.Generator) -> Looks:
    """Draw a person's looks."""
    woman = bool(generator.random() < 0.5)
    age = float(generator.uniform(18, 80))
    melanin = float(generator.random() ** 1.15)
    hair = _draw_hair(generator, woman=woman, age=age, melanin=melanin)
    skin = _draw_skin(generator, woman=woman, age=age, melanin=melanin, hair=hair)
    return Looks(
        woman=woman,
        age=age,
        skin=skin,
        eyes=_draw_eyes(generator, woman=woman, melanin=melanin),
        hair=_with_brows(hair, skin, age),
        clothes=_draw_clothes(generator, age),
    )


def _choice(generator: np.random.Generator, weights: Sequence[int | float]) -> int:
    share = np.array(weights, np.float64)
    return int(generator.choice(len(share), p=share / share.sum()))


def _draw_hair(
    generator: np.random.Generator, *, woman: bool, age: float, melanin: float
) -> Hair:
    weights = _HAIR_OF_LIGHT if melanin < 0.45 else _HAIR_OF_DARK
    if generator.random() < np.interp(age, [38, 75], [0, 0.85]):
        weights = _HAIR_OF_OLD
    name = tuple(HAIR_COLOURS)[_choice(generator, weights)]
    strength = np.exp(generator.normal(0, 0.15))
    tint = np.exp(generator.normal(0, 0.018, 3))
    colour = np.array(HAIR_COLOURS[name]) * strength * tint
    styles = np.array(_STYLES_OF_WOMEN if woman else _STYLES_OF_MEN)
    if melanin > 0.6:
        styles = styles * [1, 1.5, 0.8, 0.8, 0.6, 0.6, 2.0, 0.7, 1.2]
    if not woman:
        styles = styles * [np.interp(age, [25, 60], [0.4, 2.0]), 1, 1, 1, 1, 1, 1, 1, 1]
    style = HAIR_STYLES[_choice(generator, tuple(styles))]
    beard = "none" if woman else BEARDS[_choice(generator, _BEARDS_OF_MEN)]
    recede = 0.0 if woman else max(0.0, (age - 40) / 40) * generator.uniform(0, 1.4)
    paint = {"bald": 0.3 * (generator.random() < 0.6), "buzz": 0.68}.get(style, 1.0)
    return Hair(
        colour_name=name,
        colour=colour,
        brow_colour=colour,
        style=style,
        hairline=-1.5 if style == "bald" else generator.normal(0, 0.45) - recede,
        scalp_paint=float(paint),
        scalp_shade={"bald": 1.0, "buzz": 0.9}.get(style, 0.5),
        shell={"buzz": float(generator.uniform(0.1, 0.45))}.get(style, 0.0),
        wave=float(np.exp(generator.normal(0.3, 0.6))),
        beard=beard,
    )


def _with_brows(hair: Hair, skin: Skin, age: float) -> Hair:
    """Return the hair with brows that fit it: a little lighter or darker."""
    if hair.colour_name in ("black", "dark brown", "brown"):
        brows = hair.colour * 0.9 + skin.colour * 0.10
    elif hair.colour_name in ("grey", "white"):
        dark = np.array(HAIR_COLOURS["dark brown"])
        grey = hair.colour * np.array([0.5, 0.46, 0.43])
        share = np.clip((age - 50) / 40, 0, 1)
        brows = dark * (1 - share) + grey * share
    else:
        brows = hair.colour * np.array([0.55, 0.47, 0.42])
    fields = {name: getattr(hair, name) for name in Hair.__dataclass_fields__}
    return Hair(**{**fields, "brow_colour": brows})


def _draw_skin(
    generator: np.random.Generator,
    *,
    woman: bool,
    age: float,
    melanin: float,
    hair: Hair,
) -> Skin:
    blood = generator.uniform(0.3, 1.0)
    darkening = np.array([1.50, 1.86, 2.08]) * melanin
    reddening = np.array([0.03, 0.24, 0.20]) * blood * (1 - 0.5 * melanin)
    colour = np.array([0.60, 0.405, 0.315]) * np.exp(-darkening - reddening)
    painted = woman and generator.random() < 0.5
    red = generator.uniform(0.55, 1.2) + (0.3 if painted else 0)
    lips = np.exp(-red * np.array([0.10, 0.62, 0.47]) * (1 - 0.45 * melanin))
    old = np.interp(age, [40, 80], [0, 1])
    freckled = melanin < 0.3 and generator.random() < 0.3
    shadow = {"none": 0.0 if woman else 0.1, "stubble": 0.3, "short": 0.8}
    return Skin(
        melanin=melanin,
        colour=colour,
        lips=colour * lips,
        blush=generator.uniform(0.35, 1.0) * (1 - 0.4 * melanin),
        freckles=generator.uniform(0.4, 1.1) if freckled else 0.0,
        mottle=generator.uniform(0.8, 1.5),
        under_eye=generator.uniform(0.25, 0.75) + 0.4 * old,
        wrinkles=float(0.06 + old * generator.uniform(0.7, 1.1)),
        eye_shadow=generator.uniform(0, 0.8) if painted else generator.uniform(0, 0.15),
        oil=generator.uniform(0.2, 1.1),
        stubble=shadow.get(hair.beard, {"full": 0.88}.get(hair.beard, 0.14)),
        offset=generator.random() * 7,
    )


def _draw_eyes(generator: np.random.Generator, *, woman: bool, melanin: float) -> Eyes:
    weights = _IRISES_OF_LIGHT if melanin < 0.45 else _IRISES_OF_DARK
    outer, inner = _IRISES[_choice(generator, weights)]
    return Eyes(
        outer=np.array(outer) * generator.uniform(0.8, 1.2),
        inner=np.array(inner) * generator.uniform(0.8, 1.2),
        pupil=generator.uniform(0.28, 0.42),
        iris_radius=generator.uniform(0.66, 0.72),
        lashes=generator.uniform(0.8, 1.05) if woman else generator.uniform(0.5, 0.8),
        resting_blink=generator.uniform(-0.28, 0.03),
    )


def _draw_clothes(generator: np.random.Generator, age: float) -> Clothes:
    first, second = (
        np.array(_CLOTHS[k]) for k in generator.integers(len(_CLOTHS), size=2)
    )
    worn = generator.random() < np.interp(age, [20, 70], [0.1, 0.3])
    dark = generator.random() < 0.7
    frame = [0.02, 0.018, 0.017] if dark else _CLOTHS[generator.integers(len(_CLOTHS))]
    strength = generator.uniform(0.7, 1.2)
    pattern = int(generator.choice([0, 0, 1, 2, 2]))
    glasses = int(generator.integers(1, 4)) if worn else 0
    frame = np.array(frame) * generator.uniform(0.6, 1.2)
    if generator.random() < _LIGHT_SHARE:
        first = np.array(_LIGHT_CLOTHS[generator.integers(len(_LIGHT_CLOTHS))])
    return Clothes(
        first=first * strength,
        second=second,
        pattern=pattern,
        glasses=glasses,
        frame=frame,
    )
