"""An avatar laid back into its video meets what is around it."""

import numpy as np
import pytest

from talk3d.inlay import Crop, SourceFrames, inlay
from talk3d.movie import write_movie
from talk3d.speaking import SpeakConfig

CROP = Crop(x=20.0, y=10.0, side=128.0, start=0.0)


def _scene():
    """A smooth picture of 180 x 200 with a disc in the middle of the crop."""
    y, x = np.mgrid[:180, :200].astype(np.float32)
    back = np.stack([x, y, 0 * x + 90], -1)
    disc = (x - 83.5) ** 2 + (y - 73.5) ** 2 < 30**2
    return back, np.where(disc[..., None], 200.0, back), disc


def _small(picture):
    """What the crop shows at half the scale."""
    part = picture[10:138, 20:148]
    return part.reshape(64, 2, 64, 2, -1).mean((1, 3))


def _avatar(alpha, colour=200.0):
    rgb = np.full((64, 64, 3), colour)
    return np.concatenate([rgb, 255 * alpha], -1).round().astype(np.uint8)


def test_nothing_laid_over_changes_nothing():
    _, scene, _ = _scene()
    scene, empty = scene.astype(np.uint8), np.zeros((64, 64, 1))
    plate = _small(scene).astype(np.uint8)
    assert (inlay(_avatar(empty), plate, scene, CROP) == scene).all()


def test_the_same_head_is_laid_where_it_was():
    back, scene, disc = _scene()
    alpha, plate = _small(disc[..., None].astype(float)), _small(back).astype(np.uint8)
    laid = inlay(_avatar(alpha), plate, scene.astype(np.uint8), CROP).astype(int)
    off = np.abs(laid - scene)
    assert np.median(off) == 0
    assert off.mean() < 1.5


def test_the_rim_is_not_darkened_by_what_the_matte_hides():
    back, scene, disc = _scene()
    alpha, plate = _small(disc[..., None].astype(float)), _small(back).astype(np.uint8)
    full, black = _avatar(alpha), _avatar(alpha)
    black[alpha[..., 0] == 0, :3] = 0
    laid = [inlay(p, plate, scene.astype(np.uint8), CROP) for p in (full, black)]
    assert np.abs(laid[0].astype(int) - laid[1]).max() <= 1


def test_the_light_of_the_source_is_taken_over():
    back, scene, disc = _scene()
    alpha, plate = _small(disc[..., None].astype(float)), _small(back).astype(np.uint8)
    laid = inlay(_avatar(alpha, 185.0), plate, scene.astype(np.uint8), CROP)
    assert abs(int(laid[73, 83, 0]) - 200) <= 1


def test_beyond_the_square_nothing_changes():
    back, scene, disc = _scene()
    alpha, plate = _small(disc[..., None].astype(float)), _small(back).astype(np.uint8)
    laid = inlay(_avatar(alpha, 190.0), plate, scene.astype(np.uint8), CROP)
    outside = np.ones(laid.shape[:2], bool)
    outside[10:138, 20:148] = False
    assert (laid[outside] == scene.astype(np.uint8)[outside]).all()


def test_frames_are_read_in_any_order(tmp_path):
    grey = (np.full((32, 32, 3), 8 * k, np.uint8) for k in range(30))
    write_movie(tmp_path / "grey.mp4", grey, fps=25.0)
    frames = SourceFrames(tmp_path / "grey.mp4", fps=25.0, start=0.2)
    order = [0, 1, 1, 12, 2, 13, 3, 14, 0]
    found = [int(frames[index].mean()) for index in order]
    assert np.abs(np.array(found) - 8 * (np.array(order) + 5)).max() <= 2
    with pytest.raises(ValueError, match="ends before frame 90"):
        frames[90]


@pytest.mark.parametrize(
    "other", [{"view": "front"}, {"alpha": True}, {"background": "grey"}]
)
def test_the_whole_frame_shows_the_recorded_view(tmp_path, other):
    with pytest.raises(ValueError, match="leave out --view"):
        SpeakConfig(into=tmp_path / "me.mp4", **other)
