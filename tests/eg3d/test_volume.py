"""Volume rendering against closed forms and brute force."""

import itertools
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from talk3d.eg3d import depths, volume
from talk3d.eg3d.depths import Rays, Sampling
from talk3d.eg3d.volume import VolumeConfig


def _weights_by_hand(density, lengths):
    weights, through = [], 1.0
    for value, length in zip(density, lengths, strict=True):
        alpha = 1 - math.exp(-value * length)
        weights.append(through * alpha)
        through *= 1 - alpha
    return weights


def _rays(count, *, seed=0, radius=2.0):
    chance = torch.Generator().manual_seed(seed)
    start = torch.randn(1, count, 3, generator=chance, dtype=torch.float64)
    origins = radius * start / start.norm(dim=-1, keepdim=True)
    target = torch.rand(1, count, 3, generator=chance, dtype=torch.float64) - 0.5
    directions = target - origins
    directions = directions / directions.norm(dim=-1, keepdim=True)
    near, far = volume.box_interval(origins, directions, box=1.0)
    return Rays(origins, directions, near, far)


def _ball(points):
    """Opaque ball of radius 0.3 whose first three features are its position."""
    raw = (0.3 - points.norm(dim=-1)) * 4000
    return raw.clamp(-50, 50), points + 0.5


def test_cell_weights_equal_the_product_written_out():
    density = [0.0, 0.5, 3.0, 0.0, 20.0]
    edges = [1.0, 1.1, 1.4, 1.5, 1.9, 2.0]
    lengths = [b - a for a, b in itertools.pairwise(edges)]
    found = volume.cell_weights(
        torch.tensor([[density]], dtype=torch.float64),
        torch.tensor([[edges]], dtype=torch.float64),
    )
    wanted = torch.tensor(_weights_by_hand(density, lengths), dtype=torch.float64)
    torch.testing.assert_close(found[0, 0], wanted, atol=1e-12, rtol=0)


def test_midpoint_weights_equal_the_product_written_out():
    raw, t = [-3.0, 0.0, 2.0, 5.0], [2.0, 2.3, 2.35, 2.8]
    middle = [(a + b) / 2 for a, b in itertools.pairwise(raw)]
    density = [math.log1p(math.exp(value - 1)) for value in middle]
    lengths = [b - a for a, b in itertools.pairwise(t)]
    found = volume.midpoint_weights(
        torch.tensor([[raw]], dtype=torch.float64),
        torch.tensor([[t]], dtype=torch.float64),
        1.0,
    )
    wanted = torch.tensor(_weights_by_hand(density, lengths), dtype=torch.float64)
    torch.testing.assert_close(found[0, 0], wanted, atol=1e-9, rtol=0)


@given(st.floats(0.01, 50), st.floats(-3, 3), st.integers(3, 40))
def test_constant_fog_has_the_closed_form_opacity(sharpness, raw, samples):
    rays = _rays(5)

    def fog(points):
        return torch.full_like(points[..., 0], raw), torch.full_like(points, 0.25)

    features, _, alpha, _ = volume.march_cells(
        fog, rays, Sampling(samples, 0), rules=VolumeConfig(sharpness=sharpness)
    )
    density = sharpness * math.log1p(math.exp(raw - 1))
    wanted = 1 - torch.exp(-density * (rays.far - rays.near))
    torch.testing.assert_close(alpha, wanted, atol=1e-9, rtol=0)
    torch.testing.assert_close(features[..., 0], 0.5 * wanted - 1, atol=1e-9, rtol=0)


def test_the_weighted_depth_of_fog_approaches_the_integral():
    rays = _rays(5)

    def fog(points):
        return torch.full_like(points[..., 0], 1.0), points

    depth = volume.march_cells(
        fog, rays, Sampling(2000, 0), rules=VolumeConfig(sharpness=4.0)
    )[1]
    density, length = 4 * math.log(2), rays.far - rays.near
    mean = 1 / density - length / torch.expm1(density * length)
    # Cells are at most sqrt(3)/2000 long.
    torch.testing.assert_close(depth, rays.near + mean, atol=1e-3, rtol=0)


