"""The subject folder: round trip, split and refusals."""

import json

import numpy as np
import pytest

from talk3d import dataset

SIZE = 32


def _smooth(index):
    grid = np.mgrid[0:SIZE, 0:SIZE].sum(0) * 3 + 5 * index
    return np.repeat(grid[..., None], 3, axis=2).astype(np.uint8)


def _write(path, frames=50):
    rng = np.random.default_rng(0)
    arrays = {
        name: rng.random((frames, *shape)).astype(np.float32)
        for name, shape in dataset.ARRAYS.items()
    }
    arrays["crop"] = np.array([1, 2, 3, 4], np.float32)
    with dataset.SubjectWriter(
        path, size=SIZE, source_name="x.mp4", source_sha256="00"
    ) as writer:
        for index in range(frames):
            writer.add_frame(index, _smooth(index % 4), _smooth(0)[..., 0])
        writer.set_plate(_smooth(1))
        writer.set_audio(np.sin(np.arange(16000) / 20).astype(np.float32) * 0.5)
        writer.finish(arrays, {"verdict": "fine"})
    return arrays


def test_a_subject_survives_the_round_trip(tmp_path):
    arrays = _write(tmp_path)
    subject = dataset.Subject.open(tmp_path)
    assert (subject.frames, subject.size, subject.fps) == (50, SIZE, 25.0)
    for name, value in arrays.items():
        np.testing.assert_array_equal(subject.arrays[name], value)
    error = subject.frame(2).astype(float) - _smooth(2)
    assert 10 * np.log10(255**2 / np.mean(error**2)) > 42
    np.testing.assert_array_equal(subject.matte(3), _smooth(0)[..., 0])
    np.testing.assert_array_equal(subject.plate(), _smooth(1))
    wave = np.sin(np.arange(16000) / 20) * 0.5
    np.testing.assert_allclose(subject.audio(), wave, atol=2**-15)


def test_test_frames_come_half_a_second_after_the_training_frames(tmp_path):
    _write(tmp_path, frames=100)
    subject = dataset.Subject.open(tmp_path)
    assert (subject.train, subject.test) == (range(80), range(92, 100))


def test_a_missing_array_is_named(tmp_path):
    writer = dataset.SubjectWriter(
        tmp_path, size=SIZE, source_name="x", source_sha256="00"
    )
    with pytest.raises(ValueError, match="array landmarks has shape None"):
        writer.finish({"camera": np.zeros((3, 25))}, {})


def test_an_unfinished_folder_is_no_subject(tmp_path):
    dataset.SubjectWriter(tmp_path, size=SIZE, source_name="x", source_sha256="00")
    with pytest.raises(FileNotFoundError, match="no subject folder"):
        dataset.Subject.open(tmp_path)


def test_another_format_version_is_refused(tmp_path):
    _write(tmp_path)
    info = json.loads((tmp_path / "subject.json").read_text())
    (tmp_path / "subject.json").write_text(json.dumps(info | {"format": 9}))
    with pytest.raises(ValueError, match="format version 9"):
        dataset.Subject.open(tmp_path)


def test_damage_is_one_sentence(tmp_path):
    _write(tmp_path)
    (tmp_path / "arrays.safetensors").write_bytes(b"x" * 20)
    with pytest.raises(ValueError, match="is damaged"):
        dataset.Subject.open(tmp_path)
