"""The image stage looks where people look."""

from dataclasses import replace

import torch
from tests.drawn import write_ball_corpus

from talk3d.camera import camera_rays
from talk3d.eg3d.corpus import Corpus
from talk3d.eg3d.images import WINDOWS, draw_windows

EYES, LIPS = 5, 2


def _batch(tmp_path):
    batch = Corpus.open(write_ball_corpus(tmp_path / "corpus")).batch([0, 1])
    part = torch.ones_like(batch.part)
    part[0, 0, 5, 9] = EYES
    part[:, 0, 25, 16] = LIPS
    return replace(batch, part=part)


def test_windows_show_an_eye_then_the_mouth_then_anything(tmp_path):
    batch = _batch(tmp_path)
    for seed in range(10):
        chance = torch.Generator().manual_seed(seed)
        windows = draw_windows(batch, 4, 16, chance=chance)
        assert windows.colour.shape == (2 * WINDOWS, 3, 8, 8)
        assert (windows.part[0] == EYES).any()
        assert (windows.part[1] == LIPS).any()
        assert (windows.part[4] == LIPS).any()
        assert windows.person.tolist() == [0, 0, 0, 0, 0, 0]


def test_windows_keep_what_their_cameras_see(tmp_path):
    batch = _batch(tmp_path)
    windows = draw_windows(batch, 4, 16, chance=torch.Generator().manual_seed(0))
    whole = camera_rays(batch.camera, 32)[1].unflatten(1, (32, 32))
    part = camera_rays(windows.camera, 8)[1].unflatten(1, (8, 8))
    flat = whole[0].flatten(0, 1)
    near = torch.cdist(part[0].flatten(0, 1), flat)
    assert near.min(dim=1).values.max() < 1e-3  # neighbours are 5e-3 apart
    depth = batch.depth[0].flatten()[near.argmin(dim=1)]
    torch.testing.assert_close(depth, windows.depth[0].flatten())