def test_the_spread_of_fog_approaches_that_of_where_its_rays_stop():
    rays = _rays(5)

    def fog(points):
        return torch.full_like(points[..., 0], 1.0), points

    fogged = volume.march_cells(
        fog, rays, Sampling(2000, 0), rules=VolumeConfig(sharpness=4.0)
    )
    density, length = 4 * math.log(2), rays.far - rays.near
    # Of the exponential distribution, cut off where the ray leaves the box.
    cut = torch.exp(density * length)
    variance = 1 / density**2 - length.square() * cut / (cut - 1).square()
    wanted = (fogged.alpha * variance).sqrt()
    torch.testing.assert_close(fogged.spread, wanted, atol=1e-3, rtol=0)


def test_a_ball_is_seen_where_it_is():
    rays = _rays(200)
    features, depth, alpha, _ = volume.march_cells(
        _ball, rays, Sampling(48, 96), rules=VolumeConfig(sharpness=300.0)
    )
    along = -(rays.origins * rays.directions).sum(-1)
    offset = (rays.origins + along[..., None] * rays.directions).norm(dim=-1)
    hit = offset < 0.29
    exact = along - (0.09 - offset.square()).clamp(min=0).sqrt()
    assert alpha[hit].min() > 0.999
    assert alpha[offset > 0.31].max() < 1e-6
    # The coarse step is at most sqrt(3)/48 and fine samples divide it by about 40.
    assert (depth - exact)[hit].abs().mean() < 2e-3
    seen = (features[..., :3] + 1) / 2 - 0.5
    surface = rays.origins + exact[..., None] * rays.directions
    assert (seen - surface)[hit].abs().mean() < 2e-3
    torch.testing.assert_close(depth[alpha == 0], rays.far[alpha == 0])


def test_fine_samples_sharpen_the_surface():
    rays = _rays(200)
    along = -(rays.origins * rays.directions).sum(-1)
    offset = (rays.origins + along[..., None] * rays.directions).norm(dim=-1)
    hit = offset < 0.25
    exact = along - (0.09 - offset.square()).clamp(min=0).sqrt()

    def error(samples):
        depth = volume.march_cells(
            _ball, rays, samples, rules=VolumeConfig(sharpness=300.0)
        )[1]
        return (depth - exact)[hit].abs().mean()

    assert error(Sampling(12, 12)) < 0.5 * error(Sampling(24, 0))


def test_given_depths_are_marched_as_drawn_ones():
    rays = _rays(20)
    t = depths.stratified_depths(rays.near, rays.far, Sampling(16, 0))
    drawn = volume.march_cells(
        _ball, rays, Sampling(16, 0), rules=VolumeConfig(sharpness=30.0)
    )
    order = torch.randperm(16, generator=torch.Generator().manual_seed(0))
    given_ = volume.march_cells(
        _ball, rays, t[..., order], rules=VolumeConfig(sharpness=30.0)
    )
    for a, b in zip(drawn, given_, strict=True):
        torch.testing.assert_close(a, b, atol=1e-12, rtol=0)


def test_rays_do_not_depend_on_each_other():
    rays = _rays(30)
    part = Rays(*(getattr(rays, n)[:, 7:9] for n in rays.__dataclass_fields__))
    whole = volume.march_cells(
        _ball, rays, Sampling(12, 12), rules=VolumeConfig(sharpness=30.0)
    )
    alone = volume.march_cells(
        _ball, part, Sampling(12, 12), rules=VolumeConfig(sharpness=30.0)
    )
    for a, b in zip(whole, alone, strict=True):
        torch.testing.assert_close(a[:, 7:9], b, atol=0, rtol=0)


