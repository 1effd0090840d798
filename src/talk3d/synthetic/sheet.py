"""Look at synthetic people, and count whom the draw gives.

``people_sheet`` draws a contact sheet; ``count_people`` tabulates sex, age, skin tone
and hair over many seeds without drawing anything.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from talk3d.camera import orbit_label
from talk3d.synthetic.builtin import open_head
from talk3d.synthetic.expressions import draw_expression, draw_gaze
from talk3d.synthetic.head import expression_indices
from talk3d.synthetic.light import draw_light
from talk3d.synthetic.looks import Looks
from talk3d.synthetic.people import draw_person_looks, make_person
from talk3d.synthetic.plates import draw_plate
from talk3d.synthetic.renderer import Renderer
from talk3d.synthetic.skull import skin_surface
from talk3d.synthetic.talking import TalkConfig, TalkScene, compose
from talk3d.synthetic.view import Pose

__all__ = ["count_people", "people_sheet", "talk_strip"]

_COLUMNS = 6
_BLINKS = expression_indices("eyeBlink")
_BLINK_SHARE = 0.2
"""Blinks are drawn far more often than they last in life; this share is kept."""
_AGES = (18, 30, 45, 60, 81)
_TONES = ("lightest", "light", "medium", "dark", "darkest")


def people_sheet(
    seeds: Sequence[int], out: Path, *, size: int = 256, head: Path | None = None
) -> None:
    """Draw one picture per seed, from profile to profile, as a contact sheet.

    Args:
        seeds: one person each.
        out: destination, any picture format.
        size: pixels per side of each picture.
        head: the head model file; see ``talk3d.synthetic.builtin.open_head``.

    Raises:
        ValueError: if there are no seeds.
        FileNotFoundError: if the named head model does not exist.
        OSError: if there is no OpenGL.
    """
    if not seeds:
        message = "no seeds were given: give at least one"
        raise ValueError(message)
    if size < 8 or size % 8:
        message = f"size is {size}: give a multiple of 8"
        raise ValueError(message)
    model = open_head(head)
    surface = skin_surface(model)
    angles = np.linspace(-90, 90, len(seeds)) if len(seeds) > 1 else [0.0]
    tiles = []
    with Renderer(model, size=size, oversample=3) as renderer:
        for seed, angle in zip(seeds, angles, strict=True):
            generator = np.random.default_rng([seed, 60])
            renderer.load(make_person(surface, seed))
            expression = draw_expression(generator)
            expression[_BLINKS] *= generator.random() < _BLINK_SHARE
            pose = Pose(expression, draw_gaze(generator), np.eye(3))
            pitch = float(np.radians(generator.uniform(-10, 12)))
            label = orbit_label(float(np.radians(angle)), pitch).numpy()
            picture = renderer.render(pose, label, draw_light(generator))
            tiles.append(compose(picture, draw_plate(generator, size)))
    _save_tiles(tiles, out, _COLUMNS)


def talk_strip(
    config: TalkConfig,
    out: Path,
    *,
    frames: int = 40,
    columns: int = 10,
    head: Path | None = None,
) -> None:
    """Draw evenly spaced frames of a talking subject as a contact sheet.

    Args:
        config: what ``talk3d.synthetic.talking.write_talk`` would show.
        out: destination, any picture format.
        frames: number of frames.
        columns: frames per row.
        head: the head model file; see ``talk3d.synthetic.builtin.open_head``.

    Raises:
        FileNotFoundError: if the named head model does not exist.
        OSError: if there is no OpenGL.
    """
    scene = TalkScene.open(config, head)
    plate = draw_plate(np.random.default_rng([config.seed, 53]), config.size)
    last = len(scene.performance.expression) - 1
    with scene.renderer:
        tiles = [
            compose(scene.picture(int(index)), plate)
            for index in np.linspace(0, last, frames)
        ]
    _save_tiles(tiles, out, columns)


def _save_tiles(tiles: list[np.ndarray], out: Path, columns: int) -> None:
    """Save pictures in rows, the last one filled up with white."""
    blank = np.full_like(tiles[0], 255)
    tiles = tiles + [blank] * (-len(tiles) % columns if len(tiles) > columns else 0)
    rows = [tiles[k : k + columns] for k in range(0, len(tiles), columns)]
    out.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.vstack([np.hstack(row) for row in rows])).save(out)


def count_people(seeds: Sequence[int]) -> dict[str, dict[str, int]]:
    """Return how many of the people fall into each group."""
    looks = [draw_person_looks(seed) for seed in seeds]
    return {
        "sex": _count("woman" if person.woman else "man" for person in looks),
        "age": _count(_age_group(person) for person in looks),
        "skin": _count(_tone(person) for person in looks),
        "hair colour": _count(person.hair.colour_name for person in looks),
        "hair style": _count(person.hair.style for person in looks),
        "beard (men)": _count(p.hair.beard for p in looks if not p.woman),
        "glasses": _count("yes" if p.clothes.glasses else "no" for p in looks),
    }


def _count(groups: Iterable[str]) -> dict[str, int]:
    return dict(sorted(Counter(groups).items()))


def _age_group(looks: Looks) -> str:
    index = int(np.searchsorted(_AGES, looks.age, side="right"))
    return f"{_AGES[index - 1]} to {_AGES[index] - 1}"


def _tone(looks: Looks) -> str:
    return _TONES[min(int(looks.skin.melanin * len(_TONES)), len(_TONES) - 1)]
