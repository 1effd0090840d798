"""Model files: round trips and refusals."""

import json
import os

import pytest
import torch
from safetensors.torch import save_file

from talk3d import checkpoint


def _save(path, **extra):
    checkpoint.save_model(
        path, {"a": torch.arange(6.0).reshape(2, 3)}, kind="prior", config={"n": 3}
    )
    return path


def test_a_model_survives_the_round_trip(tmp_path):
    path = tmp_path / "x.safetensors"
    state = {"a": torch.randn(3, 4), "b": torch.arange(5)}
    checkpoint.save_model(
        path, state, kind="prior", config={"n": 3}, step=7, parents={"p": "00"}
    )
    found = checkpoint.load_model(path, kind="prior")
    assert found.config == {"n": 3}
    assert (found.step, found.parents) == (7, {"p": "00"})
    for name, value in state.items():
        torch.testing.assert_close(found.state[name], value, atol=0, rtol=0)


def test_another_kind_is_refused(tmp_path):
    path = _save(tmp_path / "x.safetensors")
    with pytest.raises(ValueError, match="holds a prior where an avatar is needed"):
        checkpoint.load_model(path, kind="avatar")


def test_a_foreign_file_is_refused(tmp_path):
    path = tmp_path / "x.safetensors"
    save_file({"a": torch.zeros(1)}, path)
    with pytest.raises(ValueError, match="is not a talk3d model"):
        checkpoint.load_model(path, kind="prior")


def test_another_format_version_is_refused(tmp_path):
    path = tmp_path / "x.safetensors"
    header = json.dumps({"format": 99})
    save_file({"a": torch.zeros(1)}, path, metadata={"talk3d": header})
    with pytest.raises(ValueError, match="format version 99"):
        checkpoint.load_model(path, kind="prior")


@pytest.mark.parametrize(
    ("change", "named"),
    [({"kind": 3}, "kind"), ({"parents": []}, "parents"), ({"step": "x"}, "step")],
)
def test_a_header_that_lacks_something_is_refused(tmp_path, change, named):
    path = tmp_path / "x.safetensors"
    whole = {"format": 1, "kind": "prior", "config": {}, "step": 0}
    header = whole | {"parents": {}, "extra": {}} | change
    save_file({"a": torch.zeros(1)}, path, metadata={"talk3d": json.dumps(header)})
    with pytest.raises(ValueError, match=f"lacks a proper {named}: make"):
        checkpoint.read_header(path)


def test_a_truncated_file_is_refused(tmp_path):
    path = _save(tmp_path / "x.safetensors")
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(ValueError, match="damaged"):
        checkpoint.load_model(path, kind="prior")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="nothere"):
        checkpoint.load_model(tmp_path / "nothere.safetensors", kind="prior")


def test_what_something_is_made_from_is_not_written_over(tmp_path):
    given, link, other = (tmp_path / name for name in ("a.mp4", "b.mp4", "c.mp4"))
    for path in (given, other):
        path.touch()
    link.symlink_to(given)
    for out in (given, link):
        with pytest.raises(ValueError, match="is what this is made from: give another"):
            checkpoint.check_apart(out, None, tmp_path / "nothere", other, given)
    checkpoint.check_apart(other, None, given)
    checkpoint.check_apart(tmp_path / "new.mp4", given, tmp_path / "new.mp4")


def _interrupted_write(path):
    with checkpoint.write_atomically(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError("stop")


def test_a_failed_write_leaves_the_old_file_and_no_rest(tmp_path):
    path = tmp_path / "x.txt"
    path.write_text("old")
    with pytest.raises(RuntimeError, match="stop"):
        _interrupted_write(path)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("error", [ValueError, OSError])
def test_a_new_folder_of_bad_input_goes_away_with_its_parents(tmp_path, error):
    def work(out):
        with checkpoint.clean_folder(out):
            (out / "half").touch()
            raise error("bad")

    out = tmp_path / "a" / "b"
    with pytest.raises(error, match="bad"):
        work(out)
    assert list(tmp_path.iterdir()) == []
    out.mkdir(parents=True)
    with pytest.raises(error, match="bad"):
        work(out)
    assert list(out.iterdir()) == [out / "half"]


def test_a_folder_that_cannot_be_written_is_refused(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    said = "cannot be written .*: give an output folder"
    for out in (tmp_path / "file", tmp_path / "file" / "out"):
        with pytest.raises(OSError, match=said), checkpoint.clean_folder(out):
            pytest.fail("the work was begun")

    def refuse(**_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(checkpoint.tempfile, "TemporaryFile", refuse)
    with pytest.raises(OSError, match=said), checkpoint.clean_folder(tmp_path):
        pytest.fail("the work was begun")


@pytest.mark.parametrize("umask", [0o077, 0o022, 0o002])
def test_a_new_file_has_the_mode_that_the_user_wants(tmp_path, umask):
    before = os.umask(umask)
    try:
        path = _save(tmp_path / "x.safetensors")
    finally:
        os.umask(before)
    assert path.stat().st_mode & 0o777 == 0o666 & ~umask


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o664])
def test_a_file_that_is_written_again_keeps_its_mode(tmp_path, mode):
    path = _save(tmp_path / "x.safetensors")
    path.chmod(mode)
    assert _save(path).stat().st_mode & 0o777 == mode
