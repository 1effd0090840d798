"""EG3D-format image sets: read as they are, refused when they are not."""

import json
import zipfile
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from tests.drawn import ball

from talk3d.camera import orbit_label
from talk3d.eg3d.adversary import AdversaryConfig
from talk3d.eg3d.config import GeneratorConfig
from talk3d.eg3d.files import load_generator
from talk3d.eg3d.generator import Generator
from talk3d.eg3d.image_set import ImageSet, open_pictures
from talk3d.eg3d.state import PriorTrainConfig, TrainState, load_weights
from talk3d.eg3d.train import train_prior

CONFIG = PriorTrainConfig(
    generator=GeneratorConfig.tiny(),
    stage="adversarial",
    steps=4,
    people=1,
    times=1,
    held_out=1,
    checkpoint_steps=2,
    half=False,
)


@pytest.fixture
def folder(tmp_path):
    path, labels = tmp_path / "set", []
    (path / "00000").mkdir(parents=True)
    for index in range(5):
        label = orbit_label(0.2 * index - 0.4, 0.0)
        name = f"00000/img{index}.png"
        Image.fromarray(ball(label, 32, (0.9, 0.6, 0.2 * index))[0][..., :3]).save(
            path / name
        )
        labels.append([name, label.tolist()])
    (path / "dataset.json").write_text(json.dumps({"labels": labels}))
    return path


def test_pictures_and_cameras_are_those_of_the_files(folder):
    pictures = open_pictures(folder)
    batch = pictures.batch([3, 0])
    with Image.open(folder / "00000" / "img3.png") as image:
        truth = torch.from_numpy(np.array(image)).permute(2, 0, 1)
    torch.testing.assert_close((batch.colour[0] + 1) * 127.5, truth.float())
    torch.testing.assert_close(batch.camera[0], orbit_label(0.2, 0.0))
    assert batch.person.tolist() == [3, 0]
    assert (batch.alpha == 1).all()


def test_a_zip_file_reads_like_its_folder(folder, tmp_path):
    with zipfile.ZipFile(tmp_path / "set.zip", "w") as archive:
        for file in sorted(folder.rglob("*")):
            archive.write(file, str(file.relative_to(folder)))
    packed, plain = open_pictures(tmp_path / "set.zip"), open_pictures(folder)
    torch.testing.assert_close(packed.batch([1, 2]).colour, plain.batch([1, 2]).colour)
    torch.testing.assert_close(packed.cameras, plain.cameras)


@pytest.mark.parametrize("offset", [6, 8])
def test_a_zip_file_that_cannot_be_read_is_named(folder, tmp_path, offset):
    """Byte 6 of an entry says that it is encrypted, byte 8 how it is packed."""
    path = tmp_path / "set.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.write(folder / "dataset.json", "dataset.json")
    content = bytearray(path.read_bytes())
    content[content.rindex(b"PK\x01\x02") + 2 + offset] = 1 if offset == 6 else 77
    content[offset] = content[content.rindex(b"PK\x01\x02") + 2 + offset]
    path.write_bytes(content)
    with pytest.raises(ValueError, match="no zip file that can be read"):
        open_pictures(path)


def test_the_adversarial_stage_learns_from_pictures_alone(folder, tmp_path):
    metrics = list(train_prior(open_pictures(folder), tmp_path / "run", CONFIG))
    assert all("adversarial" in row and "colour" not in row for row in metrics)
    prior = load_generator(tmp_path / "run" / "prior.safetensors")
    assert prior.z_spread.abs().sum() > 0


def test_made_up_people_are_those_of_the_prior_begun_with(folder):
    pictures = open_pictures(folder)
    prior = Generator(CONFIG.generator)
    prior.z_avg.fill_(7.0)
    prior.z_spread.copy_(0.01 * torch.eye(len(prior.z_avg)))
    people = list(range(len(pictures)))
    init = prior.state_dict()
    state = TrainState.start(CONFIG, pictures, people, init=init)
    codes = state.made_up(50, torch.Generator().manual_seed(0))
    torch.testing.assert_close(codes, torch.full_like(codes, 7.0), atol=0.1, rtol=0)


def test_eg3ds_recipe_tells_the_generator_cameras(folder, tmp_path):
    told = replace(
        CONFIG,
        generator=replace(CONFIG.generator, pose_told=True),
        adversary=AdversaryConfig(swap=0.5, blur=1.0, grow_from=0.5),
        steps=1,
    )
    untold = replace(CONFIG, adversary=AdversaryConfig(), steps=1)
    weights = []
    for name, config in (("told", told), ("untold", untold)):
        list(train_prior(open_pictures(folder), tmp_path / name, config))
        weights.append(load_weights(tmp_path / name)["backbone.mapping.embed.weight"])
    start = TrainState.start(untold, open_pictures(folder), [0], init=None)
    before = dict(start.generator.named_parameters())["backbone.mapping.embed.weight"]
    camera = slice(0, 25)
    assert torch.equal(weights[1][:, camera], before[:, camera])
    assert not torch.equal(weights[0][:, camera], before[:, camera])
    prior = load_generator(tmp_path / "told" / "prior.safetensors")
    rest = prior.condition(torch.zeros(1, 53), torch.zeros(1, 4))
    torch.testing.assert_close(rest[0, camera], orbit_label(0.0, 0.0))
    with pytest.raises(ValueError, match=r"swap is 0\.5 and pose_told False"):
        replace(told, generator=CONFIG.generator)


def test_stages_that_need_depth_refuse_pictures_alone(folder, tmp_path):
    config = replace(CONFIG, stage="images")
    with pytest.raises(ValueError, match=r"no depth.*use the stage adversarial"):
        next(train_prior(open_pictures(folder), tmp_path / "run", config))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        ("[]", "does not list pictures"),
        ('{"labels": [["00000/img0.png", [1, 2]]]}', "give 25 numbers"),
        ('{"labels": [["../x.png", %s]]}' % ([0.0] * 25), "lies outside"),
        ('{"labels": [["00000/no.png", %s]]}' % ([0.0] * 25), "missing or damaged"),
        ('{"labels": null}', "does not list pictures"),
        ('{"labels": [["00000/img0.png", %s]]}' % ([10**30] * 25), "does not list"),
        (
            '{"labels": [["00000/img0.png", %s]]}' % ("[NaN" + ", 0" * 24 + "]"),
            "finite",
        ),
    ],
)
def test_damaged_labels_are_named(folder, labels, words):
    (folder / "dataset.json").write_text(labels)
    with pytest.raises(ValueError, match=words):
        ImageSet.open(folder)


def test_pictures_of_several_sizes_are_refused(folder):
    Image.new("RGB", (16, 32)).save(folder / "00000" / "img2.png")
    pictures = ImageSet.open(folder)
    with pytest.raises(ValueError, match=r"img2\.png.*16 x 32 pixels, others 32 x 32"):
        pictures.batch([0, 2])


def test_a_folder_without_labels_is_taken_for_a_corpus(tmp_path):
    with pytest.raises(FileNotFoundError, match="no corpus folder"):
        open_pictures(tmp_path)
