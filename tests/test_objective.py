"""What pictures are judged by: eyes and mouth much, the outline little."""

import pytest
import torch
from tests.drawn import write_ball_subject

from talk3d.eg3d.generator import Rendering
from talk3d.frames import FrameStore
from talk3d.objective import PictureWeights, picture_terms, raw_error

WEIGHTS = PictureWeights(texture=1.0, thickness=20.0)


def _rendering(truth, spread):
    raw = torch.nn.functional.avg_pool2d(truth, 2)
    alpha = (raw[:, 3:] + 1) / 2
    return Rendering(raw[:, :3], alpha, alpha, torch.full_like(alpha, spread))


def _batch(tmp_path):
    return FrameStore(write_ball_subject(tmp_path / "ball"), range(4)).batch([0, 2])


def _cost(batch, where):
    """Return the colour error of a picture that is wrong at one place."""
    wrong = batch.premultiplied().clone()
    wrong[:, :3] += 0.5 * where
    return raw_error(wrong, batch).item()


def test_the_truth_costs_nothing(tmp_path):
    batch = _batch(tmp_path)
    truth = batch.premultiplied()
    terms = picture_terms(truth, _rendering(truth, 0.0), batch, WEIGHTS)
    assert all(value.abs() < 1e-6 for value in terms.values())


def test_thick_walls_cost_by_their_thickness_alone(tmp_path):
    batch = _batch(tmp_path)
    truth = batch.premultiplied()
    costs = []
    for spread in (0.0005, 0.001, 0.1, 0.2):
        terms = picture_terms(truth, _rendering(truth, spread), batch, WEIGHTS)
        costs.append(terms.pop("thickness").item() / WEIGHTS.thickness)
        assert all(value.abs() < 1e-6 for value in terms.values())
    # Thin walls in proportion; two surfaces far apart are no wall.
    assert costs[:2] == pytest.approx([0.0005, 0.001], rel=0.01)
    assert costs[3] == pytest.approx(costs[2], rel=0.01)


def test_colour_on_the_outline_counts_little(tmp_path):
    batch = _batch(tmp_path)
    plain = (batch.mouth + batch.eyes) == 0
    middle = torch.nn.functional.avg_pool2d(batch.matte, 5, stride=1, padding=2)
    outline = ((middle > 0.3) & (middle < 0.7) & plain).float()
    inside = ((middle > 0.999) & plain).float()
    each = [_cost(batch, where) / where.sum().item() for where in (outline, inside)]
    assert each[0] < 0.3 * each[1]


def test_the_mouth_counts_six_times(tmp_path):
    batch = _batch(tmp_path)
    middle = torch.nn.functional.avg_pool2d(batch.matte, 5, stride=1, padding=2)
    inside = middle > 0.999
    mouth = (inside & (batch.mouth > 0)).float()
    skin = (inside & (batch.mouth.maximum(batch.eyes) == 0)).float()
    each = [_cost(batch, where) / where.sum().item() for where in (mouth, skin)]
    assert abs(each[0] / each[1] - 6) < 0.3
