"""Still pictures of an avatar are marked and signed like its videos."""

import io
import json

import numpy as np
import pytest
from PIL import Image
from tests.drawn import write_ball_subject
from tests.trust.conftest import picture

from talk3d import pipeline
from talk3d.dataset import Subject
from talk3d.movie import write_movie
from talk3d.person import Person
from talk3d.trust.forget import forget
from talk3d.trust.holders import avatar_fingerprint, record_consent
from talk3d.trust.ledger import ledger_entries
from talk3d.trust.pictures import (
    SMALLEST,
    Stamp,
    avatar_stamp,
    result_stamp,
    stamp_file,
    subject_stamp,
    write_picture,
)
from talk3d.trust.verify import verify


@pytest.fixture
def stamp(agreed):
    return avatar_stamp(agreed, "a test")


def _sheet(count=5):
    return np.hstack([picture(20 * i, 256) for i in range(count)])


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_a_picture_carries_both_layers_and_they_belong_together(
    stamp, agreed, tmp_path, suffix
):
    path = tmp_path / f"sheet{suffix}"
    write_picture(path, _sheet(), stamp)
    verdict = verify(path)
    assert verdict.manifest is not None
    assert verdict.manifest.valid
    assert verdict.manifest.trusted
    assert verdict.belong
    assert verdict.known_as == str(path)
    assert verdict.manifest.statement is not None
    assert verdict.manifest.statement["consent"] == agreed.sha256
    assert verdict.sentences()[-1] == "So: made with talk3d, and unchanged since."


def test_the_mark_of_a_picture_tells_when_the_metadata_are_gone(stamp, tmp_path):
    write_picture(tmp_path / "a.png", _sheet(), stamp)
    with Image.open(tmp_path / "a.png") as image:
        image.convert("RGB").save(tmp_path / "b.jpg", quality=80)
    verdict = verify(tmp_path / "b.jpg")
    assert verdict.manifest is None
    assert verdict.watermark.identity == stamp.identity


def test_one_flipped_byte_of_a_picture_is_tampering(stamp, tmp_path):
    path = tmp_path / "a.png"
    write_picture(path, _sheet(2), stamp)
    content = bytearray(path.read_bytes())
    content[-500] ^= 1
    path.write_bytes(content)
    manifest = verify_manifest(path)
    assert not manifest.valid


def verify_manifest(path):
    from talk3d.trust.manifest import read_manifest

    manifest = read_manifest(path)
    assert manifest is not None
    return manifest


def test_the_smallest_marked_picture_is_read_and_smaller_ones_are_signed(
    stamp, tmp_path
):
    write_picture(tmp_path / "a.png", picture(0, SMALLEST), stamp)
    assert verify(tmp_path / "a.png").belong
    tiny = picture(0, SMALLEST - 1)
    np.testing.assert_array_equal(stamp.mark(tiny), tiny)
    write_picture(tmp_path / "b.png", tiny, stamp)
    assert verify_manifest(tmp_path / "b.png").valid


def test_a_busy_sheet_is_read_and_so_is_a_part_of_it(stamp, tmp_path):
    rng = np.random.default_rng(0)
    tiles = rng.integers(0, 256, (9, 9, 3), np.uint8).repeat(160, 0).repeat(160, 1)
    faces = np.vstack([np.hstack([picture(i, 160)] * 9) for i in range(9)])
    sheet = (tiles * 0.4 + faces * 0.6).astype(np.uint8)
    write_picture(tmp_path / "a.png", sheet, stamp)
    assert verify(tmp_path / "a.png").belong
    part = stamp.mark(sheet)[300:900, 200:1200]
    Image.fromarray(part).save(tmp_path / "b.jpg", quality=90)
    assert verify(tmp_path / "b.jpg").watermark.identity == stamp.identity


def test_other_kinds_of_pictures_are_refused(stamp, tmp_path):
    with pytest.raises(ValueError, match=r"ends in \.png"):
        write_picture(tmp_path / "a.gif", picture(), stamp)