def test_the_midpoint_rule_sums_features_of_neighbours():
    rays = _rays(6)
    sampling = Sampling(9, 0)
    t = depths.inclusive_depths(rays.near, rays.far, sampling)
    points = rays.origins[..., None, :] + t[..., None] * rays.directions[..., None, :]
    raw, features = torch.sin(9 * points).sum(-1), torch.cos(7 * points)

    def field(flat):
        return torch.sin(9 * flat).sum(-1), torch.cos(7 * flat)

    found, depth, alpha, spread = volume.march_midpoint(
        field, rays, sampling, rules=VolumeConfig(sharpness=5.0)
    )
    weights = volume.midpoint_weights(raw, t, 5.0)
    middle = (features[..., 1:, :] + features[..., :-1, :]) / 2
    wanted = 2 * (weights[..., None] * middle).sum(-2) - 1
    torch.testing.assert_close(found, wanted, atol=1e-12, rtol=0)
    torch.testing.assert_close(alpha, weights.sum(-1), atol=1e-12, rtol=0)
    wanted = (weights * (t[..., 1:] + t[..., :-1]) / 2).sum(-1) / alpha
    torch.testing.assert_close(depth, wanted, atol=1e-12, rtol=0)
    off = (t[..., 1:] + t[..., :-1]) / 2 - depth[..., None]
    wanted = ((weights * off.square()).sum(-1) + 1e-6).sqrt()
    torch.testing.assert_close(spread, wanted, atol=1e-12, rtol=0)


@pytest.mark.parametrize("march", [volume.march_cells, volume.march_midpoint])
def test_a_white_background_shines_where_nothing_is(march):
    rays = _rays(6)
    black, white = (
        march(
            lambda p: (torch.sin(9 * p).sum(-1), p),
            rays,
            Sampling(9, 9),
            rules=VolumeConfig(sharpness=5.0, background=background),
        )
        for background in ("black", "white")
    )
    wanted = black[0] + 2 * (1 - black[2])[..., None]
    torch.testing.assert_close(white[0], wanted, atol=1e-12, rtol=0)


def test_published_depths_include_both_ends_and_jitter_one_step():
    near, far = torch.full((1, 4), 2.25), torch.full((1, 4), 3.3)
    t = depths.inclusive_depths(near, far, Sampling(48, 0))
    torch.testing.assert_close(t[0, 0], torch.linspace(2.25, 3.3, 48))
    chance = torch.Generator().manual_seed(0)
    jittered = depths.inclusive_depths(near, far, Sampling(48, 0, generator=chance))
    step = 1.05 / 47
    assert (jittered >= t).all()
    assert (jittered <= t + step + 1e-6).all()
    assert jittered.max() <= 3.3224


@given(st.integers(1, 30), st.integers(0, 5))
def test_stratified_depths_lie_one_in_each_bin(samples, seed):
    near, far = torch.full((1, 3), 1.0), torch.full((1, 3), 2.0)
    chance = torch.Generator().manual_seed(seed)
    for generator in (None, chance):
        t = depths.stratified_depths(
            near, far, Sampling(samples, 0, generator=generator)
        )
        bins = ((t - 1) * samples).floor()
        wanted = torch.arange(samples).expand_as(bins)
        # A draw next to a bin's end may round into the next.
        assert (bins - wanted).abs().max() <= (generator is not None)
        assert (t.diff(dim=-1) > 0).all()


@given(st.integers(0, 20))
def test_box_bounds_lie_on_the_box(seed):
    rays = _rays(50, seed=seed)
    for t in (rays.near, rays.far):
        points = rays.origins + t[..., None] * rays.directions
        torch.testing.assert_close(
            points.abs().amax(-1), torch.full_like(t, 0.5), atol=1e-9, rtol=0
        )
    assert (rays.far > rays.near).all()


