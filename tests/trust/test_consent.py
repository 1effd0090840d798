"""Consent: refused when missing, edited, moved, expired or too narrow."""

import json
import time
from dataclasses import asdict, replace
from datetime import date, timedelta
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from tests.drawn import write_ball_subject

from talk3d.checkpoint import METADATA_KEY, load_model, read_header, save_model
from talk3d.cli.main import main
from talk3d.trust.consent import (
    TEMPLATE,
    permit,
    read_consent,
    seal,
    synthetic_consent,
)
from talk3d.trust.holders import (
    avatar_consent,
    record_consent,
    replace_consent,
    subject_consent,
)
from talk3d.trust.identity import load_identity

SHOWN = Path(__file__).parents[2] / "docs" / "consent-template.json"
FILLED = {"person": "Ann", "how": "on paper, in the safe", "date": "2026-01-02"}


def _edit(path, change):
    header = read_header(path)
    change(header["extra"])
    state = load_model(path, kind="avatar").state
    save_file(state, path, metadata={METADATA_KEY: json.dumps(header)})


def test_an_avatar_keeps_its_consent(bare_avatar, agreed):
    replace_consent(bare_avatar, agreed)
    assert avatar_consent(bare_avatar) == agreed
    assert "Ann: consent of 2026-01-02 by self" in agreed.describe()


def test_a_missing_consent_is_refused(bare_avatar):
    with pytest.raises(ValueError, match="holds no consent of the person shown"):
        avatar_consent(bare_avatar)


def test_calling_an_avatar_synthetic_in_its_header_is_not_enough(bare_avatar):
    _edit(bare_avatar, lambda extra: extra.update(synthetic=True))
    with pytest.raises(ValueError, match="holds no consent"):
        avatar_consent(bare_avatar)


@pytest.mark.parametrize(
    ("field", "value"),
    [("expires", "2099-01-01"), ("purposes", ["commercial"]), ("person", "Bob")],
)
def test_an_edited_consent_is_refused(bare_avatar, agreed, field, value):
    replace_consent(bare_avatar, agreed)
    _edit(bare_avatar, lambda extra: extra["consent"]["record"].update({field: value}))
    with pytest.raises(ValueError, match="was edited after it was given"):
        avatar_consent(bare_avatar)


def test_an_edited_consent_with_a_new_hash_is_refused(bare_avatar, agreed):
    replace_consent(bare_avatar, agreed)
    other = seal(replace(agreed, expires="2099-01-01"), "x", load_identity())

    def forge(extra):
        keep = {k: extra["consent"][k] for k in ("bound_to", "signature")}
        extra["consent"] = other | keep

    _edit(bare_avatar, forge)
    with pytest.raises(ValueError, match="was edited"):
        avatar_consent(bare_avatar)


def test_the_consent_of_another_avatar_is_refused(bare_avatar, agreed, tmp_path):
    replace_consent(bare_avatar, agreed)
    moved = read_header(bare_avatar)["extra"]
    other = tmp_path / "other.safetensors"
    save_model(other, {"a": torch.zeros(3)}, kind="avatar", config={}, extra=moved)
    with pytest.raises(ValueError, match="belongs to another avatar"):
        avatar_consent(other)


def test_a_subject_keeps_its_consent_and_that_of_another_is_refused(tmp_path, agreed):
    path = write_ball_subject(tmp_path / "ball", frames=10).path
    record_consent(path, agreed)
    from talk3d.dataset import Subject

    subject = Subject.open(path)
    assert subject_consent(subject) == agreed
    assert subject.info["synthetic"] is False
    subject.info["source"]["sha256"] = "11"
    with pytest.raises(ValueError, match="belongs to another"):
        subject_consent(subject)


def test_an_expired_consent_is_refused(agreed):
    old = replace(agreed, expires="2026-02-01")
    with pytest.raises(ValueError, match="expired on 2026-02-01"):
        permit(old, purpose="private", speech_sha256="s", name="me")


