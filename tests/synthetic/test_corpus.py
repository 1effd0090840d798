import json

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

from talk3d.camera import unpack_label, yaw_pitch
from talk3d.checkpoint import file_sha256
from talk3d.synthetic.corpus import CorpusConfig, draw_camera, write_corpus

TINY = CorpusConfig(people=3, views=2, size=24, seed=5, shard_people=2, oversample=1)


@pytest.fixture(scope="module")
def corpus(opengl, tmp_path_factory):
    out = tmp_path_factory.mktemp("corpus")
    return out, write_corpus(out, TINY)


def test_shards_have_the_format(corpus):
    out, info = corpus
    assert json.loads((out / "corpus.json").read_text()) == info
    assert [shard["people"] for shard in info["shards"]] == [[0, 2], [2, 3]]
    data = load_file(out / info["shards"][0]["file"])
    expected = {
        "image": (np.uint8, (4, 24, 24, 4)),
        "depth": (np.float16, (4, 24, 24)),
        "part": (np.uint8, (4, 24, 24)),
        "camera": (np.float32, (4, 25)),
        "expression": (np.float32, (4, 53)),
        "gaze": (np.float32, (4, 4)),
        "neck": (np.float32, (4, 4, 4)),
        "person": (np.int64, (4,)),
        "traits": (np.float32, (4, data["traits"].shape[1])),
    }
    assert {k: (v.dtype.type, v.shape) for k, v in data.items()} == expected
    assert data["person"].tolist() == [0, 0, 1, 1]
    np.testing.assert_array_equal(data["traits"][0], data["traits"][1])
    assert np.abs(data["traits"][1] - data["traits"][2]).max() > 0.1
    assert (data["image"][..., 3] > 0).mean() > 0.2


def test_a_resumed_corpus_equals_an_uninterrupted_one(corpus, tmp_path):
    _, info = corpus
    first = CorpusConfig(**{**TINY_FIELDS, "people": 2})
    write_corpus(tmp_path, first)
    before = (tmp_path / "shard-00000.safetensors").stat().st_mtime_ns
    (tmp_path / "shard-00001.safetensors").write_bytes(b"half a shard")
    again = write_corpus(tmp_path, TINY)
    assert [s["sha256"] for s in again["shards"]] == [
        s["sha256"] for s in info["shards"]
    ]
    assert (tmp_path / "shard-00000.safetensors").stat().st_mtime_ns == before


def test_a_damaged_shard_is_made_again(corpus, tmp_path):
    _, info = corpus
    config = CorpusConfig(**{**TINY_FIELDS, "people": 2})
    write_corpus(tmp_path, config)
    shard = tmp_path / "shard-00000.safetensors"
    shard.write_bytes(shard.read_bytes()[:-1] + b"x")
    write_corpus(tmp_path, config)
    assert file_sha256(shard) == info["shards"][0]["sha256"]


def test_people_do_not_depend_on_where_a_corpus_starts(corpus, tmp_path):
    out, info = corpus
    later = CorpusConfig(**{**TINY_FIELDS, "people": 1, "first_person": 2})
    write_corpus(tmp_path, later)
    old = load_file(out / info["shards"][1]["file"])
    new = load_file(tmp_path / "shard-00000.safetensors")
    assert all((old[name] == new[name]).all() for name in old)


def test_another_corpus_is_refused(corpus):
    out, _ = corpus
    other = CorpusConfig(**{**TINY_FIELDS, "seed": 6})
    with pytest.raises(ValueError, match="another corpus: seed differ"):
        write_corpus(out, other)


def test_bad_configs():
    with pytest.raises(ValueError, match="views is 0"):
        CorpusConfig(views=0)
    with pytest.raises(ValueError, match="negative"):
        CorpusConfig(seed=-1)


def test_cameras_follow_the_plan():
    generator = np.random.default_rng(0)
    labels = torch.tensor(np.stack([draw_camera(generator) for _ in range(4000)]))
    yaw, pitch = (np.degrees(angle.numpy()) for angle in yaw_pitch(labels))
    pose, intrinsics = unpack_label(labels)
    back = np.abs(yaw) > 95
    # 5 % of 4000 scatter by 0.34 %
    assert back.mean() == pytest.approx(0.05, abs=0.012)
    # clipping at 88 takes about half a degree off 38; the aim adds about as much
    assert yaw[~back].std() == pytest.approx(38, abs=2.5)
    assert pitch.std() == pytest.approx(11, abs=1.5)
    focal = intrinsics[:, 0, 0].numpy()
    assert focal.min() >= 2.5
    assert focal.max() <= 6
    assert (np.abs(focal - 4.2647) < 1e-3).mean() == pytest.approx(0.4, abs=0.03)
    # the distance grows with the focal length, with 5 % to 8 % of play
    ratio = pose[:, :3, 3].norm(dim=-1).numpy() / focal
    assert ratio.min() > 0.94 * 2.7 / 4.2647
    assert ratio.max() < 1.09 * 2.7 / 4.2647


TINY_FIELDS = {name: getattr(TINY, name) for name in CorpusConfig.__dataclass_fields__}
