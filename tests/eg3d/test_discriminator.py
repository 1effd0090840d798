"""The dual discriminator: published sizes, its parts written out, gradients."""

import math
from dataclasses import replace

import pytest
import torch
from torch.nn import functional

from talk3d.eg3d import discriminator as module
from talk3d.eg3d.discriminator import Discriminator, DiscriminatorConfig
from talk3d.eg3d.official import read_official


def _seeded(config):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return Discriminator(config)


@pytest.fixture(scope="module")
def critic():
    return _seeded(DiscriminatorConfig.tiny())


def _inputs(batch=4, channels=4, size=32):
    chance = torch.Generator().manual_seed(0)
    picture = torch.rand(batch, channels, size, size, generator=chance) * 2 - 1
    raw = torch.rand(batch, channels, size // 2, size // 2, generator=chance) * 2 - 1
    return picture, raw, torch.randn(batch, 25, generator=chance)


def test_the_published_discriminator_has_its_size():
    with torch.random.fork_rng():
        critic = Discriminator(DiscriminatorConfig.ffhq512())
    assert sum(p.numel() for p in critic.parameters()) == 31_359_744
    assert critic.b4.conv.weight.shape == (512, 513, 3, 3)
    assert critic.b4.fc.weight.shape == (512, 8192)


def test_published_weights_load_by_name(eg3d_small):
    state = read_official(eg3d_small / "official.pkl", network="D").state
    config = replace(
        DiscriminatorConfig.ffhq512(), image_size=128, width_base=4096, width_max=64
    )
    critic = _seeded(config)
    critic.load_state_dict(state)
    logits = critic(*_inputs(channels=3, size=128))
    assert torch.isfinite(logits).all()


def test_one_logit_an_item(critic):
    assert critic(*_inputs()).shape == (4,)


def test_the_logit_is_a_product_with_the_condition(critic):
    picture, raw, condition = _inputs()
    seen = {}
    handles = [
        part.register_forward_hook(
            lambda _, __, result, name=name: seen.__setitem__(name, result)
        )
        for name, part in (("judged", critic.b4), ("wanted", critic.mapping))
    ]
    logits = critic(picture, raw, condition)
    for handle in handles:
        handle.remove()
    wanted = (seen["judged"] * seen["wanted"]).sum(1) / 4
    torch.testing.assert_close(logits, wanted)


def test_the_first_block_written_out(critic):
    block = critic.b32
    chance = torch.Generator().manual_seed(1)
    x = torch.randn(2, 8, 32, 32, generator=chance)
    taps = torch.tensor([1.0, 3.0, 3.0, 1.0]) / 8

    def fir(x, padding):
        kernel = torch.outer(taps, taps).expand(x.shape[1], 1, 4, 4)
        return functional.conv2d(x, kernel, padding=padding, groups=x.shape[1])

    def weight(layer):
        return layer.weight / math.sqrt(layer.weight[0].numel())

    def active(x, gain=1.0):
        x = torch.where(x > 0, x, 0.2 * x) * math.sqrt(2) * gain
        return x.clamp(-256 * gain, 256 * gain)

    first = active(functional.conv2d(x, weight(block.fromrgb)))
    skip = functional.conv2d(fir(first, 1)[:, :, ::2, ::2], weight(block.skip))
    y = active(functional.conv2d(first, weight(block.conv0), padding=1))
    y = functional.conv2d(fir(y, 2), weight(block.conv1), stride=2)
    wanted = skip * math.sqrt(0.5) + active(y, math.sqrt(0.5))
    torch.testing.assert_close(block(x), wanted, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(("count", "group"), [(1, 1), (2, 2), (4, 4), (6, 3), (8, 4)])
def test_the_spread_within_groups_written_out(count, group):
    x = torch.randn(count, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    found = module._spread(x)[:, 0, 0, 0]
    groups = count // group
    for item in range(count):
        mates = x[item % groups :: groups]
        assert len(mates) == group
        deviation = ((mates - mates.mean(0)).square().mean(0) + 1e-8).sqrt()
        torch.testing.assert_close(found[item], deviation.mean())


def test_the_condition_matters(critic):
    picture, raw, condition = _inputs()
    assert not torch.allclose(
        critic(picture, raw, condition), critic(picture, raw, -condition)
    )


def test_both_pictures_get_a_penalised_gradient(critic):
    picture, raw, condition = _inputs()
    picture.requires_grad_()
    raw.requires_grad_()
    logits = critic(picture, raw, condition)
    found = torch.autograd.grad(logits.sum(), (picture, raw), create_graph=True)
    sum(g.square().sum() for g in found).backward()
    for name, parameter in critic.named_parameters():
        if name.endswith("out.bias"):
            continue
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name
    assert critic.b32.conv0.weight.grad.abs().max() > 0
    critic.zero_grad()


def test_the_input_gradient_is_true():
    config = replace(DiscriminatorConfig.tiny(), image_size=8, clamp=None)
    critic = _seeded(config).requires_grad_(requires_grad=False)
    picture, raw, condition = _inputs(batch=2, size=8)
    picture.requires_grad_()
    (gradient,) = torch.autograd.grad(critic(picture, raw, condition).sum(), picture)
    step = torch.randn(picture.shape, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        ahead, behind = (
            critic(picture + sign * 1e-3 * step, raw, condition).sum()
            for sign in (1, -1)
        )
    # Central differences in float32: a few digits.
    torch.testing.assert_close(
        (gradient * step).sum(), (ahead - behind) / 2e-3, atol=2e-2, rtol=2e-2
    )


def test_bfloat16_stays_close(critic):
    exact = critic(*_inputs())
    with torch.autocast("cpu", torch.bfloat16):
        half = critic(*_inputs())
    assert half.dtype == torch.float32
    # 8 bits of mantissa through eight layers.
    assert (half - exact).abs().max() < 0.05 * exact.abs().max() + 0.05


def test_another_size_is_refused(critic):
    picture, raw, condition = _inputs(size=16)
    with pytest.raises(ValueError, match="has 16 pixels per side"):
        critic(picture, raw, condition)


def test_a_wrong_size_names_its_field():
    with pytest.raises(ValueError, match="image_size is 100"):
        DiscriminatorConfig(image_size=100)