def test_an_expired_consent_is_refused_before_anything_is_made(tmp_path, capsys):
    path = tmp_path / "consent.json"
    record = json.loads(TEMPLATE) | FILLED | {"expires": "2026-02-01"}
    path.write_text(json.dumps(record))
    out = tmp_path / "me.safetensors"
    video = SHOWN.parents[1] / "src" / "talk3d" / "data" / "speaker.mp4"
    assert main(["create", str(video), "-o", str(out), "--consent", str(path)]) == 2
    assert "Ann expired on 2026-02-01: give one" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == [path]


def test_a_purpose_beyond_the_consent_is_refused(agreed):
    with pytest.raises(ValueError, match="covers private use, not commercial"):
        permit(agreed, purpose="commercial", speech_sha256="s", name="me")
    wide = replace(agreed, purposes=("commercial",))
    permit(wide, purpose="commercial", speech_sha256="s", name="me")
    permit(wide, purpose="private", speech_sha256="s", name="me")


def test_a_speech_beyond_the_consent_is_refused(agreed):
    narrow = replace(agreed, speeches=("aa",))
    permit(narrow, purpose="private", speech_sha256="aa", name="me")
    with pytest.raises(ValueError, match="this sound file is none of them"):
        permit(narrow, purpose="private", speech_sha256="bb", name="me")


def test_every_field_changes_the_hash(agreed):
    changed = {
        "person": "B", "given_by": "mother", "how": "mail", "date": "2026-01-03",
        "expires": "2027-01-01", "purposes": ("research",), "speeches": ("aa",),
        "synthetic": True,
    }  # fmt: skip
    assert set(changed) == set(asdict(agreed))
    hashes = {replace(agreed, **{k: v}).sha256 for k, v in changed.items()}
    assert len(hashes | {agreed.sha256}) == len(changed) + 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"person": " "}, "does not say person"),
        ({"date": "2999-01-01"}, "not yet"),
        ({"date": "yesterday"}, "no day"),
        ({"expires": "2025-01-01"}, "before its date"),
        ({"purposes": ["fun"]}, "names the purpose 'fun'"),
        ({"purposes": "research"}, "must be a list of texts"),
        ({"mood": "good"}, "unknown field mood"),
        ({"format": 9}, "format 1"),
    ],
)
def test_a_bad_consent_file_is_refused(tmp_path, change, message):
    record = json.loads(TEMPLATE) | FILLED | change
    path = tmp_path / "consent.json"
    path.write_text(json.dumps(record))
    with pytest.raises(ValueError, match=message):
        read_consent(path)


@pytest.mark.parametrize("name", ["person", "how", "date"])
def test_a_template_that_was_not_filled_in_is_refused(tmp_path, name):
    blank = json.loads(TEMPLATE)
    path = tmp_path / "consent.json"
    path.write_text(json.dumps(blank | FILLED | {name: blank[name]}))
    with pytest.raises(ValueError, match=f"{name} of the consent still holds"):
        read_consent(path)


def test_the_template_of_the_documentation_is_the_one_that_is_printed(capsys):
    assert main(["consent", "--template"]) == 0
    assert capsys.readouterr().out == TEMPLATE == SHOWN.read_text()


def test_a_synthetic_face_may_be_used_for_everything():
    permit(synthetic_consent("x"), purpose="commercial", speech_sha256="s", name="x")


@pytest.mark.parametrize("zone", ["EAST-14", "WEST+12"])
def test_days_are_those_of_the_users_calendar(agreed, zone, monkeypatch):
    # at any hour one of the two zones has another day than UTC
    with monkeypatch.context() as there:
        there.setenv("TZ", zone)
        time.tzset()
        today = date.today()
        assert synthetic_consent("x").date == today.isoformat()
        last = replace(agreed, expires=today.isoformat())
        permit(last, purpose="private", speech_sha256="s", name="me")
        over = replace(agreed, expires=(today - timedelta(days=1)).isoformat())
        with pytest.raises(ValueError, match="expired"):
            permit(over, purpose="private", speech_sha256="s", name="me")
    time.tzset()


def test_a_consent_from_where_it_is_tomorrow_already_is_taken(agreed):
    days = [(date.today() + timedelta(days=n)).isoformat() for n in (1, 2)]
    assert replace(agreed, date=days[0]).date == days[0]
    with pytest.raises(ValueError, match="not yet"):
        replace(agreed, date=days[1])
