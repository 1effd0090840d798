"""Super-resolution: what its outlines show."""

import torch

from talk3d.eg3d.superres import SuperResolution, SuperResolutionConfig


def _disc(size):
    """A raw picture of an orange disc, premultiplied, and its features."""
    place = (torch.arange(size) + 0.5) / size - 0.5
    radius = torch.hypot(place[:, None], place[None])
    alpha = (radius < 0.3).float()
    colour = torch.tensor([0.9, 0.5, 0.1])[:, None, None] * alpha
    raw = 2 * torch.cat([colour, alpha[None]])[None] - 1
    noise = torch.randn(1, 8, size, size, generator=torch.Generator().manual_seed(0))
    return raw, noise


def _wild(config):
    """A network whose weights draw anything but the raw picture."""
    torch.manual_seed(0)
    network = SuperResolution(config, feature_channels=8, w_dim=6)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(torch.randn_like(parameter))
    return network


@torch.no_grad()
def test_outlines_have_the_raw_colour():
    config = SuperResolutionConfig(input_size=32, widths=(8, 8))
    raw, features = _disc(32)
    picture = (_wild(config)(features, raw, torch.ones(1, 6)) + 1) / 2
    place = (torch.arange(128) + 0.5) / 128 - 0.5
    radius = torch.hypot(place[:, None], place[None])
    outline = (radius > 0.295) & (radius < 0.305)
    matte = picture[0, 3].clamp(0, 1)
    wanted = torch.tensor([0.9, 0.5, 0.1])[:, None] * matte[outline]
    torch.testing.assert_close(picture[0, :3][:, outline], wanted, atol=0.02, rtol=0)
    inside = radius < 0.2
    off = picture[0, :3] - torch.tensor([0.9, 0.5, 0.1])[:, None, None] * matte
    assert off[:, inside].abs().mean() > 0.1


@torch.no_grad()
def test_pictures_without_a_matte_are_left_alone():
    config = SuperResolutionConfig(input_size=32, widths=(8, 8), alpha=False)
    raw, features = _disc(32)
    picture = _wild(config)(features, raw[:, :3], torch.ones(1, 6))
    assert picture.shape == (1, 3, 128, 128)
    assert torch.isfinite(picture).all()


@torch.no_grad()
def test_a_patch_comes_to_its_part_of_the_input():
    config = SuperResolutionConfig(input_size=32, widths=(8, 8), alpha=False)
    raw, features = _disc(24)
    network, w = _wild(config), torch.ones(1, 6)
    whole = network(features, raw[:, :3], w)
    torch.testing.assert_close(network(features, raw[:, :3], w, patch=32), whole)
    assert network(features, raw[:, :3], w, patch=16).shape == (1, 3, 64, 64)