def test_rays_past_the_box_have_an_empty_interval():
    origins = torch.tensor([[[0.0, 0.0, 2.0], [0.0, 0.8, 2.0], [0.0, 0.0, 2.0]]])
    directions = torch.tensor([[[0.0, 0, -1], [0.0, 0, -1], [0.0, 0, 1]]])
    near, far = volume.box_interval(origins, directions, box=1.0)
    torch.testing.assert_close(near, torch.tensor([[1.5, 2.0, 0.0]]))
    torch.testing.assert_close(far, torch.tensor([[2.5, 2.0, 0.0]]))
    rays = Rays(origins, directions, near, far)
    _, depth, alpha, _ = volume.march_cells(
        lambda p: (p[..., 0] * 0 + 5, p), rays, Sampling(6, 6), rules=VolumeConfig()
    )
    assert torch.isfinite(depth).all()
    torch.testing.assert_close(alpha, torch.tensor([[1.0, 0.0, 0.0]]))


def test_a_camera_inside_the_box_starts_at_itself():
    origins, directions = torch.zeros(1, 1, 3), torch.tensor([[[1.0, 0.0, 0.0]]])
    near, far = volume.box_interval(origins, directions, box=1.0)
    assert (near.item(), far.item()) == (0.0, 0.5)


@given(st.integers(0, 30))
def test_importance_depths_invert_the_cumulated_weight(seed):
    chance = torch.Generator().manual_seed(seed)
    weights = torch.rand(1, 1, 10, generator=chance, dtype=torch.float64) ** 8
    edges = torch.rand(1, 1, 11, generator=chance, dtype=torch.float64).cumsum(-1)
    found = depths.importance_depths(edges, weights, Sampling(10, 25))[0, 0]
    padded = [0.0, *weights[0, 0].tolist(), 0.0]
    wide = []
    for i in range(1, 11):
        left, right = max(padded[i - 1 : i + 1]), max(padded[i : i + 2])
        wide.append((left + right) / 2 + 0.01)
    total, places = [0.0], edges[0, 0].tolist()
    for value in wide:
        total.append(total[-1] + value / sum(wide))
    for k, depth in enumerate(found.tolist()):
        wanted = (k + 0.5) / 25
        cell = max(i for i in range(10) if places[i] <= depth + 1e-12)
        part = (depth - places[cell]) / (places[cell + 1] - places[cell])
        reached = total[cell] + part * (total[cell + 1] - total[cell])
        assert abs(reached - wanted) < 1e-6


def test_published_importance_depths_end_half_a_sample_early():
    t = torch.linspace(0, 1, 11)[None, None]
    weights = torch.zeros(1, 1, 10)
    weights[..., 5] = 1.0
    found = depths.midpoint_importance_depths(t, weights, Sampling(11, 200))
    # The first 9 of the 10 midpoints are bins: 0.05 to 0.85.
    assert found.min() >= 0.05 - 1e-6
    assert found.max() <= 0.85 + 1e-6
    # The weight belongs to 0.5..0.6 and is put half a step nearer.
    assert abs(found.median() - 0.5) < 0.01


def test_weights_have_true_gradients():
    chance = torch.Generator().manual_seed(0)
    density = torch.rand(1, 2, 5, generator=chance, dtype=torch.float64) * 4
    t = torch.rand(1, 2, 5, generator=chance, dtype=torch.float64).cumsum(-1)
    near, far = t[..., 0] - 0.1, t[..., -1] + 0.1
    density.requires_grad_()
    t.requires_grad_()
    assert torch.autograd.gradcheck(
        lambda d, t: volume.cell_weights(d, volume.cell_edges(t, near, far)),
        (density, t),
    )
    assert torch.autograd.gradcheck(
        lambda d, t: volume.midpoint_weights(d, t, 3.0), (density, t)
    )


def test_marching_has_true_gradients():
    rays = _rays(3)
    slope = torch.tensor([3.0, -2.0, 1.0], dtype=torch.float64, requires_grad=True)

    def outputs(slope):
        def field(points):
            return points @ slope, torch.sin(points * slope)

        return volume.march_cells(
            field, rays, Sampling(6, 0), rules=VolumeConfig(sharpness=3.0)
        )

    assert torch.autograd.gradcheck(outputs, (slope,))


