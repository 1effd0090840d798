"""Extra losses: cameras that agree, offsets that are explained, patches that fool."""

import math
from dataclasses import replace

import torch
from tests.drawn import write_ball_subject

from talk3d.animator.extras import (
    Drawing,
    Extras,
    ExtraWeights,
    reprojection_error,
    side_detail_error,
    turned,
)
from talk3d.camera import (
    camera_rays,
    orbit_label,
    project,
    window_label,
    yaw_pitch,
)
from talk3d.eg3d.config import GeneratorConfig
from talk3d.eg3d.generator import Generator, Rendering
from talk3d.frames import FrameStore

RADIUS, SIZE = 0.3, 64


def _ball(batch, camera, tint, detail=0.0):
    """Draw a ball about the head's middle whose colour depends on the direction.

    Detail: the size of waves of about five pixels on it.
    """
    origins, directions = camera_rays(camera, SIZE)
    origins = origins - torch.tensor([0.0, 0.0, 0.05])
    middle = -(origins * directions).sum(-1)
    under = RADIUS**2 - origins.square().sum(-1) + middle.square()
    hit = (under > 0).float()
    depth = middle - under.clamp(min=0).sqrt()
    normal = (origins + directions * depth[..., None]) / RADIUS
    colour = 0.5 * torch.sin(4 * normal) + tint + detail * torch.sin(40 * normal)
    picture = torch.cat([colour, torch.ones_like(colour[..., :1])], -1)
    picture = torch.where(hit[..., None] > 0, picture, -1.0)
    maps = [v.unflatten(1, (SIZE, SIZE)) for v in (picture, depth * hit, hit)]
    result = maps[0].permute(0, 3, 1, 2)
    depth, hit = maps[1][:, None], maps[2][:, None]
    view = Rendering(result[:, :3], depth, hit, torch.zeros_like(depth))
    planes = torch.zeros(len(camera), 3, 2, 4, 4)
    return Drawing(
        replace(batch, camera=camera),
        torch.zeros(len(camera), 1, 1),
        planes,
        view,
        result,
    )


def _batch(tmp_path):
    store = FrameStore(write_ball_subject(tmp_path / "ball", size=SIZE), range(4))
    return store.batch([0, 2])


def test_cameras_turn_about_the_head():
    front = torch.stack([orbit_label(0.0, 0.0, pivot=(0.0, 0.0, 0.0))] * 2)
    side = turned(front, torch.tensor([0.3, 0.0]), torch.tensor([0.0, 0.2]))
    yaw, pitch = yaw_pitch(side)
    torch.testing.assert_close(yaw, torch.tensor([0.3, 0.0]), atol=1e-5, rtol=0)
    torch.testing.assert_close(pitch, torch.tensor([0.0, 0.2]), atol=1e-5, rtol=0)
    pivot = torch.tensor([0.0, 0.0, 0.05])
    far = [(label[:, [3, 7, 11]] - pivot).norm(dim=1) for label in (front, side)]
    torch.testing.assert_close(far[0], far[1])


def test_two_views_of_one_ball_agree_and_of_two_tints_do_not(tmp_path):
    batch = _batch(tmp_path)
    front = torch.stack([orbit_label(0.0, 0.0)] * 2)
    side = turned(front, torch.tensor([0.3, -0.2]), torch.tensor([0.0, 0.1]))
    first = _ball(batch, front, 0.0)
    same = reprojection_error(first, _ball(batch, side, 0.0)).item()
    other = reprojection_error(first, _ball(batch, side, 0.25)).item()
    assert same < 0.02
    assert math.isclose(other, 0.25, abs_tol=0.03)


def test_detail_that_fades_from_the_side_is_missed_and_more_of_it_is_not(tmp_path):
    batch = _batch(tmp_path)
    front = torch.stack([orbit_label(0.0, 0.0)] * 2)
    side = turned(front, torch.tensor([0.5, -0.4]), torch.tensor([0.0, 0.1]))
    first = _ball(batch, front, 0.0, detail=0.2)
    film = {"picture": first.result[:, :3], "matte": first.rendering.alpha}
    first = replace(first, batch=replace(first.batch, **film))
    blurred, half, same, more = (
        side_detail_error(first, _ball(batch, side, 0.0, detail=detail)).item()
        for detail in (0.0, 0.1, 0.2, 0.4)
    )
    assert same < 0.1 * blurred
    assert more < 0.1 * blurred
    assert 0.3 * blurred < half < 0.7 * blurred


