"""The generator: sizes, laws of its seams, files."""

import json
import math
from dataclasses import asdict, replace

import pytest
import torch

from talk3d import checkpoint, precision
from talk3d.camera import camera_rays, orbit_label
from talk3d.eg3d import volume
from talk3d.eg3d.config import GeneratorConfig
from talk3d.eg3d.depths import Sampling
from talk3d.eg3d.files import load_generator, save_generator
from talk3d.eg3d.generator import Generator, Rendering
from talk3d.eg3d.presets import ffhq512, small
from talk3d.eg3d.superres import SuperResolutionConfig


@pytest.fixture(scope="module")
def generator():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return Generator(GeneratorConfig.tiny()).requires_grad_(requires_grad=False)


def _turned_neck():
    """A head turned by 5 degrees against its torso, twice."""
    neck = torch.eye(4).repeat(2, 1, 1)
    sine, cosine = math.sin(math.radians(5)), math.cos(math.radians(5))
    neck[:, 0, 0] = neck[:, 2, 2] = cosine
    neck[:, 0, 2], neck[:, 2, 0] = sine, -sine
    return neck


def _inputs(batch=2, seed=0):
    chance = torch.Generator().manual_seed(seed)
    z = torch.randn(batch, 16, generator=chance)
    condition = torch.randn(batch, 82, generator=chance)
    label = torch.stack([orbit_label(0.3 * i, 0.1) for i in range(batch)])
    return z, condition, label


def _pictures(generator, batch=2):
    z, condition, label = _inputs(batch)
    w = generator.map(z, condition)
    planes = generator.planes(w)
    rendering = generator.render(planes, label, generator.sampling())
    return w, planes, rendering, generator.upsample(rendering, w)


def test_every_seam_has_its_shape(generator):
    w, planes, rendering, picture = _pictures(generator)
    assert w.shape == (2, 8, 16)
    assert planes.shape == (2, 3, 8, 32, 32)
    assert rendering.features.shape == (2, 8, 16, 16)
    assert rendering.depth.shape == rendering.alpha.shape == (2, 1, 16, 16)
    assert picture.shape == (2, 4, 32, 32)
    for value in (w, planes, rendering.features, rendering.depth, picture):
        assert value.dtype == torch.float32
        assert torch.isfinite(value).all()


def test_items_do_not_depend_on_the_batch(generator):
    w, planes, rendering, picture = _pictures(generator)
    label = _inputs()[2]
    # Another batch size may sum in another order.
    torch.testing.assert_close(
        generator.planes(w[1:]), planes[1:], atol=1e-5, rtol=1e-5
    )
    alone = generator.render(planes[1:], label[1:], generator.sampling())
    torch.testing.assert_close(alone.depth, rendering.depth[1:], atol=1e-5, rtol=1e-5)
    alone = generator.upsample(alone, w[1:])
    torch.testing.assert_close(alone, picture[1:], atol=1e-4, rtol=1e-4)


def test_the_deterministic_picture_repeats(generator):
    assert torch.equal(_pictures(generator)[3], _pictures(generator)[3])


def test_random_sampling_follows_its_generator(generator):
    _, planes, _, _ = _pictures(generator)
    label = _inputs()[2]

    def draw(seed):
        sampling = generator.sampling(torch.Generator().manual_seed(seed))
        return generator.render(planes, label, sampling).features

    before = torch.random.get_rng_state()
    assert torch.equal(draw(1), draw(1))
    assert not torch.equal(draw(1), draw(2))
    assert torch.equal(before, torch.random.get_rng_state())


def test_truncation_is_linear(generator):
    z, condition, _ = _inputs()
    average = torch.randn(16, generator=torch.Generator().manual_seed(3))
    generator.set_average(average)
    full, none, half = (
        generator.map(z, condition, truncation=t) for t in (1.0, 0.0, 0.5)
    )
    torch.testing.assert_close(none, average.expand_as(none))
    torch.testing.assert_close(half, (full + none) / 2)
    generator.set_average(torch.zeros(16))
    assert torch.equal(full, generator.map(z, condition))


def test_rendering_agrees_with_querying_along_its_rays(generator):
    _, planes, _, _ = _pictures(generator)
    label = _inputs()[2]
    origins, directions = camera_rays(label, 16)
    t = torch.linspace(2.2, 3.2, 20).expand(2, 256, 20)
    found = generator.march(planes, origins, directions, t)
    points = origins[..., None, :] + t[..., None] * directions[..., None, :]
    raw, features = generator.query(planes, points.flatten(1, 2))
    assert (raw[points.flatten(1, 2).abs().amax(-1) > 0.5] < -20).all()
    density = generator.density(raw).unflatten(1, (256, 20))
    near, far = volume.box_interval(origins, directions, box=1.0)
    weights = volume.cell_weights(density, volume.cell_edges(t, near, far))
    mixed = (weights[..., None] * features.unflatten(1, (256, 20))).sum(2) * 2 - 1
    torch.testing.assert_close(
        found.features.flatten(2).transpose(1, 2), mixed, atol=1e-5, rtol=1e-5
    )