def test_a_file_is_stamped_in_place(stamp, tmp_path):
    Image.fromarray(_sheet()).save(tmp_path / "a.png")
    stamp_file(tmp_path / "a.png", stamp)
    assert verify(tmp_path / "a.png").belong


def test_a_report_carries_over_what_its_video_says(agreed, tmp_path):
    from talk3d.trust.marking import Marks, marked_output

    about = {"avatar": "ab" * 32}
    with marked_output(tmp_path / "a.mp4", Marks(), agreed, about) as output:
        write_movie(output.path, [output.mark(picture(i)) for i in range(4)], fps=25.0)
    stamp = result_stamp(tmp_path / "a.mp4", "a sheet")
    assert stamp.composed
    assert stamp.statement["avatar"] == about["avatar"]
    assert stamp.statement["consent"] == agreed.sha256
    content = io.BytesIO()
    Image.fromarray(picture()).save(content, "PNG")
    assert b"compositeWithTrained" in stamp.sign(content.getvalue(), ".png")
    write_movie(tmp_path / "b.mp4", [picture(i) for i in range(4)], fps=25.0)
    bare = result_stamp(tmp_path / "b.mp4", "a sheet").statement
    assert "consent" not in bare
    assert "synthetic_person" not in bare


def test_a_movie_of_a_report_is_signed_and_noted(agreed, tmp_path):
    stamp = avatar_stamp(agreed, "a player")
    frames = [stamp.mark(picture(i, 256)) for i in range(12)]
    write_movie(tmp_path / "a.mp4", frames, fps=25.0)
    stamp.sign_movie(tmp_path / "a.mp4", tmp_path / "b.mp4")
    assert verify(tmp_path / "b.mp4").belong
    assert ledger_entries()[-1]["out"] == str(tmp_path / "b.mp4")


def test_previews_are_marked(agreed, tmp_path, monkeypatch):
    write_ball_subject(tmp_path / "subject", frames=5)
    record_consent(tmp_path / "subject", agreed)
    subject = Subject.open(tmp_path / "subject")
    monkeypatch.setattr(pipeline, "_PREVIEW_SECONDS", 0.0)
    monkeypatch.setattr(pipeline, "yaw_sheet", lambda _person: _sheet(7))
    preview = pipeline._Preview(tmp_path / "me.png", subject)
    preview.offer(object.__new__(Person))
    verdict = verify(tmp_path / "me.png")
    assert verdict.belong
    assert verdict.manifest is not None
    assert verdict.manifest.statement is not None
    assert verdict.manifest.statement["consent"] == agreed.sha256


def test_a_subject_without_consent_gives_marked_pictures_that_name_none(tmp_path):
    write_ball_subject(tmp_path / "subject", frames=5)
    path = tmp_path / "subject" / "subject.json"
    info = json.loads(path.read_text()) | {"synthetic": False}
    path.write_text(json.dumps(info))
    stamp = subject_stamp(Subject.open(tmp_path / "subject"), "a preview")
    assert isinstance(stamp, Stamp)
    assert "consent" not in stamp.statement


def test_forget_strikes_and_removes_pictures(bare_avatar, agreed, tmp_path):
    write_picture(bare_avatar.with_suffix(".png"), _sheet(7), avatar_stamp(agreed, "x"))
    same = avatar_stamp(agreed, "x", avatar=avatar_fingerprint(bare_avatar))
    write_picture(tmp_path / "yaw.png", _sheet(7), same)
    write_picture(tmp_path / "other.png", _sheet(7), avatar_stamp(agreed, "y"))
    planned = forget(bare_avatar, videos=True, dry_run=True)
    erasure = forget(bare_avatar, videos=True)
    assert planned.removed == erasure.removed
    assert set(erasure.removed) == {
        bare_avatar, bare_avatar.with_suffix(".png"), tmp_path / "yaw.png",
    }  # fmt: skip
    assert [e["out"] for e in ledger_entries()] == [str(tmp_path / "other.png")]
