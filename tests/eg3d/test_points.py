"""Point supervision says the truth about a ball whose surface is known."""

import torch
from tests.drawn import RADIUS, write_ball_corpus

from talk3d.camera import project
from talk3d.eg3d.corpus import Corpus
from talk3d.eg3d.images import guided_depths
from talk3d.eg3d.points import point_loss, sample_points

PIXELS = 400


def _targets(tmp_path):
    corpus = Corpus.open(write_ball_corpus(tmp_path / "corpus", size=128))
    batch = corpus.batch([0, 1])
    chance = torch.Generator().manual_seed(0)
    return batch, sample_points(batch, PIXELS, generator=chance)


def test_points_called_empty_are_outside_and_occupied_ones_inside(tmp_path):
    _, targets = _targets(tmp_path)
    distance = targets.points.norm(dim=-1)
    known = targets.weight > 0
    # depth is stored as float16 (steps of 2 mm at 2.7) and pixels cover 5 mm
    slack = 0.012
    empty = known & (targets.occupied == 0)
    solid = known & (targets.occupied == 1)
    assert (distance[empty] > RADIUS - slack).all()
    inside = distance[solid] < RADIUS + slack
    assert inside.float().mean() > 0.99


def test_all_space_seen_beside_the_ball_is_taught(tmp_path):
    batch, targets = _targets(tmp_path)
    box = targets.points[:, 4 * PIXELS :]
    taught = targets.weight[:, 4 * PIXELS :] > 0
    image, _ = project(box, batch.camera)
    position = batch.camera[:, None, [3, 7, 11]]
    along = torch.nn.functional.normalize(box - position, dim=-1)
    miss = torch.linalg.cross(along, position.expand_as(along)).norm(dim=-1)
    seen = ((image > 0) & (image < 1)).all(-1) & (miss > RADIUS + 0.01)
    assert seen.sum() > PIXELS / 4
    assert taught[seen].all()


def test_the_true_field_costs_nothing(tmp_path):
    _, targets = _targets(tmp_path)
    density = 2000 * (targets.points.norm(dim=-1) < RADIUS - 0.001).float()
    density[:, :PIXELS] = 2000 * targets.occupied[:, :PIXELS]
    colour, occupancy = point_loss(targets, density, targets.colour)
    assert colour == 0
    empty_colour, empty_occupancy = point_loss(
        targets, torch.zeros_like(density), -targets.colour
    )
    assert occupancy < 0.15 * empty_occupancy
    assert empty_colour > 0.1


def test_guided_depths_rise_and_crowd_at_the_surface(tmp_path):
    batch, _ = _targets(tmp_path)
    near = torch.full((2, 256), 2.0)
    far = torch.full((2, 256), 3.4)
    chance = torch.Generator().manual_seed(0)
    depths = guided_depths(batch.depth, near, far, generator=chance)
    assert (depths.diff(dim=-1) >= 0).all()
    assert (depths >= 2.0).all()
    assert (depths <= 3.4).all()
    middle = depths[0].reshape(16, 16, -1)[8, 8]
    surface = batch.depth[0, 0, 64, 64]
    assert ((middle - surface).abs() < 0.07).sum() >= 8
