"""Backgrounds: pictures are laid behind an avatar upright and in proportion."""

import numpy as np
import pytest
import torch
from PIL import Image

from talk3d.avatar import Avatar
from talk3d.speaking import SpeakConfig, background

SIZE = 64


class _Bare(Avatar):
    def __init__(self):
        self.plate = torch.full((3, SIZE, SIZE), 51, dtype=torch.uint8)


def test_a_phones_portrait_stands_upright_and_is_not_squeezed(tmp_path):
    pixels = np.zeros((40, 80, 3), np.uint8)
    pixels[:, :40, 0] = 255
    pixels[10:30, 30:50] = 255
    exif = Image.Exif()
    exif[0x0112] = 6  # the left side of the pixels is the top of the picture
    Image.fromarray(pixels).save(tmp_path / "portrait.png", exif=exif)
    shown = background(str(tmp_path / "portrait.png"), _Bare())
    assert shown.shape == (SIZE, SIZE, 3)
    assert shown[0, SIZE // 2, 0] > 0.9
    assert shown[-1, SIZE // 2, 0] < 0.1
    white = shown.min(axis=2) > 0.5
    assert white.any(0).sum() == pytest.approx(32, abs=2)
    assert white.any(1).sum() == pytest.approx(32, abs=2)


def test_a_background_that_would_not_be_seen_is_refused():
    with pytest.raises(ValueError, match="'grey' would not be seen: leave out --back"):
        SpeakConfig(alpha=True, background="grey")
    assert SpeakConfig(alpha=True).alpha


def test_a_huge_picture_is_refused(tmp_path, monkeypatch):
    Image.new("RGB", (80, 40)).save(tmp_path / "huge.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    with pytest.raises(ValueError, match=r"huge\.png has too many pixels"):
        background(str(tmp_path / "huge.png"), _Bare())


def test_the_recorded_background_and_colours():
    assert background("keep", _Bare()) == pytest.approx(0.2)
    assert background("#ff0000", _Bare())[5, 5] == pytest.approx([1, 0, 0])
    with pytest.raises(ValueError, match="give keep, a colour"):
        background("blurple", _Bare())
