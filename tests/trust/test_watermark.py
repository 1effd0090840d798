"""The mark: faint, read again, also after what happens to videos; never imagined."""

import io

import cv2
import numpy as np
import pytest
from PIL import Image
from tests.trust.conftest import picture

from talk3d.trust.detect import read_mark
from talk3d.trust.watermark import Mark

IDENTITY = "0f1e2d3c4b"


def _marked(size=256, count=6):
    mark = Mark.of(IDENTITY, size, size)
    return [mark.apply(picture(9 * i, size)) for i in range(count)]


def _jpeg(frame, quality):
    buffer = io.BytesIO()
    Image.fromarray(frame).save(buffer, "JPEG", quality=quality)
    return np.asarray(Image.open(buffer).convert("RGB"))


def test_the_mark_costs_at_most_42_decibels():
    plain, marked = picture(size=256).astype(float), _marked(count=1)[0]
    error = np.mean((plain - marked) ** 2)
    assert 42 <= 10 * np.log10(255**2 / error) <= 48


def test_noise_all_over_is_marked_within_the_budget():
    rng = np.random.default_rng(0)
    busy = rng.integers(60, 200, (256, 256, 3), np.uint8)
    error = _added(busy)
    assert 42 <= 10 * np.log10(255**2 / np.mean(error**2)) <= 42.5


def test_walls_and_slow_shading_carry_less_than_detail():
    rng = np.random.default_rng(0)
    shaded = np.linspace(40, 200, 256)[None, :, None].repeat(256, 0).repeat(3, 2)
    shaded[128:] += rng.normal(0, 12, (128, 256, 1))
    added = _added(shaded.clip(0, 255).astype(np.uint8))
    wall, detail = added[:112].std(), added[144:].std()
    assert wall < 1.0
    assert detail > 2.5 * wall


def _added(plain):
    marked = Mark.of(IDENTITY, *plain.shape[:2]).apply(plain)
    return marked.astype(float) - plain


@pytest.mark.parametrize("size", [128, 256, 512])
def test_the_mark_is_read_in_all_sizes(size):
    reading = read_mark(_marked(size, 1))
    assert reading.identity == IDENTITY
    assert reading.size == 1.0


def test_the_mark_is_read_in_wide_pictures():
    wide = np.concatenate([picture(i, 256) for i in range(3)], axis=1)[:, :700]
    assert read_mark([Mark.of(IDENTITY, 256, 700).apply(wide)]).identity == IDENTITY


@pytest.mark.parametrize("quality", [90, 60])
def test_the_mark_survives_jpeg(quality):
    assert read_mark([_jpeg(f, quality) for f in _marked()]).identity == IDENTITY


def test_the_mark_survives_crop_and_resize_and_says_by_how_much():
    cut = [cv2.resize(f[9:239, 17:247], (256, 256)) for f in _marked()]
    reading = read_mark(cut)
    assert reading.identity == IDENTITY
    # sizes are tried in steps of half a per cent
    assert abs(reading.size - 256 / 230) < 0.006


def test_the_mark_survives_a_mirror():
    reading = read_mark([np.ascontiguousarray(f[:, ::-1]) for f in _marked()])
    assert reading.identity == IDENTITY
    assert reading.mirrored


def test_transparency_is_left_alone():
    given = np.dstack([picture(), np.arange(128, dtype=np.uint8)[None].repeat(128, 0)])
    marked = Mark.of(IDENTITY, 128, 128).apply(given)
    np.testing.assert_array_equal(marked[..., 3], given[..., 3])


def test_unmarked_pictures_are_never_alarming():
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (256, 256, 3), np.uint8)
    soft = cv2.GaussianBlur(noise, (0, 0), 2)
    flat = np.full((256, 256, 3), 128, np.uint8)
    stripes = np.zeros((256, 256, 3), np.uint8)
    stripes[:, np.arange(256) // 4 % 2 == 1] = 255
    for frame in (noise, soft, flat, stripes, picture(size=256)):
        reading = read_mark([frame])
        assert not reading.found
        # sqrt(2 ln(trials)) = 5.7: where the bound reaches one
        assert reading.fit < 6


def test_another_mark_has_another_identity():
    other = Mark.of("0f1e2d3c4c", 256, 256).apply(picture(size=256))
    assert read_mark([other]).identity == "0f1e2d3c4c"


def test_no_picture_is_refused():
    with pytest.raises(ValueError, match="no picture"):
        read_mark([])
