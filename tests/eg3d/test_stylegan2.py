"""StyleGAN2 blocks against the grouped form and sums written out."""

import math

import pytest
import torch
from torch.nn import functional

from talk3d.eg3d import stylegan2
from talk3d.eg3d.stylegan2 import BlockConfig, Linear, Mapping, StyledConv

TAPS = torch.tensor([1.0, 3.0, 3.0, 1.0]) / 8


def _config(**changes):
    return BlockConfig(**({"w_dim": 6, "rgb_channels": 3} | changes))


def _seeded(build):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return build()


def _zero_stuffed(x, *, before, after):
    """Put zeros between pixels and around, then smooth with the 4x4 FIR, gain 4."""
    batch, channels, height, width = x.shape
    wide = torch.zeros(batch, channels, 2 * height, 2 * width)
    wide[:, :, ::2, ::2] = x
    wide = functional.pad(wide, (before, after, before, after))
    kernel = (4 * torch.outer(TAPS, TAPS)).expand(channels, 1, 4, 4)
    return functional.conv2d(wide, kernel, groups=channels)


@pytest.mark.parametrize("batch", [1, 2])
def test_doubling_keeps_features_side_by_side(batch):
    pixels = torch.randn(batch, 20, 5, generator=torch.Generator().manual_seed(0))
    x = pixels.unflatten(1, (5, 4)).permute(0, 3, 1, 2)
    x = x + x  # of a batch of one, the sum's first stride is odd
    again = stylegan2.channels_last(x)
    torch.testing.assert_close(again, x, atol=0, rtol=0)
    wide = functional.interpolate(again, scale_factor=2, mode="bilinear")
    assert wide.stride() == (5 * 80, 1, 5 * 8, 5)


def test_fir_upsampling_equals_zero_insertion():
    x = torch.randn(2, 3, 5, 7, generator=torch.Generator().manual_seed(0))
    wanted = _zero_stuffed(x, before=2, after=1)
    torch.testing.assert_close(stylegan2.fir_upsample(x), wanted)


def _fused(layer, x, w):
    """Modulate the weights and convolve each item by itself."""
    style = w @ layer.affine.weight.T / math.sqrt(w.shape[1]) + layer.affine.bias
    results = []
    for item, factor in zip(x, style, strict=True):
        weight = layer.weight * factor[None, :, None, None]
        energy = weight.square().sum(dim=(1, 2, 3), keepdim=True)
        weight = weight * torch.rsqrt(energy + 1e-8)
        if layer.up == "official":
            y = functional.conv_transpose2d(
                item[None], weight.transpose(0, 1), stride=2
            )
            y = functional.pad(y, (1, 1, 1, 1))
            kernel = (4 * torch.outer(TAPS, TAPS)).expand(y.shape[1], 1, 4, 4)
            y = functional.conv2d(y, kernel, groups=y.shape[1])
        else:
            y = functional.conv2d(item[None], weight, padding=1)
        results.append(y)
    y = torch.cat(results)
    if layer.up == "bilinear":
        y = functional.interpolate(y, scale_factor=2, mode="bilinear")
    if layer.adds_noise:
        y = y + layer.noise_const * layer.noise_strength
    y = functional.leaky_relu(y + layer.bias[None, :, None, None], 0.2) * math.sqrt(2)
    return y if layer.clamp is None else y.clamp(-layer.clamp, layer.clamp)


@pytest.mark.parametrize("upsampling", ["official", "bilinear"])
@pytest.mark.parametrize("up", [False, True])
@pytest.mark.parametrize("clamp", [None, 0.5])
@pytest.mark.parametrize("noise", ["absent", "added", "unused"])
def test_a_styled_convolution_equals_the_fused_form(upsampling, up, clamp, noise):
    config = _config(upsampling=upsampling, clamp=clamp, noise=noise)
    layer = _seeded(lambda: StyledConv((4, 5), config, size=16 if up else 8, up=up))
    chance = torch.Generator().manual_seed(0)
    layer.bias.data.normal_(generator=chance)
    if layer.noise_strength is not None:
        layer.noise_strength.data.fill_(0.7)
    x = torch.randn(2, 4, 8, 8, generator=chance)
    w = torch.randn(2, 6, generator=chance)
    found = layer(x.to(memory_format=torch.channels_last), w)
    torch.testing.assert_close(found, _fused(layer, x, w), atol=2e-5, rtol=1e-4)


