from dataclasses import fields, replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from talk3d.animator.rollout import RollOutConv
from talk3d.animator.unet import AudioUNet, UNetConfig
from talk3d.eg3d.volume import PLANE_AXES

CONFIG = UNetConfig.tiny()
TOKEN_WIDTH = 16


def make_unet(seed: int = 0, *, config: UNetConfig = CONFIG, head: float) -> AudioUNet:
    """A U-Net whose last layer has weights of deviation ``head``."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        unet = AudioUNet(config, token_width=TOKEN_WIDTH)
        torch.nn.init.normal_(unet.head.weight, std=head)
    return unet


def make_identity(seed: int = 1) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    size = CONFIG.plane_size
    return torch.randn(3, CONFIG.plane_channels, size, size, generator=generator)


def make_tokens(batch: int = 2, seed: int = 2) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(batch, 5, TOKEN_WIDTH, generator=generator)


def axis_maps(plane_axes: str, size: int) -> torch.Tensor:
    """Planes of three channels: the coordinates x, y, z of each cell, 0 if absent."""
    ramp = torch.arange(size) - (size - 1) / 2
    planes = torch.zeros(3, 3, size, size)
    for plane, (columns, rows) in enumerate(PLANE_AXES[plane_axes]):
        planes[plane, columns] = ramp.expand(size, size)
        planes[plane, rows] = ramp[:, None].expand(size, size)
    return planes


def only_contexts(plane_axes: str) -> RollOutConv:
    """A roll-out convolution that passes the contexts on and drops the plane itself."""
    layer = RollOutConv(3, 3, plane_axes=plane_axes)
    with torch.no_grad():
        layer.own.weight.zero_()
        assert layer.own.bias is not None
        layer.own.bias.zero_()
        layer.context.weight.zero_()
        layer.context.weight[:, :, 1] = torch.eye(3).repeat(6, 1)
    return layer


@pytest.mark.parametrize("plane_axes", ["xy_xz_zy", "xy_yz_zx"])
def test_each_context_lies_along_the_axis_it_is_of(plane_axes: str) -> None:
    size = 8
    planes = axis_maps(plane_axes, size)
    rolled = only_contexts(plane_axes)(planes.flatten(0, 1)[None])
    rolled = rolled.unflatten(1, (3, 3))[0]
    # Each plane gets both of its own axes from the two others, each at its place; the
    # axis that it lacks averages to zero in both.
    torch.testing.assert_close(rolled, planes)


@pytest.mark.parametrize("plane_axes", ["xy_xz_zy", "xy_yz_zx"])
@pytest.mark.parametrize("source", [0, 1, 2])
def test_each_of_the_six_contexts_alone(plane_axes: str, source: int) -> None:
    size = 8
    planes = torch.zeros(3, 3, size, size)
    planes[source] = axis_maps(plane_axes, size)[source]
    rolled = only_contexts(plane_axes)(planes.flatten(0, 1)[None])
    rolled = rolled.unflatten(1, (3, 3))[0]
    full = axis_maps(plane_axes, size)
    for target in {0, 1, 2} - {source}:
        (shared,) = set(PLANE_AXES[plane_axes][source]) & set(
            PLANE_AXES[plane_axes][target]
        )
        expected = torch.zeros(3, size, size)
        expected[shared] = full[target, shared]
        torch.testing.assert_close(rolled[target], expected)
    torch.testing.assert_close(rolled[source], torch.zeros(3, size, size))


def test_official_axes_give_the_doubled_plane_its_columns() -> None:
    size = 8
    planes = torch.zeros(3, 3, size, size)
    planes[1] = axis_maps("official", size)[1]
    rolled = only_contexts("official")(planes.flatten(0, 1)[None])
    rolled = rolled.unflatten(1, (3, 3))[0]
    expected = axis_maps("official", size)[2]
    expected[0] = 0
    torch.testing.assert_close(rolled[2], expected)


@given(st.integers(0, 2**31), st.booleans())
def test_roll_out_equals_a_dense_convolution_inside(seed: int, halve: bool) -> None:
    """The 1-D form against concatenated, spread-out maps and full 2-D kernels."""
    generator = torch.Generator().manual_seed(seed)
    layer = RollOutConv(2, 3, plane_axes="xy_xz_zy", halve=halve).double()
    x = torch.randn(1, 6, 8, 8, dtype=torch.float64, generator=generator)
    planes = x.unflatten(1, (3, 2))
    contexts = {  # (target, source): mean over the axis the target lacks, spread
        (0, 1): planes[:, 1].mean(2, keepdim=True).expand(-1, -1, 8, -1),
        (0, 2): planes[:, 2].mean(3, keepdim=True).expand(-1, -1, -1, 8),
        (1, 0): planes[:, 0].mean(2, keepdim=True).expand(-1, -1, 8, -1),
        (1, 2): planes[:, 2].mean(2)[..., None].expand(-1, -1, -1, 8),
        (2, 0): planes[:, 0].mean(3, keepdim=True).expand(-1, -1, -1, 8),
        (2, 1): planes[:, 1].mean(3)[:, :, None].expand(-1, -1, 8, -1),
    }
    along_rows = {(0, 2), (1, 2), (2, 0)}
    size, stride = (4, 2) if halve else (3, 1)
    own = layer.own.weight.unflatten(0, (3, 3))
    context = layer.context.weight.unflatten(0, (6, 3))
    got = layer(x).unflatten(1, (3, 3))
    pairs = [(t, s) for t in range(3) for s in range(3) if s != t]
    assert layer.own.bias is not None
    for target in range(3):
        maps, kernels = [planes[:, target]], [own[target]]
        for index, (t, s) in enumerate(pairs):
            if t != target:
                continue
            maps.append(contexts[t, s])
            # Any split of the 1-D kernel over the spread axis does; take an even one.
            flat = context[index] / size
            kernels.append(
                flat[..., None].expand(-1, -1, -1, size)
                if (t, s) in along_rows
                else flat[..., None, :].expand(-1, -1, size, -1)
            )
        expected = torch.nn.functional.conv2d(
            torch.cat(maps, 1),
            torch.cat(kernels, 1),
            layer.own.bias.unflatten(0, (3, 3))[target],
            stride=stride,
            padding=1,
        )
        inner = slice(1, -1)
        torch.testing.assert_close(
            got[:, target, :, inner, inner], expected[..., inner, inner]
        )


def test_the_untrained_offset_is_exactly_zero() -> None:
    unet = make_unet(head=0.0)
    delta = unet.decode(unet.encode(make_identity()), make_tokens())
    assert delta.shape == (2, 3, 8, 32, 32)
    assert torch.count_nonzero(delta) == 0


def test_the_offset_grows_slowly_from_zero() -> None:
    # One step of Adam at 5e-4 on a target of deviation 0.1 must not overshoot it.
    unet, identity, tokens = make_unet(head=0.0), make_identity(), make_tokens()
    target = 0.1 * torch.randn(
        2, 3, 8, 32, 32, generator=torch.Generator().manual_seed(3)
    )
    optimiser = torch.optim.Adam(unet.parameters(), lr=5e-4)
    delta = unet.decode(unet.encode(identity), tokens)
    (delta - target).square().mean().backward()
    optimiser.step()
    after = unet.decode(unet.encode(identity), tokens)
    assert 0 < after.std().item() < 0.1


def test_both_signs_are_reached_and_bounded() -> None:
    identity, tokens = make_identity(), make_tokens()
    unet = make_unet(head=0.1)
    delta = unet.decode(unet.encode(identity), tokens)
    assert delta.min() < -0.1
    assert delta.max() > 0.1
    assert abs((delta > 0).float().mean().item() - 0.5) < 0.2
    with torch.no_grad():
        unet.head.weight.mul_(1e4)
    limit = CONFIG.bound * identity.flatten(1).std(dim=1, correction=0)
    extreme = unet.decode(unet.encode(identity), tokens).abs().amax(dim=(0, 2, 3, 4))
    torch.testing.assert_close(extreme, limit)


def test_the_offset_scales_with_the_planes() -> None:
    unet, tokens = make_unet(head=0.05), make_tokens()
    one = unet.decode(unet.encode(make_identity()), tokens)
    ten = unet.decode(unet.encode(10 * make_identity()), tokens)
    torch.testing.assert_close(ten, 10 * one, rtol=1e-3, atol=1e-3)


def test_a_kept_encoding_equals_a_fresh_one() -> None:
    unet, identity = make_unet(head=0.05), make_identity()
    kept = unet.encode(identity)
    for seed in (4, 5):
        tokens = make_tokens(seed=seed)
        fresh = unet.decode(unet.encode(identity), tokens)
        assert torch.equal(unet.decode(kept, tokens), fresh)


def test_frames_do_not_depend_on_their_batch() -> None:
    unet, tokens = make_unet(head=0.05), make_tokens(batch=3)
    encoded = unet.encode(make_identity())
    together = unet.decode(encoded, tokens)
    alone = torch.cat([unet.decode(encoded, row[None]) for row in tokens])
    # Float32 sums in another order.
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)


def test_the_offset_follows_the_tokens_and_the_identity() -> None:
    unet, tokens = make_unet(head=0.05), make_tokens()
    encoded = unet.encode(make_identity())
    delta = unet.decode(encoded, tokens)
    assert (delta[0] - delta[1]).std() > 0.01 * delta.std()
    other = unet.decode(unet.encode(make_identity(seed=9)), tokens)
    assert (delta - other).std() > 0.01 * delta.std()
    for token in range(5):
        changed = tokens.clone()
        changed[:, token] *= -1
        assert not torch.equal(unet.decode(encoded, changed), delta)


def test_gradients_reach_every_parameter() -> None:
    unet = make_unet(head=0.05)
    tokens = make_tokens().requires_grad_()
    delta = unet.decode(unet.encode(make_identity()), tokens)
    delta.square().mean().backward()
    for name, parameter in unet.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().max() > 0, name
    assert tokens.grad is not None
    assert (tokens.grad.abs().amax(dim=(0, 2)) > 0).all()


def test_attention_sums_to_one_and_is_kept_nowhere() -> None:
    unet = make_unet(head=0.05)
    encoded, tokens = unet.encode(make_identity()), make_tokens()
    before = set(vars(unet))
    maps = unet.attention(encoded, tokens)
    bottom = CONFIG.plane_size // 2 ** len(CONFIG.widths)
    assert maps.shape == (2, CONFIG.blocks, 3, CONFIG.heads, bottom, bottom, 5)
    torch.testing.assert_close(maps.sum(-1), torch.ones(maps.shape[:-1]))
    assert set(vars(unet)) == before


def test_the_position_code_agrees_between_planes() -> None:
    # Where two planes meet, on the axis they share, the third coordinate is 0 in one
    # and the middle in the other: the shared axis has the same code in both.
    unet = make_unet(head=0.0)
    bottom = CONFIG.plane_size // 2 ** len(CONFIG.widths)
    width = CONFIG.widths[-1] // 3
    code = unet.position[:, 0].unflatten(1, (bottom, bottom))
    x = slice(0, width)
    torch.testing.assert_close(code[0][0, :, x], code[1][0, :, x])
    z = slice(2 * width, 3 * width)
    torch.testing.assert_close(code[1][:, 0, z], code[2][0, :, z])
    y = slice(width, 2 * width)
    torch.testing.assert_close(code[0][:, 0, y], code[2][:, 0, y])


def test_the_position_code_is_no_parameter() -> None:
    unet = make_unet(head=0.0)
    assert not any("position" in name for name in unet.state_dict())


def test_autocast_stays_close_to_float32() -> None:
    unet, identity, tokens = make_unet(head=0.02), make_identity(), make_tokens()
    exact = unet.decode(unet.encode(identity), tokens)
    with torch.autocast("cpu", torch.bfloat16):
        rough = unet.decode(unet.encode(identity), tokens)
    # bfloat16 has 8 bits: half a percent per operation, some ten in a row.
    assert (rough.float() - exact).std() < 0.05 * exact.std()


@pytest.mark.parametrize(
    "change",
    [
        {"widths": ()},
        {"widths": (8, 10)},
        {"heads": 5},
        {"plane_size": 30},
        {"bound": 0.0},
    ],
)
def test_bad_sizes_are_named(change: dict) -> None:
    (name,) = change
    assert name in {field.name for field in fields(UNetConfig)}
    with pytest.raises(ValueError, match=name):
        replace(CONFIG, **change)
