"""Forgetting takes all that is of a person, whatever its name, and of nobody else."""

import json

import numpy as np
import pytest
import torch
from PIL import Image
from tests.drawn import write_ball_subject
from tests.trust.conftest import picture

from talk3d.checkpoint import save_model
from talk3d.dataset import Subject
from talk3d.interrupted import TRAINING_STATES, StateFile
from talk3d.trust.forget import forget
from talk3d.trust.holders import avatar_fingerprint
from talk3d.trust.ledger import ledger_entries, note
from talk3d.trust.pictures import avatar_stamp, write_picture


def _work(path, video="a"):
    write_ball_subject(path / "subject", frames=3)
    run = {"video": video, "prior": "b", "config": {}}
    (path / "run.json").write_text(json.dumps(run))
    return path


def _preview(path):
    sheet = np.hstack([picture(i) for i in range(7)])
    write_picture(path, sheet, avatar_stamp(None, "a preview"))
    return path


def _created(avatar, work):
    places = {"avatar_path": str(avatar), "work": str(work)}
    note("created", avatar=avatar_fingerprint(avatar), **places)


def _another(path, **extra):
    state = {"motion.a": torch.ones(6)}
    save_model(path, state, kind="avatar", config={}, extra={"name": "you"} | extra)
    return path


def test_a_renamed_avatar_takes_its_work_folder_along(bare_avatar, tmp_path):
    work = _work(tmp_path / "me.work")
    _created(bare_avatar, work)
    preview = _preview(tmp_path / "me.png")
    renamed = bare_avatar.rename(tmp_path / "anna.safetensors")
    erasure = forget(renamed)
    assert {renamed, work, preview} <= set(erasure.removed)
    assert not work.exists()
    assert ledger_entries() == []


def test_an_avatar_in_the_place_of_another_leaves_that_ones_data(bare_avatar, tmp_path):
    work = _work(tmp_path / "me.work")
    _created(bare_avatar, work)
    note("spoke", out=str(tmp_path / "me.mp4"), avatar=avatar_fingerprint(bare_avatar))
    (tmp_path / "me.mp4").write_bytes(b"x")
    moved = bare_avatar.rename(tmp_path / "anna.safetensors")
    you = _another(bare_avatar)
    erasure = forget(you, videos=True)
    assert erasure.removed == [you]
    assert work.is_dir()
    assert len(ledger_entries()) == 2
    _another(bare_avatar)
    forget(work)
    assert bare_avatar.exists()
    assert moved.exists()


def test_an_avatar_of_another_video_leaves_the_work_folder_beside_it(tmp_path):
    work = _work(tmp_path / "me.work", video="mine")
    you = _another(tmp_path / "me.safetensors", source="yours")
    forget(you)
    assert work.is_dir()
    own = _another(tmp_path / "me.safetensors", source="mine")
    assert {own, work} <= set(forget(own).removed)


def test_a_create_that_was_interrupted_is_forgotten_whole(tmp_path):
    work = _work(tmp_path / "me.work")
    states = {(tmp_path / "me").with_suffix(suffix) for suffix in TRAINING_STATES}
    preview = _preview(tmp_path / "me.png")
    whose = Subject.open(work / "subject").fingerprint()
    for state in states:
        StateFile(state).write({"subject": whose}, {"step": 200})
    planned = forget(work, dry_run=True)
    erasure = forget(work)
    assert set(planned.removed) <= set(erasure.removed)
    assert {*states, preview} <= set(erasure.removed)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["data"]


@pytest.mark.parametrize("whose", ["another", None])
def test_a_state_and_a_picture_that_are_not_its_own_are_left(tmp_path, whose):
    work = _work(tmp_path / "me.work")
    state, photo = tmp_path / "me.state", tmp_path / "me.png"
    if whose is None:
        state.write_text("a state of mind")
    else:
        StateFile(state).write({"subject": whose}, {"step": 200})
    Image.new("RGB", (700, 100)).save(photo)
    forget(work)
    assert state.exists()
    assert photo.exists()


def test_an_avatar_is_one_by_its_content_not_its_name(bare_avatar, tmp_path):
    bare = bare_avatar.rename(tmp_path / "me")
    work = _work(tmp_path / "me.work")
    assert {bare, work} <= set(forget(bare).removed)
    odd = _another(tmp_path / "you.state")
    assert forget(odd).removed == [odd]
