"""What create takes for its own, and what it leaves alone."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from tests.drawn import write_ball_subject
from tests.trust.conftest import picture

from talk3d import ownership, pipeline
from talk3d.animator.train import AnimatorTrainConfig
from talk3d.checkpoint import file_sha256, save_model
from talk3d.cli.main import main
from talk3d.dataset import Subject
from talk3d.eg3d.convert import import_official
from talk3d.person import Person
from talk3d.personalize import PersonalizeConfig
from talk3d.pipeline import CreateConfig, create, personalize_subject, train_subject
from talk3d.trust.holders import avatar_consent
from talk3d.trust.ledger import ledger_entries


def _quiet(_stage, _part):
    pass


@pytest.fixture
def finished(tmp_path, monkeypatch):
    """Video, avatar, prior and work folder of a create that is done."""
    monkeypatch.setattr(ownership, "_DISK_BYTES", 0)
    work, avatar = tmp_path / "me.work", tmp_path / "me.safetensors"
    write_ball_subject(work / "subject", frames=3)
    generator = work / "generator.safetensors"
    save_model(generator, {}, kind="generator", config={})
    parents = {"generator": file_sha256(generator)}
    state = {"a": torch.ones(2)}
    save_model(avatar, state, kind="avatar", config={}, parents=parents)
    (tmp_path / "me.mp4").write_bytes(b"x")
    save_model(tmp_path / "prior", state, kind="prior", config={})
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


def test_networks_may_lie_elsewhere_when_a_run_goes_on(finished, agreed, tmp_path):
    *given, config = finished
    create(*given, config, _quiet, consent=agreed)
    reading = replace(config.preprocess, offline=True, models_dir=tmp_path)
    create(*given, replace(config, preprocess=reading), _quiet, consent=agreed)
    larger = replace(config, preprocess=replace(config.preprocess, size=512))
    with pytest.raises(ValueError, match="belongs to a run with another size"):
        create(*given, larger, _quiet, consent=agreed)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("folder.safetensors", "is a folder"),
        ("me.png", r"does not end in \.safetensors"),
        ("me", "does not end in"),
        ("me.SAFETENSORS", "does not end in"),
    ],
)
def test_a_name_that_is_no_models_is_refused_before_anything(tmp_path, name, reason):
    (tmp_path / "folder.safetensors").mkdir()
    before = sorted(tmp_path.iterdir())
    none, out = tmp_path / "none", tmp_path / name
    with pytest.raises(ValueError, match=f"{reason}.*: give the name of a file"):
        personalize_subject(none, none, out, PersonalizeConfig(), _quiet)
    with pytest.raises(ValueError, match=reason):
        train_subject(none, none, out, AnimatorTrainConfig(), _quiet)
    words = ["create", str(none), "-o", str(out), "--prior", str(none), "--synthetic"]
    assert main(words) == 2
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize(
    "words", ["speech train c", "speech judge c", "prior encoder c r"]
)
def test_a_name_that_is_the_state_s_is_refused(capsys, tmp_path, monkeypatch, words):
    monkeypatch.chdir(tmp_path)
    assert main([*words.split(), "-o", "net.state"]) == 2
    assert "net.state, which does not end in .safetensors" in capsys.readouterr().err
    assert list(tmp_path.glob("net*")) == []


@pytest.mark.parametrize("name", [".", "..", "/"])
def test_a_folder_is_no_avatar(capsys, name):
    assert main(["create", "a.mp4", "-o", name, "--synthetic"]) == 2
    assert f"{name}, which is a folder: give the name of a" in capsys.readouterr().err


def test_a_folder_is_no_video(capsys, tmp_path, monkeypatch):
    monkeypatch.setattr(ownership, "_DISK_BYTES", 0)
    out = str(tmp_path / "me.safetensors")
    assert main(["create", str(tmp_path), "-o", out, "--synthetic"]) == 2
    assert f"{tmp_path} is a folder: give the path of" in capsys.readouterr().err


@pytest.mark.parametrize("minutes", ["0", "-1", "nan", "inf"])
def test_a_time_limit_that_is_none_is_refused(capsys, tmp_path, minutes):
    out = str(tmp_path / "me.safetensors")
    words = ["create", "a.mp4", "-o", out, "--synthetic", f"--max-minutes={minutes}"]
    assert main(words) == 2
    assert f"max_minutes is {minutes}: give" in capsys.readouterr().err
    assert list(tmp_path.glob("me*")) == []


def test_what_a_model_is_made_from_is_never_replaced(tmp_path):
    subject, given = tmp_path / "subject", tmp_path / "a.safetensors"
    write_ball_subject(subject, frames=3)
    given.write_bytes(b"made at great cost")
    other, arrays = tmp_path / "other", subject / "arrays.safetensors"
    said = "is what this is made from: give another -o"
    fitting, learning = PersonalizeConfig(), AnimatorTrainConfig()
    for prior, encoder, out in (
        (given, None, given),
        (other, given, given),
        (other, None, arrays),
    ):
        with pytest.raises(ValueError, match=said):
            personalize_subject(subject, prior, out, fitting, _quiet, encoder=encoder)
    for out in (given, arrays):
        with pytest.raises(ValueError, match=said):
            train_subject(subject, given, out, learning, _quiet)
    with pytest.raises(ValueError, match=said):
        import_official(given, given)
    assert given.read_bytes() == b"made at great cost"


def test_a_picture_of_the_user_is_never_replaced_by_a_preview(tmp_path, monkeypatch):
    write_ball_subject(tmp_path / "subject", frames=3)
    sheet = np.hstack([picture(i) for i in range(7)])
    monkeypatch.setattr(pipeline, "_PREVIEW_SECONDS", 0.0)
    monkeypatch.setattr(pipeline, "yaw_sheet", lambda _person: sheet)
    subject, person = Subject.open(tmp_path / "subject"), object.__new__(Person)
    photo, own = tmp_path / "anna.png", tmp_path / "me.png"
    Image.new("RGB", (700, 100)).save(photo)
    before = photo.read_bytes()
    pipeline._Preview(photo, subject).offer(person)
    assert photo.read_bytes() == before
    pipeline._Preview(own, subject).offer(person)
    first = own.read_bytes()
    pipeline._Preview(own, subject).offer(person)
    assert own.read_bytes() != first


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "is not a video"),
        (["--silent"], "learns to speak from the sound"),
        (["--from", "nan"], "leave less than 1 s"),
        (["--prior", "net.safetensors"], "holds an avatar where a prior is needed"),
    ],
)
def test_a_mistake_leaves_nothing_that_is_in_the_way(
    capsys, tmp_path, monkeypatch, options, message
):
    monkeypatch.setattr(ownership, "_DISK_BYTES", 0)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.mp4").write_text("no video")
    save_model(tmp_path / "net.safetensors", {}, kind="avatar", config={})
    before = sorted(tmp_path.iterdir())
    words = ["create", "a.mp4", "-o", "me.safetensors", "--synthetic", *options]
    assert main(words) == 2
    assert message in capsys.readouterr().err
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize("kind", ["avatar", "generator", None])
def test_a_model_of_somebody_else_is_not_written_over(tmp_path, kind):
    subject = write_ball_subject(tmp_path / "subject", frames=3)
    out, prior = tmp_path / "g.safetensors", tmp_path / "prior.safetensors"
    if kind is None:
        out.write_bytes(b"dear to me")
    else:
        save_model(out, {}, kind=kind, config={})
    save_model(prior, {}, kind="prior", config={})
    before = out.read_bytes()
    with pytest.raises(ValueError, match="exists and is no generator of"):
        personalize_subject(subject.path, prior, out, PersonalizeConfig(), _quiet)
    assert out.read_bytes() == before


def test_an_earlier_version_of_the_same_may_be_written_over(tmp_path):
    subject = write_ball_subject(tmp_path / "subject", frames=3)
    out = tmp_path / "g.safetensors"
    parents = {"subject": subject.fingerprint()}
    save_model(out, {}, kind="generator", config={}, parents=parents)
    ownership.check_renewed(out, "generator", subject)
    with pytest.raises(ValueError, match="is no avatar of"):
        ownership.check_renewed(out, "avatar", subject)
