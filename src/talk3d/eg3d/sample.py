"""Look at a prior: sheets of people that it makes up.

Comes in: a generator. Goes out: a picture with one person in each row, from profile to
profile.
"""

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float, UInt8
from numpy import ndarray
from torch import Tensor

from talk3d.camera import orbit_label
from talk3d.eg3d.generator import Generator

__all__ = ["SHEET_YAWS", "draw_codes", "sample_sheet"]

SHEET_YAWS = (-75.0, -45.0, -20.0, 0.0, 20.0, 45.0, 75.0)
"""Degrees; columns of a sheet."""


def draw_codes(generator: Generator, seeds: Sequence[int]) -> Float[Tensor, "people z"]:
    """Draw identity codes as those of the training people are spread."""
    size = generator.config.z_dim
    draws = [
        torch.randn(size, generator=torch.Generator().manual_seed(seed))
        for seed in seeds
    ]
    return generator.codes(torch.stack(draws))


@torch.inference_mode()
def sample_sheet(
    generator: Generator,
    codes: Float[Tensor, "people z"],
    yaws: Sequence[float] = SHEET_YAWS,
    *,
    truncation: float = 1.0,
) -> UInt8[ndarray, "height width 3"]:
    """Draw people at rest on grey, one in each row.

    Args:
        generator: the prior.
        codes: the people.
        yaws: degrees; one column each.
        truncation: 1 keeps the people, 0 gives the average.

    Raises:
        ValueError: if ``truncation`` is not from 0 to 1.
    """
    if not 0 <= truncation <= 1:
        raise ValueError(f"truncation is {truncation}; give a number from 0 to 1.")
    labels = torch.stack([orbit_label(math.radians(yaw), 0.0) for yaw in yaws])
    rows = []
    for code in codes:
        w = generator.map(code[None], _at_rest(generator), truncation=truncation)
        planes = generator.planes(w)
        tiles = []
        for label in labels:
            rendering = generator.render(planes, label[None], generator.sampling())
            picture = (generator.upsample(rendering, w)[0].float() + 1) / 2
            tiles.append(_on_grey(picture))
        rows.append(torch.cat(tiles, dim=2))
    sheet = torch.cat(rows, dim=1).clamp(0, 1).permute(1, 2, 0)
    return (255 * sheet + 0.5).to(torch.uint8).numpy()


def _at_rest(generator: Generator) -> Float[Tensor, "1 condition"]:
    """Return the condition of a face at rest; published networks take a camera."""
    if generator.config.condition_dims == (25,):
        return orbit_label(0.0, 0.0)[None]
    return generator.condition(torch.zeros(1, 53), torch.zeros(1, 4))


def _on_grey(
    picture: Float[Tensor, "channels height width"],
) -> Float[Tensor, "3 height width"]:
    """Lay premultiplied colour over grey; published networks have no matte."""
    if len(picture) == 3:
        return picture
    return picture[:3] + 0.5 * (1 - picture[3:])
