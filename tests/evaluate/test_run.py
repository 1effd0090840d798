"""Whole evaluations of a drawn talker whose errors are known."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from talk3d.dataset import Subject
from talk3d.evaluate import run
from talk3d.evaluate.run import EvaluateConfig, evaluate
from talk3d.trust.identity import load_identity
from talk3d.trust.manifest import sign
from talk3d.trust.watermark import Mark

from .subjects import (
    SIZE,
    draw,
    landmarks,
    openings,
    places,
    speech,
    write_subject,
    write_video,
)

FRAMES = 200
SPOKEN = 75


@pytest.fixture(scope="module")
def subject(tmp_path_factory) -> Path:
    return write_subject(tmp_path_factory.mktemp("run") / "drawn", FRAMES)


@pytest.fixture(scope="module")
def nothing(tmp_path_factory) -> Path:
    """A folder without face networks."""
    return tmp_path_factory.mktemp("models")


def _part(subject: Path, part: range) -> tuple[np.ndarray, np.ndarray]:
    opened = Subject.open(subject)
    wave = opened.audio()[part.start * 640 : part.stop * 640]
    return np.stack([opened.frame(k) for k in part]), wave


def _judge(result, reference, out, nothing, **options):
    config = EvaluateConfig(face_models=nothing, **options)
    return evaluate(result, reference, out, config=config)


def test_the_truth_as_result_is_nearly_perfect_and_beats_every_control(
    subject, nothing, tmp_path
):
    pictures, wave = _part(subject, Subject.open(subject).test)
    result = write_video(tmp_path / "same.mkv", pictures, wave)
    report = _judge(result, subject, tmp_path / "out", nothing)
    own = report.rows["result"]
    assert report.frames == len(pictures)
    assert report.lag.removed == 0
    assert own["matte/psnr"].mean > 40
    assert own["matte/sharpness"].mean == pytest.approx(1, abs=0.05)
    for label, row in report.rows.items():
        if label not in ("result", "truth"):
            assert own["matte/psnr"].mean > row["matte/psnr"].mean, label
    assert report.rows["truth"]["full/psnr"].mean == 100


def test_the_judged_part_is_cut_from_the_whole_recording(subject, nothing, tmp_path):
    pictures, wave = _part(subject, range(FRAMES))
    result = write_video(tmp_path / "whole.mkv", pictures, wave)
    report = _judge(result, subject, tmp_path / "out", nothing, controls=())
    assert report.place.start == report.first == Subject.open(subject).test.start
    assert report.rows["result"]["full/psnr"].mean > 40


def test_a_late_result_is_told_aligned_and_shown_as_delivered(
    subject, nothing, tmp_path
):
    test = Subject.open(subject).test
    late = range(test.start - 2, test.stop - 2)
    result = write_video(tmp_path / "late.mkv", _part(subject, late)[0], None)
    report = _judge(result, subject, tmp_path / "out", nothing, controls=())
    assert report.lag.removed == 2
    assert report.lag.seconds == pytest.approx(0.08, abs=0.01)
    assert any("+0.0" in note and "late" in note for note in report.notes)
    own, delivered = report.rows["result"], report.rows["result, as delivered"]
    assert own["full/psnr"].mean > delivered["full/psnr"].mean + 3


def test_files_hold_every_number(subject, nothing, tmp_path):
    pictures, wave = _part(subject, Subject.open(subject).test)
    soft = np.stack([cv2.GaussianBlur(picture, (0, 0), 1.5) for picture in pictures])
    result = write_video(tmp_path / "soft.mkv", soft, wave)
    report = _judge(result, subject, tmp_path / "out", nothing, controls=())
    written = json.loads((tmp_path / "out" / "report.json").read_text())
    own = report.rows["result"]
    assert written["rows"]["result"]["matte/psnr"]["mean"] == own["matte/psnr"].mean
    arrays = np.load(tmp_path / "out" / "frames.npz")
    assert arrays["result/matte/psnr"].shape == (report.frames,)
    assert arrays["result/matte/psnr"].mean() == pytest.approx(own["matte/psnr"].mean)
    assert own["matte/sharpness"].mean < 0.6
    bars = {(bar.metric, bar.rival): bar.met for bar in report.bars}
    assert not bars["matte/sharpness", None]
    strips = [path.name for path in (tmp_path / "out" / "strips").rglob("*.png")]
    assert sorted(strips) == sorted(["eyes.png", "frames.png", "mouths.png"] * 2)


def test_a_marked_result_is_said_to_be_by_its_pictures_or_its_manifest(
    subject, nothing, tmp_path
):
    pictures, wave = _part(subject, Subject.open(subject).test)
    mark = Mark.of("0123456789", SIZE, SIZE)
    marked = np.stack([mark.apply(picture) for picture in pictures])
    bare = write_video(tmp_path / "bare.mp4", pictures, None)
    sign(bare, tmp_path / "signed.mp4", {"what": "a test"}, load_identity())
    results = {
        write_video(tmp_path / "marked.mkv", marked, wave): True,
        tmp_path / "signed.mp4": True,
        bare: False,
    }
    for number, (result, expected) in enumerate(results.items()):
        out = tmp_path / f"out{number}"
        report = _judge(result, subject, out, nothing, controls=())
        said = [note for note in report.notes if "--unmarked REASON" in note]
        assert len(said) == expected, result.name
        assert ("talk3d's watermark" in (out / "report.json").read_text()) == expected


def _seen(shots, count, *, nets):
    """Find landmarks as a perfect network would: by the frame that is shown."""
    opening, place = openings(SPOKEN), places(SPOKEN)
    known = draw(opening, place)[:, ::3, ::3].astype(np.int16)
    frames = [shots(k)[::3, ::3].astype(np.int16) for k in range(count)]
    which = [int(np.abs(known - one).mean(axis=(1, 2, 3)).argmin()) for one in frames]
    return (landmarks(opening, place) * SIZE)[which]


@pytest.mark.parametrize(
    ("pictures_late", "sound_late", "expected"),
    [(0, 0, 0.0), (0, 5, 0.2), (5, 5, 0.0), (5, 0, -0.2)],
)
def test_a_result_is_heard_with_its_own_sound(
    nothing, tmp_path, monkeypatch, pictures_late, sound_late, expected
):
    monkeypatch.setattr(run._Session, "_open_nets", lambda _self: object())
    monkeypatch.setattr(run._Session, "write", lambda *_: None)
    monkeypatch.setattr(run.LearnedScores, "frames", lambda *_, **__: {})
    monkeypatch.setattr(run.scores, "track", _seen)
    subject = write_subject(tmp_path / "drawn", SPOKEN)
    pictures, wave = _part(subject, range(SPOKEN))
    pictures = np.concatenate([pictures[:1].repeat(pictures_late, 0), pictures])
    wave = np.pad(wave, (640 * sound_late, 0))
    result = write_video(tmp_path / "x.mkv", pictures, wave)
    options = {"part": "all", "controls": ()}
    report = _judge(result, subject, tmp_path / "out", nothing, **options)
    assert report.lag.removed == pictures_late
    labels = ["result", *(["result, as delivered"] if pictures_late else [])]
    found = [report.rows[label]["sound/offset"].mean for label in labels]
    # within a frame: the drawn lips do not run ahead of the sound as real ones do
    assert found == pytest.approx([expected] * len(found), abs=0.04)


def test_what_cannot_be_computed_is_said(subject, nothing, tmp_path):
    pictures, _ = _part(subject, Subject.open(subject).test)
    result = write_video(tmp_path / "mute.mkv", pictures, None)
    report = _judge(result, subject, tmp_path / "out", nothing, controls=())
    assert "landmarks (LMD, lip gap, jitter)" in report.missing
    assert not any(name.startswith("lips/") for name in report.rows["result"])
    report = _judge(result, result, tmp_path / "pair", nothing, controls=())
    assert "matte" in report.missing
    assert report.rows["result"]["full/psnr"].mean == 100


def test_extra_rows_are_placed_like_the_result_and_averaged(subject, nothing, tmp_path):
    test = Subject.open(subject).test
    pictures, wave = _part(subject, test)
    result = write_video(tmp_path / "same.mkv", pictures, wave)
    place, opening = places(FRAMES)[test.start :], openings(FRAMES)[test.start :]
    rolled = [
        write_video(
            tmp_path / f"rolled{shift}.mkv",
            draw(np.roll(opening, shift), place),
            np.roll(wave, shift * 640),
        )
        for shift in (7, 15)
    ]
    config = EvaluateConfig(face_models=nothing, controls=())
    report = evaluate(
        result,
        subject,
        tmp_path / "out",
        extras={
            "rolled audio": rolled,
            "lips at rest": rolled[1:],
            "another avatar": rolled[:1],
        },
        config=config,
    )
    row = report.rows["rolled audio"]
    assert row["mouth/mae"].frames == 2 * report.frames
    assert row["mouth/mae"].mean > 2 * report.rows["result"]["mouth/mae"].mean
    bars = {(bar.metric, bar.rival): bar.met for bar in report.bars}
    assert bars["mouth/mae", "rolled audio"]
    assert bars["mouth/mae", "lips at rest"]
    assert "another avatar" in report.rows
    assert ("mouth/mae", "another avatar") not in bars


def test_another_size_is_scaled_and_said(subject, nothing, tmp_path):
    pictures, wave = _part(subject, Subject.open(subject).test)
    large = np.stack([cv2.resize(picture, (192, 192)) for picture in pictures])
    result = write_video(tmp_path / "large.mkv", large, wave)
    report = _judge(result, subject, tmp_path / "out", nothing, controls=())
    assert any("192 x 192" in note for note in report.notes)
    assert report.size == (SIZE, SIZE)


def test_another_frame_rate_is_read_at_the_reference_s_and_said(
    subject, nothing, tmp_path
):
    pictures, wave = _part(subject, Subject.open(subject).test)
    doubled = np.repeat(pictures, 2, axis=0)
    result = write_video(tmp_path / "fast.mkv", doubled, wave, fps=50)
    report = _judge(result, subject, tmp_path / "out", nothing, controls=())
    assert any("50.00 frames a second and was read at 25" in n for n in report.notes)
    assert report.frames == len(pictures)
    assert report.rows["result"]["full/psnr"].mean > 40


def test_another_shape_is_refused_in_one_sentence(subject, nothing, tmp_path):
    pictures, wave = _part(subject, Subject.open(subject).test)
    wide = np.stack([cv2.resize(picture, (192, 96)) for picture in pictures])
    result = write_video(tmp_path / "wide.mkv", wide, wave)
    with pytest.raises(ValueError, match="192 x 96 pixels but the reference"):
        _judge(result, subject, tmp_path / "out", nothing)
    assert not (tmp_path / "out").exists()


def test_too_short_a_result_is_refused(subject, nothing, tmp_path):
    pictures, _ = _part(subject, range(2))
    result = write_video(tmp_path / "short.mkv", pictures, None)
    with pytest.raises(ValueError, match="shows fewer than 3 of the"):
        _judge(result, subject, tmp_path / "out", nothing)


def test_missing_files_and_unknown_options_are_refused(subject, nothing, tmp_path):
    with pytest.raises(FileNotFoundError):
        _judge(tmp_path / "none.mp4", subject, tmp_path / "out", nothing)
    with pytest.raises(ValueError, match="controls names"):
        EvaluateConfig(controls=("truths",))
    with pytest.raises(ValueError, match="part 'tset'"):
        _judge(tmp_path / "none.mp4", subject, tmp_path, nothing, part="tset")


def test_a_place_that_cannot_be_written_is_refused_before_anything(
    subject, nothing, tmp_path, monkeypatch
):
    (tmp_path / "file").touch()
    monkeypatch.setattr(run.material, "decode", lambda *_, **__: pytest.fail("begun"))
    with pytest.raises(OSError, match="cannot be written"):
        _judge(tmp_path / "x.mp4", subject, tmp_path / "file", nothing)


def test_pictures_that_would_fill_the_disk_are_refused(
    subject, nothing, tmp_path, monkeypatch
):
    pictures, _ = _part(subject, range(10))
    result = write_video(tmp_path / "x.mkv", pictures, None)
    need = 10 * SIZE * SIZE * 3
    usage = SimpleNamespace(free=need)
    monkeypatch.setattr(run.material.shutil, "disk_usage", lambda _: usage)
    clip = run.material.decode(result, tmp_path / "x.rgb", fps=25.0)
    assert clip.raw.stat().st_size == need
    usage.free = need // 2
    with pytest.raises(OSError, match=r"GB left and .*x\.mkv take .* TMPDIR"):
        _judge(result, subject, tmp_path / "out", nothing)
    assert not (tmp_path / "out").exists()


def test_a_player_is_not_written_over_what_is_judged(subject, nothing, tmp_path):
    pictures, _ = _part(subject, range(3))
    film = write_video(tmp_path / "player.mp4", pictures, None)
    before = film.read_bytes()
    with pytest.raises(ValueError, match="is what this is made from: give another"):
        _judge(film, subject, tmp_path, nothing)
    assert film.read_bytes() == before


def test_a_report_of_something_else_is_left_and_an_own_one_replaced(
    subject, nothing, tmp_path
):
    pictures, _ = _part(subject, range(3))
    film, out = write_video(tmp_path / "film.mp4", pictures, None), tmp_path / "out"
    out.mkdir()
    page = out / "report.html"
    page.write_text("of something else")
    with pytest.raises(ValueError, match=r"report\.html is there already"):
        _judge(film, subject, out, nothing)
    assert [page.read_text(), *out.iterdir()] == ["of something else", page]
    page.unlink()
    for _ in range(2):
        _judge(film, subject, out, nothing)


def test_missing_networks_are_told_without_options_that_are_not_there(
    subject, tmp_path, monkeypatch
):
    monkeypatch.setenv("TALK3D_CACHE", str(tmp_path / "cache"))
    pictures, _ = _part(subject, Subject.open(subject).test)
    result = write_video(tmp_path / "mute.mkv", pictures, None)
    config = EvaluateConfig(controls=())
    report = evaluate(result, subject, tmp_path / "out", config=config)
    assert "--" not in " ".join(report.missing.values())
    assert "talk3d preprocess fetch them" in report.missing[run._LANDMARKS]


def test_a_longer_sound_than_speech_does_not_matter(subject, nothing, tmp_path):
    pictures, _ = _part(subject, Subject.open(subject).test)
    other = speech(openings(60, seed=9), seed=4)
    result = write_video(tmp_path / "foreign.mkv", pictures, other)
    report = _judge(result, subject, tmp_path / "out", nothing, controls=())
    assert report.place.how == "as long as the judged part"