def test_density_alone_is_that_of_a_whole_query(generator):
    _, planes, _, _ = _pictures(generator)
    points = 1.2 * torch.rand(2, 500, 3, generator=torch.Generator().manual_seed(4))
    wanted = generator.query(planes, points - 0.6)[0]
    found = generator.query_density(planes, points - 0.6)
    assert wanted.min() < -20 < wanted.max()
    torch.testing.assert_close(found, wanted, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("march", ["cells", "midpoint"])
def test_images_of_one_person_may_share_its_planes(march):
    config = GeneratorConfig.tiny()
    rules = replace(config.volume, march=march)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        generator = Generator(replace(config, volume=rules)).requires_grad_(False)
    _, planes, _, _ = _pictures(generator)
    labels = torch.stack([orbit_label(yaw, 0.0) for yaw in (-0.5, 0.0, 0.4, 0.9)])
    shared = generator.render(planes, labels, generator.sampling())
    many = planes.repeat_interleave(2, dim=0)
    apart = generator.render(many, labels, generator.sampling())
    torch.testing.assert_close(shared.features, apart.features)


def test_every_weight_gets_a_gradient():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        generator = Generator(GeneratorConfig.tiny())
    _, _, rendering, picture = _pictures(generator)
    (picture.square().mean() + rendering.depth.mean()).backward()
    for name, parameter in generator.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name
        assert parameter.grad.abs().max() > 0, name


def test_bfloat16_stays_close(generator):
    z, condition, _ = _inputs()
    w, planes, rendering, picture = _pictures(generator)
    with torch.autocast("cpu", torch.bfloat16):
        half = generator.planes(generator.map(z, condition))
        half_picture = generator.upsample(rendering, w)
    assert half.dtype == half_picture.dtype == torch.float32
    # 8 bits of mantissa through a dozen layers.
    assert (half - planes).abs().mean() < 0.03 * planes.abs().mean()
    assert (half_picture - picture).abs().mean() < 0.03 * picture.abs().mean()


@pytest.mark.parametrize("proposal", [None, 8])
def test_points_decoded_in_bfloat16_look_the_same(generator, monkeypatch, proposal):
    monkeypatch.setattr(precision, "bfloat16_is_fast", lambda _: True)
    _, planes, _, _ = _pictures(generator)
    rules = volume.VolumeConfig(
        train_samples=(8, 4), samples=(8, 4), proposal_size=proposal
    )
    monkeypatch.setattr(generator, "config", replace(generator.config, volume=rules))
    given = planes, _inputs()[2], generator.sampling()
    neck = _turned_neck()
    full, half = (generator.render(*given, neck=neck, half=h) for h in (False, True))
    assert half.features.dtype == half.depth.dtype == torch.float32
    assert not torch.equal(half.features, full.features)
    # 8 bits of mantissa; where rays look is not rounded at all.
    assert (half.features - full.features).abs().max() < 0.05
    assert (half.depth - full.depth).abs().mean() < 1e-3


@pytest.mark.parametrize("batch", [1, 2])
def test_planes_cost_no_copy_to_sample(generator, batch):
    planes = _pictures(generator, batch)[1]
    table = planes.permute(0, 3, 4, 1, 2)
    assert table.is_contiguous()


@pytest.mark.parametrize("batch", [1, 2])
def test_gradients_of_planes_lie_in_memory_as_planes_do(generator, batch):
    planes = _pictures(generator, batch)[1].requires_grad_()
    gradients = []
    planes.register_hook(gradients.append)
    label = _inputs(batch)[2]
    rendering = generator.render(planes, label, generator.sampling())
    rendering.features.sum().backward()
    assert gradients[0].permute(0, 3, 4, 1, 2).is_contiguous()


def test_a_wrong_condition_is_refused(generator):
    with pytest.raises(ValueError, match=r"25 numbers, this generator takes 82"):
        generator.map(torch.zeros(1, 16), torch.zeros(1, 25))


def test_a_part_of_the_condition_can_be_switched_off():
    config = replace(GeneratorConfig.tiny(), condition_scales=(0.0, 1.0, 1.0))
    generator = Generator(config)
    z, condition, _ = _inputs()
    other = condition.clone()
    other[:, :25] += 1
    assert torch.equal(generator.map(z, condition), generator.map(z, other))
    other[:, 25:] += 1
    assert not torch.equal(generator.map(z, condition), generator.map(z, other))


def test_the_published_network_has_its_size():
    with torch.random.fork_rng():
        generator = Generator(ffhq512())
    parameters = sum(p.numel() for p in generator.parameters())
    assert parameters == 30_662_136
    own = {"z_avg", "z_spread"}
    buffers = {n: b.numel() for n, b in generator.named_buffers() if n not in own}
    assert sum(buffers.values()) == 831_024
    assert len(buffers) == 44
    assert len(generator.state_dict()) == 176 + len(own)
    assert generator.num_layers == 14


def test_the_small_network_fits_its_file():
    with torch.random.fork_rng():
        generator = Generator(small())
    parameters = sum(p.numel() for p in generator.parameters())
    assert 6e6 < parameters < 8e6
    assert generator.config.superres.image_size == 256
    assert generator.num_layers == 12


@pytest.mark.parametrize("config", [GeneratorConfig.tiny(), small(), ffhq512()])
def test_a_configuration_survives_json(config):
    again = GeneratorConfig.from_json(json.loads(json.dumps(asdict(config))))
    assert again == config


def test_an_unknown_field_is_named():
    data = asdict(GeneratorConfig.tiny())
    data["volume"]["colour"] = 3
    with pytest.raises(
        ValueError, match="VolumeConfig does not know the fields colour"
    ):
        GeneratorConfig.from_json(data)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"plane_size": 48}, "plane_size is 48"),
        ({"plane_channels": 2}, "plane_channels is 2"),
        ({"z_dim": 100_000}, "z_dim is 100000: give a whole number from 1 to 4096"),
        ({"condition_scales": (1.0,)}, "condition_scales has 1"),
    ],
)
def test_a_contradiction_names_its_field(change, message):
    with pytest.raises(ValueError, match=message):
        replace(GeneratorConfig.tiny(), **change)


