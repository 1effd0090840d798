"""What is shipped with the package is whole and speaks."""

import numpy as np
import pytest
import torch

from talk3d.avatar import load_avatar
from talk3d.camera import orbit_label
from talk3d.demo import shipped
from talk3d.eg3d.files import load_generator
from talk3d.eg3d.presets import small
from talk3d.eg3d.sample import draw_codes
from talk3d.encoder.network import load_encoder, shipped_encoder
from talk3d.view import View


@pytest.fixture(scope="module")
def speaker():
    return load_avatar(shipped("speaker.safetensors"))


def test_the_prior_is_small_and_loads():
    path = shipped("prior-small.safetensors")
    assert path.stat().st_size < 20e6
    assert load_generator(path).config == small()


def test_the_encoder_knows_the_codes_of_the_prior_it_is_shipped_with(tmp_path):
    prior = shipped("prior-small.safetensors")
    path = shipped_encoder(prior)
    assert path is not None
    assert path.stat().st_size < 6e6
    assert load_encoder(path).config.z_dim == small().z_dim
    (tmp_path / "other.safetensors").write_bytes(prior.read_bytes()[:-1])
    assert shipped_encoder(tmp_path / "other.safetensors") is None


def test_the_encoder_tells_whom_the_prior_shows():
    generator = load_generator(shipped("prior-small.safetensors"))
    path = shipped_encoder()
    assert path is not None
    encoder = load_encoder(path)
    label = orbit_label(0.2, 0.0)[None].expand(4, -1)
    with torch.no_grad():
        codes = draw_codes(generator, range(4))
        w = generator.map(
            codes, generator.condition(torch.zeros(4, 53), torch.zeros(4, 4))
        )
        rendering = generator.render(generator.planes(w), label, generator.sampling())
        told = encoder(generator.upsample(rendering, w).clamp(-1, 1)).code
    parts = [(code - encoder.mean) / encoder.spread for code in (told, codes)]
    said, true = (part / part.norm(dim=1, keepdim=True) for part in parts)
    assert (said @ true.T).argmax(1).tolist() == [0, 1, 2, 3]


def test_the_speaker_is_small_and_synthetic(speaker):
    both = ("speaker.safetensors", "speaker.mp4")
    assert sum(shipped(name).stat().st_size for name in both) < 20e6
    assert speaker.info["synthetic"]


@pytest.mark.parametrize("view", ["recorded", "30,0", "-45,10"])
def test_the_speaker_is_whole_from_several_sides(speaker, view):
    wave = 0.1 * np.sin(np.arange(1600) / 7).astype(np.float32)
    frames = np.stack(list(speaker.speak(wave, View.parse(view))))
    assert frames.shape == (3, 256, 256, 4)
    alpha = frames[..., 3] > 127
    assert 0.25 < alpha.mean() < 0.9
    middle = frames[:, 96:160, 96:160]
    assert (middle[..., 3] > 240).mean() > 0.98
    skin = middle[..., :3].reshape(-1, 3).mean(0)
    assert skin[0] > skin[2] > 20


def test_the_same_run_gives_the_same_bytes(speaker):
    wave = np.zeros(1600, np.float32)
    first, second = (
        np.stack(list(speaker.speak(wave, View.parse("front")))) for _ in range(2)
    )
    np.testing.assert_array_equal(first, second)


def test_a_missing_file_is_named():
    with pytest.raises(FileNotFoundError, match=r"nothing\.bin"):
        shipped("nothing.bin")


def test_the_average_person_of_the_prior_is_a_head():
    generator = load_generator(shipped("prior-small.safetensors"))
    w = generator.backbone.mapping.w_avg.expand(1, generator.num_layers, -1)
    with torch.no_grad():
        planes = generator.planes(w)
        for yaw in (0.0, 1.3, -1.3):
            label = orbit_label(yaw, 0.0)[None]
            alpha = generator.render(planes, label, generator.sampling()).alpha
            assert alpha[0, 0, 56:72, 56:72].min() > 0.9
            assert 0.25 < alpha.mean() < 0.8
