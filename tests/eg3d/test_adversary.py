"""The adversarial stage: who is taught by what, and what R1 asks for."""

from dataclasses import replace

import pytest
import torch
from tests.drawn import write_ball_corpus

from talk3d.eg3d.adversary import Adversary, AdversaryConfig, Judged, roughness, swapped
from talk3d.eg3d.config import GeneratorConfig
from talk3d.eg3d.corpus import Corpus
from talk3d.eg3d.generator import Generator
from talk3d.eg3d.images import (
    draw_windows,
    premultiplied,
    render_windows,
    upsample_windows,
)

TINY = GeneratorConfig.tiny()
CONFIG = AdversaryConfig(channels=8)


@pytest.fixture(scope="module")
def windows(tmp_path_factory):
    corpus = Corpus.open(write_ball_corpus(tmp_path_factory.mktemp("c") / "corpus"))
    return draw_windows(corpus.batch([0, 1, 4, 5]), 2, 16, chance=chance())


@pytest.fixture
def pair():
    torch.manual_seed(0)
    return Generator(TINY), Adversary(CONFIG, 16)


def chance(seed=0):
    return torch.Generator().manual_seed(seed)


def made(generator, windows, *, known=False, size=8):
    codes = torch.randn(4, TINY.z_dim, generator=chance())
    w = generator.map(codes, torch.zeros(4, TINY.condition_dim))
    planes = generator.planes(w)
    rendering = render_windows(
        generator, planes, windows, size=size, known=known, chance=chance()
    )
    shown = upsample_windows(generator, rendering, w, 2, half=False)
    return Judged.made(shown, windows), planes


@pytest.mark.parametrize("known", [True, False])
def test_what_is_made_and_what_is_true_have_one_form(pair, windows, known):
    fake, _ = made(pair[0], windows, known=known)
    real = Judged.of(premultiplied(windows, 16), fake)
    assert fake.picture.shape == real.picture.shape == (12, 4, 16, 16)
    assert fake.raw.shape == real.raw.shape == (12, 4, 8, 8)
    torch.testing.assert_close((real.picture[:, 3:] + 1) / 2, windows.alpha)


def test_with_fewer_rays_the_picture_keeps_its_size(pair, windows):
    fake, _ = made(pair[0], windows, size=5)
    real = Judged.of(premultiplied(windows, 16), fake)
    assert fake.picture.shape == real.picture.shape == (12, 4, 16, 16)
    assert fake.raw.shape == real.raw.shape == (12, 4, 5, 5)


def test_the_generator_is_taught_by_a_judge_that_stays(pair, windows):
    generator, adversary = pair
    fake, planes = made(generator, windows)
    before = [p.clone() for p in adversary.network.parameters()]
    smooth = roughness(generator, planes, chance=chance())
    (adversary.loss(fake, half=False) + smooth).backward()
    reached = {
        name.split(".")[0]
        for name, parameter in generator.named_parameters()
        if parameter.grad is not None and parameter.grad.abs().sum() > 0
    }
    assert reached == {"backbone", "superresolution", "decoder"}
    assert all(p.grad is None for p in adversary.network.parameters())
    for old, new in zip(before, adversary.network.parameters(), strict=True):
        torch.testing.assert_close(old, new)


def taught(adversary, fake, real, step):
    adversary.optimiser.zero_grad()
    metrics = adversary.study(fake, real, step, shares=1, half=False)
    adversary.optimiser.step()
    return metrics


def test_the_judge_learns_to_tell_without_touching_the_generator(pair, windows):
    generator, adversary = pair
    fake, _ = made(generator, windows)
    real = Judged.of(premultiplied(windows, 16), fake)
    first = taught(adversary, fake, real, 1)["judge"]
    for step in range(2, 30):
        last = taught(adversary, fake, real, step)
    assert last["judge"] < 0.5 * first
    assert last["real"] > last["made_up"]
    assert all(p.grad is None for p in generator.parameters())


def test_r1_flattens_the_judge_at_real_pictures(pair, windows):
    generator, _ = pair
    slopes = []
    for weight in (0.0, 100.0):
        torch.manual_seed(0)
        adversary = Adversary(replace(CONFIG, r1=weight), 16)
        fake, _ = made(generator, windows)
        real = Judged.of(premultiplied(windows, 16), fake)
        for _ in range(20):
            taught(adversary, fake, real, 0)
        picture = real.picture.clone().requires_grad_()
        logits = adversary.network(picture, real.raw, real.camera)
        slopes.append(torch.autograd.grad(logits.sum(), picture)[0].norm())
    assert slopes[1] < 0.3 * slopes[0]


@pytest.mark.parametrize(
    ("part", "blur", "swap", "rays"),
    [
        (0.0, 2.0, 1.0, 64),
        (0.05, 1.5, 0.875, 80),
        (0.1, 1.0, 0.75, 96),
        (0.2, 0.0, 0.5, 128),
        (1.0, 0.0, 0.5, 128),
    ],
)
def test_schedules_end_after_a_fifth_of_the_run(part, blur, swap, rays):
    config = replace(CONFIG, blur=2.0, swap=0.5, grow_from=0.5)
    assert config.blur_at(part) == pytest.approx(blur)
    assert config.swap_at(part) == pytest.approx(swap)
    assert config.rays_at(part, 128) == rays


@pytest.mark.parametrize("share", [0.01, 0.3, 0.51, 0.97])
def test_rays_are_even_until_they_are_all(share):
    config = replace(CONFIG, grow_from=share)
    rays = [config.rays_at(step / 100, 31) for step in range(30)]
    assert rays[-1] == 31
    assert all(count % 2 == 0 and count >= 2 for count in rays if count != 31)
    assert rays == sorted(rays)


def test_the_blur_is_eg3ds(pair, windows):
    fake, _ = made(pair[0], windows)
    dot = torch.zeros_like(fake.picture)
    dot[:, :, 8, 8] = 1.0
    judged = replace(fake, picture=dot).blurred(1.0)
    ratio = judged.picture[0, 0, 8, 9] / judged.picture[0, 0, 8, 8]
    assert ratio.item() == pytest.approx(0.5)
    assert judged.raw is fake.raw
    assert fake.blurred(0.0) is fake


def test_the_blur_leaves_even_pictures_as_they_are(pair, windows):
    fake, _ = made(pair[0], windows)
    even = torch.full_like(fake.picture, -0.7)
    torch.testing.assert_close(replace(fake, picture=even).blurred(9.0).picture, even)


def test_cameras_are_swapped_as_often_as_asked():
    cameras = torch.arange(4000.0)[:, None].expand(-1, 25)
    other = swapped(cameras, 0.25, chance=chance())
    changed = (other != cameras).any(1)
    assert changed.float().mean().item() == pytest.approx(0.25, abs=0.03)
    torch.testing.assert_close(other[changed], cameras.roll(1, 0)[changed])


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"swap": 1.5}, r"swap is 1\.5"),
        ({"blur": -1.0}, r"blur is -1\.0"),
        ({"grow_from": 0.0}, r"grow_from is 0\.0"),
    ],
)
def test_what_is_out_of_range_is_named(wrong, named):
    with pytest.raises(ValueError, match=named):
        AdversaryConfig(**wrong)
