"""What is shipped with the package is whole and speaks."""

import numpy as np
import pytest
import torch

from talk3d.avatar import View, load_avatar
from talk3d.demo import shipped
from talk3d.eg3d.files import load_generator
from talk3d.eg3d.presets import small


@pytest.fixture(scope="module")
def speaker():
    return load_avatar(shipped("speaker.safetensors"))


def test_the_prior_is_small_and_loads():
    path = shipped("prior-small.safetensors")
    assert path.stat().st_size < 20e6
    assert load_generator(path).config == small()


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
    from talk3d.camera import orbit_label

    with torch.no_grad():
        planes = generator.planes(w)
        for yaw in (0.0, 1.3, -1.3):
            label = orbit_label(yaw, 0.0)[None]
            alpha = generator.render(planes, label, generator.sampling()).alpha
            assert alpha[0, 0, 56:72, 56:72].min() > 0.9
            assert 0.25 < alpha.mean() < 0.8