class _Balls(Generator):
    """Draws the ball whatever the planes are."""

    def __init__(self, batch):
        super().__init__(GeneratorConfig.tiny())
        self.batch = batch

    def render(self, planes, label, samples, *, neck=None, size=None, half=False):
        del planes, samples, neck, size, half
        return _ball(self.batch, label, 0.0).rendering

    def upsample(self, rendering, w, *, patch=None):
        del w, patch
        return torch.cat([rendering.features, rendering.alpha], dim=1)


def test_a_window_beside_keeps_the_eye_in_its_place(tmp_path):
    batch, row, column = _batch(tmp_path), 20, 36
    eye = torch.zeros(2, 1, SIZE, SIZE)
    eye[:, :, row, column] = 1
    batch = replace(batch, eyes=eye, mouth=torch.zeros_like(eye))
    front = torch.stack([orbit_label(0.0, 0.0)] * 2)
    window = window_label(front, torch.tensor([[0.4, 0.2]] * 2), 0.5)
    first = _ball(batch, window, 0.0)
    chance = torch.Generator().manual_seed(1)
    balls = _Balls(batch)
    second = first.beside(
        balls, balls.sampling(), patch=None, half=False, chance=chance
    )
    yaws, _ = yaw_pitch(second.batch.camera)
    assert yaws.abs().min() > 0.2
    origins, directions = camera_rays(window, SIZE)
    pixel = row * SIZE + column
    depth = first.rendering.depth.flatten(1)[:, pixel, None]
    point = origins[:, pixel] + directions[:, pixel] * depth
    before, after = (
        project(point[:, None], c)[0] for c in (window, second.batch.camera)
    )
    torch.testing.assert_close(before, after, atol=0.02, rtol=0)


def test_offsets_may_change_as_their_drivers_do():
    extras = Extras(ExtraWeights(temporal=1.0), seed=0)
    limit, tokens = torch.full((3,), 2.0), torch.randn(2, 5, 8)
    still, moved = torch.zeros(2, 3, 4, 8, 8), torch.ones(2, 3, 4, 8, 8)
    assert extras.temporal((still, still), (tokens, tokens), limit) == 0
    flicker = extras.temporal((still, moved), (tokens, tokens), limit)
    driven = extras.temporal((still, moved), (tokens, tokens + 1), limit)
    assert flicker == 0.5
    assert driven < 0.01 * flicker


def test_drivers_are_not_taught_to_jump():
    extras = Extras(ExtraWeights(temporal=1.0), seed=0)
    limit = torch.ones(3)
    tokens = torch.randn(2, 5, 8, requires_grad=True)
    still = torch.zeros(2, 3, 4, 8, 8, requires_grad=True)
    extras.temporal((still, still + 1), (tokens, tokens + 0), limit).backward()
    assert tokens.grad is None
    assert still.grad is not None
    assert torch.isfinite(still.grad).all()


def test_the_discriminator_learns_to_tell_and_goes_on_from_its_state(tmp_path):
    batch = _batch(tmp_path)
    front = torch.stack([orbit_label(0.0, 0.0)] * 2)
    drawing = _ball(batch, front, 0.2)
    critic = Extras(ExtraWeights(adversarial=1.0, side_detail=0.0), seed=0)
    scores = [critic.pictures(drawing, drawing, 0)["adversarial"] for _ in range(30)]
    assert scores[-1] > scores[0] + 0.1
    again = Extras(ExtraWeights(adversarial=1.0, side_detail=0.0), seed=1)
    again.restore(critic.state())
    told = [
        extras.pictures(drawing, drawing, 0)["adversarial"]
        for extras in (critic, again)
    ]
    assert told[0] == told[1]


def test_what_has_no_weight_is_not_computed(tmp_path):
    extras = Extras(ExtraWeights(side_detail=0.0), seed=0)
    drawing = _ball(_batch(tmp_path), torch.stack([orbit_label(0.0, 0.0)] * 2), 0.0)
    assert extras.pictures(drawing, drawing, 0) == {}
    assert extras.state() == {}