def test_gradients_stay_finite_at_extremes():
    for raw in (-100.0, 100.0):
        value = torch.full((1, 4), raw, requires_grad=True)
        density = volume.positive_density(value[..., None].expand(1, 4, 6), 30.0)
        edges = torch.linspace(0, 1, 7).expand(1, 4, 7)
        volume.cell_weights(density, edges).sum().backward()
        assert torch.isfinite(value.grad).all()


def test_random_sampling_repeats_by_seed_and_leaves_the_global_state():
    rays = _rays(10)
    before = torch.random.get_rng_state()

    def draw(seed):
        chance = torch.Generator().manual_seed(seed)
        sampling = Sampling(8, 8, generator=chance)
        return volume.march_cells(
            _ball, rays, sampling, rules=VolumeConfig(sharpness=3.0)
        )[0]

    assert torch.equal(draw(1), draw(1))
    assert not torch.equal(draw(1), draw(2))
    assert torch.equal(before, torch.random.get_rng_state())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"axes": "xyz"}, "axes"),
        ({"march": "x"}, "march"),
        ({"samples": (2, 0)}, r"samples is \(2, 0\)"),
        ({"samples": (12, 0), "proposal_size": 8}, "give fine samples"),
    ],
)
def test_a_wrong_configuration_names_its_field(change, message):
    with pytest.raises((ValueError, TypeError), match=message):
        VolumeConfig(**change)


@pytest.mark.parametrize("thickness", [0.1, 1.0, 8.0, 60.0])
def test_rays_stop_where_the_integral_says(thickness):
    """A single cell of even density, between two alike."""
    density = torch.full((1, 1, 3), thickness)
    t = torch.tensor([[[0.5, 1.5, 2.5]]])
    place = volume.stopping_place(density, torch.ones(1, 1, 3), t)
    u = (torch.arange(100_000, dtype=torch.float64) + 0.5) / 100_000
    through = torch.exp(-thickness * u)
    wanted = float((through * u).sum() / through.sum())
    assert place[0, 0, 1].item() == pytest.approx(wanted, abs=1e-4)


def test_where_rays_stop_has_a_slope_everywhere():
    values = torch.tensor([0.0, 1e-9, 0.03, 3.0, 0.0, 200.0, 1e6, 1e6])
    density = values[None, None].requires_grad_()
    t = torch.linspace(0, 1, 8)[None, None]
    place = volume.stopping_place(density, torch.full((1, 1, 8), 0.1), t)
    assert ((place >= 0) & (place <= 1)).all()
    (slope,) = torch.autograd.grad(place.sum(), density)
    assert torch.isfinite(slope).all()


@pytest.mark.parametrize("softness", [0.001, 0.02, 0.05, 0.1])
def test_walls_lie_where_they_are_on_average_however_few_the_samples(softness):
    """Sixteen cells over a unit, 400 walls whose density rises over the softness."""
    walls = torch.linspace(0.3, 0.6, 400)
    rays = Rays(
        torch.zeros(1, 400, 3),
        torch.tensor([0.0, 0.0, 1.0]).expand(1, 400, 3),
        torch.zeros(1, 400),
        torch.ones(1, 400),
    )

    def field(points):
        behind = points[..., 2].unflatten(1, (400, -1)) - walls[:, None]
        raw = (10 * (behind / softness).clamp(0, 1) - 9).flatten(1)
        return raw, raw.new_ones(*raw.shape, 3)

    rules = VolumeConfig(sharpness=30.0)
    few, many = (
        volume.march_cells(field, rays, Sampling(count, 0), rules=rules)[1]
        for count in (16, 1600)
    )
    assert (few - many).abs().max() < 0.6 / 16
    assert (few - many).mean().abs() < 0.1 / 16