def test_to_rgb_equals_the_fused_form():
    layer = _seeded(lambda: stylegan2.ToRGB(4, _config()))
    chance = torch.Generator().manual_seed(0)
    layer.bias.data.normal_(generator=chance)
    x = torch.randn(2, 4, 8, 6, generator=chance)
    w = torch.randn(2, 6, generator=chance)
    style = (w @ layer.affine.weight.T / math.sqrt(6) + layer.affine.bias) / 2
    scaled = x * style[:, :, None, None]
    wanted = functional.conv2d(scaled, layer.weight, layer.bias)
    torch.testing.assert_close(layer(x, w), wanted, atol=1e-5, rtol=1e-5)


def test_a_styled_convolution_has_true_gradients():
    layer = _seeded(lambda: StyledConv((2, 3), _config(), size=6, up=True)).double()
    x = torch.randn(1, 2, 3, 3, dtype=torch.float64, requires_grad=True)
    w = torch.randn(1, 6, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(layer, (x, w))


def test_noise_is_constant_unless_a_generator_is_given():
    layer = _seeded(
        lambda: StyledConv((2, 2), _config(noise="added"), size=8, up=False)
    )
    layer.noise_strength.data.fill_(1.0)
    x, w = torch.ones(2, 2, 8, 8), torch.ones(2, 6)
    assert torch.equal(layer(x, w), layer(x, w))
    assert torch.equal(layer(x, w)[0], layer(x, w)[1])
    draws = [layer(x, w, generator=torch.Generator().manual_seed(s)) for s in (0, 0, 1)]
    assert torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[0], draws[2])
    assert not torch.equal(draws[0][0], draws[0][1])


def test_linear_applies_its_gains():
    layer = _seeded(lambda: Linear(9, 4, rate=0.01, bias=1.0))
    x = torch.randn(2, 9)
    wanted = x @ (layer.weight * 0.01 / 3).T + 1.0
    torch.testing.assert_close(layer(x), wanted)
    assert 50 < layer.weight.std() < 200


def test_mapping_written_out():
    mapping = _seeded(lambda: Mapping((5, 3, 6), depth=2, rate=0.01))
    z, condition = torch.randn(2, 5), torch.randn(2, 3)

    def unit(x):
        return x / x.square().mean(1, keepdim=True).sqrt()

    embedded = condition @ mapping.embed.weight.T / math.sqrt(3)
    x = torch.cat([unit(z), unit(embedded)], dim=1)
    for layer, inputs in ((mapping.fc0, 11), (mapping.fc1, 6)):
        x = x @ layer.weight.T * 0.01 / math.sqrt(inputs) + layer.bias * 0.01
        x = torch.where(x > 0, x, 0.2 * x) * math.sqrt(2)
    torch.testing.assert_close(mapping(z, condition), x, atol=1e-5, rtol=1e-4)


def test_a_floor_makes_vanishing_codes_harmless():
    mapping = _seeded(lambda: Mapping((5, 3, 6), depth=2, rate=1.0, floor=0.25))
    z, condition = torch.randn(1, 5), torch.zeros(1, 3)
    still = mapping(torch.zeros(1, 5), condition)
    for scale in (1e-2, 1e-4):
        moved = (mapping(z * scale, condition) - still).norm()
        assert moved < 20 * scale


def test_bfloat16_blocks_stay_close():
    config = _config()
    block = _seeded(
        lambda: stylegan2.SynthesisBlock((16, 16), config, size=16, up=True)
    )
    chance = torch.Generator().manual_seed(0)
    x = torch.randn(2, 16, 8, 8, generator=chance)
    picture = torch.randn(2, 3, 8, 8, generator=chance)
    w = torch.randn(2, 3, 6, generator=chance)
    exact, exact_picture = block(x, picture, w)
    last = x.to(torch.bfloat16, memory_format=torch.channels_last)
    half, half_picture = block(last, picture.bfloat16(), w)
    assert half.dtype == half_picture.dtype == torch.bfloat16
    # bfloat16 keeps 8 bits: 0.4 % per rounding, a handful of roundings.
    for a, b in ((half, exact), (half_picture, exact_picture)):
        assert (a.float() - b).abs().mean() < 0.02 * b.abs().mean()
    assert half.is_contiguous(memory_format=torch.channels_last)


def test_the_body_follows_autocast():
    x = torch.zeros(1)
    assert stylegan2.body_dtype(x) == torch.float32
    with torch.autocast("cpu", torch.bfloat16):
        assert stylegan2.body_dtype(x) == torch.bfloat16