def test_super_resolution_refuses_other_doublings():
    with pytest.raises(ValueError, match="doublings is 3"):
        SuperResolutionConfig(doublings=3)


def test_a_file_gives_the_generator_back(generator, tmp_path):
    path = tmp_path / "prior.safetensors"
    save_generator(path, generator, step=9, parents={"corpus": "00"})
    again = load_generator(path)
    assert again.config == generator.config
    assert not again.training
    for name, value in generator.state_dict().items():
        stored = value.half().float()
        assert torch.equal(again.state_dict()[name], stored), name
    assert not any(p.requires_grad for p in again.parameters())
    assert checkpoint.read_header(path)["step"] == 9


def test_loading_leaves_the_global_state(generator, tmp_path):
    path = tmp_path / "prior.safetensors"
    save_generator(path, generator)
    before = torch.random.get_rng_state()
    load_generator(path)
    assert torch.equal(before, torch.random.get_rng_state())


def test_weights_of_another_shape_are_refused(generator, tmp_path):
    path = tmp_path / "prior.safetensors"
    config = replace(generator.config, decoder_width=8)
    checkpoint.save_model(
        path, generator.state_dict(), kind="prior", config=asdict(config)
    )
    with pytest.raises(ValueError, match="do not fit its configuration"):
        load_generator(path)


def test_upsampling_continues_the_raw_picture(generator):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        silent = Generator(GeneratorConfig.tiny())
    for block in (silent.superresolution.block0, silent.superresolution.block1):
        block.torgb.weight.data.zero_()
    features = torch.full((1, 8, 16, 16), 0.3)
    alpha = torch.full((1, 1, 16, 16), 0.75)
    w = torch.zeros(1, 8, 16)
    picture = silent.upsample(Rendering(features, alpha, alpha, alpha), w)
    torch.testing.assert_close(picture[:, :3], torch.full((1, 3, 32, 32), 0.3))
    torch.testing.assert_close(picture[:, 3:], torch.full((1, 1, 32, 32), 0.5))


def test_more_samples_converge(generator):
    _, planes, _, _ = _pictures(generator)
    label = _inputs()[2]

    def depth(coarse, fine):
        return generator.render(planes, label, Sampling(coarse, fine)).alpha

    exact = depth(400, 0)
    coarse = (depth(8, 0) - exact).abs().mean()
    assert (depth(64, 64) - exact).abs().mean() < 0.5 * coarse


@pytest.mark.parametrize("proposal", [None, 8])
def test_everything_is_made_on_the_device_of_the_planes(proposal):
    rules = volume.VolumeConfig(
        train_samples=(8, 4), samples=(8, 4), proposal_size=proposal
    )
    generator = Generator(replace(GeneratorConfig.tiny(), volume=rules)).to("meta")
    planes = torch.zeros(1, 3, 8, 32, 32, device="meta")
    label = orbit_label(0.0, 0.0)[None].to("meta")
    rendering = generator.eval().render(planes, label, generator.sampling())
    assert rendering.features.device.type == "meta"
