"""What create takes for its own, and what it leaves alone."""

from dataclasses import replace

import pytest
import torch
from tests.drawn import write_ball_subject

from talk3d import pipeline
from talk3d.checkpoint import file_sha256, save_model
from talk3d.pipeline import CreateConfig, create
from talk3d.trust.holders import avatar_consent
from talk3d.trust.ledger import ledger_entries


def _quiet(_stage, _part):
    pass


@pytest.fixture
def finished(tmp_path, monkeypatch):
    """Video, avatar, prior and work folder of a create that is done."""
    monkeypatch.setattr(pipeline, "_DISK_BYTES", 0)
    work, avatar = tmp_path / "me.work", tmp_path / "me.safetensors"
    write_ball_subject(work / "subject", frames=3)
    generator = work / "generator.safetensors"
    save_model(generator, {}, kind="generator", config={})
    parents = {"generator": file_sha256(generator)}
    state = {"a": torch.ones(2)}
    save_model(avatar, state, kind="avatar", config={}, parents=parents)
    for name in ("me.mp4", "prior"):
        (tmp_path / name).write_bytes(b"x")
    return tmp_path / "me.mp4", avatar, tmp_path / "prior", work, CreateConfig()


def test_another_consent_is_given_to_an_avatar_that_is_there(finished, agreed):
    avatar = finished[1]
    create(*finished, _quiet, consent=agreed)
    assert avatar_consent(avatar) == agreed
    written = avatar.stat().st_mtime_ns
    create(*finished, _quiet, consent=agreed)
    assert avatar.stat().st_mtime_ns == written
    narrow = replace(agreed, expires="2099-01-01")
    create(*finished, _quiet, consent=narrow)
    assert avatar_consent(avatar) == narrow
    assert ledger_entries()[-1]["consent"] == narrow.sha256
