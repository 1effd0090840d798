"""The core path: speak marks, refuses and works offline; verify and forget answer."""

import json
import shlex
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.drawn import write_ball_subject
from tests.trust.conftest import picture

from talk3d import speaking
from talk3d.avatar import Avatar
from talk3d.checkpoint import file_sha256, save_model
from talk3d.cli import avatars
from talk3d.cli.main import main
from talk3d.cli.progress import Progress
from talk3d.edits import Edit
from talk3d.movie import write_movie
from talk3d.speaking import SpeakConfig, explain_frame, replay, speak
from talk3d.trust.forget import forget
from talk3d.trust.holders import replace_consent
from talk3d.trust.ledger import ledger_entries, note
from talk3d.trust.marking import Marks, label_picture
from talk3d.trust.pictures import avatar_stamp, write_picture
from talk3d.trust.verify import verify
from talk3d.video import read_frames


def _quiet(_stage, _part):
    pass


@pytest.fixture
def spoken(bare_avatar, agreed, drawn, speech, tmp_path):
    replace_consent(bare_avatar, agreed)
    speak(bare_avatar, speech, tmp_path / "out.mp4", SpeakConfig(), _quiet)
    return tmp_path / "out.mp4"


def test_what_is_spoken_is_marked_twice_and_both_belong_together(spoken, agreed):
    verdict = verify(spoken)
    assert verdict.manifest is not None
    assert verdict.manifest.valid
    assert verdict.here
    assert verdict.belong
    assert verdict.manifest.statement is not None
    assert verdict.manifest.statement["consent"] == agreed.sha256
    assert verdict.sentences()[-1] == "So: made with talk3d, and unchanged since."


def test_the_mark_tells_when_the_metadata_are_gone(spoken, tmp_path):
    bare = tmp_path / "bare.mp4"
    write_movie(bare, list(read_frames(spoken)), fps=25.0)
    verdict = verify(bare)
    assert verdict.manifest is None
    assert verdict.watermark.found
    assert verdict.known_as == str(spoken)
    assert "encoded again" in verdict.sentences()[-1]


def test_edits_are_told(spoken, tmp_path):
    from talk3d.trust.identity import load_identity
    from talk3d.trust.manifest import sign

    bare = tmp_path / "bare.mp4"
    write_movie(bare, list(read_frames(spoken)), fps=25.0)
    edit = Edit(smile=0.5, years=20.0).told()
    sign(bare, tmp_path / "old.mp4", {"what": "a head"} | edit, load_identity())
    said = " ".join(verify(tmp_path / "old.mp4").sentences())
    assert "a person it does not name, edited (smile +0.5, years +20), made" in said


def test_a_manifest_from_another_video_is_noticed(spoken, tmp_path, agreed):
    from talk3d.trust.identity import load_identity
    from talk3d.trust.manifest import sign

    bare = tmp_path / "bare.mp4"
    write_movie(bare, list(read_frames(spoken)), fps=25.0)
    sign(bare, tmp_path / "lie.mp4", {"what": "else"}, load_identity())
    verdict = verify(tmp_path / "lie.mp4")
    assert verdict.belong is False
    assert "two different videos" in verdict.sentences()[-1]


def test_a_strangers_signature_over_our_mark_is_not_called_ours(
    spoken, tmp_path, monkeypatch
):
    from talk3d.trust.identity import load_identity
    from talk3d.trust.manifest import sign

    bare = tmp_path / "bare.mp4"
    write_movie(bare, list(read_frames(spoken)), fps=25.0)
    with monkeypatch.context() as elsewhere:
        elsewhere.setenv("TALK3D_IDENTITY", str(tmp_path / "stranger"))
        sign(bare, tmp_path / "lie.mp4", {"what": "else"}, load_identity())
    verdict = verify(tmp_path / "lie.mp4")
    said = " ".join(verdict.sentences())
    assert not verdict.here
    assert "self-signed: nobody you named vouches" in said
    assert f"This installation wrote it, as {spoken}." in said


def test_our_signature_is_known_wherever_the_identity_lies(tmp_path, monkeypatch):
    from talk3d.trust.identity import load_identity
    from talk3d.trust.manifest import sign

    monkeypatch.setenv("TALK3D_IDENTITY", str(tmp_path / "keys"))
    bare = tmp_path / "bare.mp4"
    write_movie(bare, [picture(i) for i in range(6)], fps=25.0)
    sign(bare, tmp_path / "ours.mp4", {"what": "ours"}, load_identity())
    verdict = verify(tmp_path / "ours.mp4")
    assert verdict.here
    assert "trusted: signed by this installation" in verdict.sentences()[0]


def test_an_ordinary_movie_is_not_accused(tmp_path):
    path = tmp_path / "plain.mp4"
    write_movie(path, [picture(i) for i in range(30)], fps=25.0)
    verdict = verify(path)
    assert verdict.manifest is None
    assert not verdict.watermark.found
    assert verdict.sentences()[-1].startswith("So: nothing says")


def test_a_whole_frame_needs_the_avatars_own_video(
    bare_avatar, agreed, drawn, speech, tmp_path, monkeypatch
):
    replace_consent(bare_avatar, agreed)
    config = SpeakConfig(into=speech)
    out = tmp_path / "out.mp4"
    with pytest.raises(ValueError, match="does not know its place in a video"):
        speak(bare_avatar, speech, out, config, _quiet)
    loaded = speaking.load_avatar(bare_avatar)
    loaded.info |= {"place": [0, 0, 64, 0.0], "source": "another", "name": "me.mp4"}
    monkeypatch.setattr(speaking, "load_avatar", lambda *_, **__: loaded)
    with pytest.raises(ValueError, match=r"was made from \(me.mp4\)"):
        speak(bare_avatar, speech, out, config, _quiet)
    assert not out.exists()


def test_what_a_video_is_made_from_is_never_replaced(
    bare_avatar, agreed, drawn, speech, tmp_path
):
    replace_consent(bare_avatar, agreed)
    film = tmp_path / "me.mp4"
    film.write_bytes(b"the recording")
    before = {path: path.read_bytes() for path in (bare_avatar, speech, film)}
    said = "is what this is made from: give another -o"
    for out, config in (
        (bare_avatar, SpeakConfig()),
        (speech, SpeakConfig()),
        (film, SpeakConfig(into=film)),
        (film, SpeakConfig(background=str(film))),
    ):
        with pytest.raises(ValueError, match=said):
            speak(bare_avatar, speech, out, config, _quiet)
    for out in (bare_avatar, speech):
        with pytest.raises(ValueError, match=said):
            explain_frame(bare_avatar, speech, out, 0)
    with pytest.raises(ValueError, match=said):
        replay(bare_avatar, tmp_path, bare_avatar)
    assert {path: path.read_bytes() for path in before} == before


def test_the_recording_of_somebody_else_is_not_replayed(
    bare_avatar, agreed, drawn, tmp_path
):
    replace_consent(bare_avatar, agreed)
    subject = write_ball_subject(tmp_path / "subject", frames=10)
    out = tmp_path / "out.mp4"
    with pytest.raises(ValueError, match=r"was not made from .*: give the subject"):
        replay(bare_avatar, subject.path, out)
    assert not out.exists()


def test_its_own_recording_is_replayed(agreed, tmp_path, monkeypatch):
    subject = write_ball_subject(tmp_path / "subject", frames=90, size=64)
    bare_avatar, parents = tmp_path / "own", {"subject": subject.fingerprint()}
    state = {"motion.a": torch.zeros(1)}
    save_model(bare_avatar, state, kind="avatar", config={}, parents=parents)
    replace_consent(bare_avatar, agreed)
    own = object.__new__(Avatar)
    own.plate = torch.full((3, 64, 64), 90, dtype=torch.uint8)

    def replayed(_self, _wave, part):
        return [np.full((64, 64, 4), 255, np.uint8) for _ in part]

    monkeypatch.setattr(Avatar, "replay", replayed)
    monkeypatch.setattr(speaking, "load_avatar", lambda *_, **__: own)
    replay(bare_avatar, subject.path, tmp_path / "out.mp4")
    assert len(list(read_frames(tmp_path / "out.mp4"))) == len(subject.test)


def test_leaving_the_marks_out_is_noted(bare_avatar, agreed, drawn, speech, tmp_path):
    replace_consent(bare_avatar, agreed)
    config = SpeakConfig(marks=Marks(unmarked="to measure"))
    speak(bare_avatar, speech, tmp_path / "out.mp4", config, _quiet)
    assert not verify(tmp_path / "out.mp4").watermark.found
    noted, done = ledger_entries()
    assert (noted["event"], noted["reason"]) == ("unmarked", "to measure")
    assert (done["event"], done["out"]) == ("written", noted["out"])
    assert done["sha256"] == file_sha256(tmp_path / "out.mp4")
    config = SpeakConfig(marks=Marks(unmarked=" "))
    with pytest.raises(ValueError, match="needs a reason"):
        speak(bare_avatar, speech, tmp_path / "none.mp4", config, _quiet)
    assert not (tmp_path / "none.mp4").exists()


@pytest.mark.parametrize(
    ("change", "purpose", "message"),
    [
        ({"expires": "2026-02-01"}, "private", "expired"),
        ({}, "commercial", "not commercial"),
        ({"speeches": ("aa",)}, "private", "none of them"),
    ],
)
def test_speak_keeps_to_the_consent(
    bare_avatar, agreed, drawn, speech, tmp_path, change, purpose, message
):
    replace_consent(bare_avatar, replace(agreed, **change))
    config = SpeakConfig(marks=Marks(purpose=purpose))
    with pytest.raises(ValueError, match=message):
        speak(bare_avatar, speech, tmp_path / "out.mp4", config, _quiet)
    assert not (tmp_path / "out.mp4").exists()


def test_the_command_line_says_whose_avatar_it_is(
    bare_avatar, agreed, drawn, speech, tmp_path, capsys
):
    replace_consent(bare_avatar, agreed)
    out = tmp_path / "out.mp4"
    words = ["speak", str(bare_avatar), str(speech), "-o", str(out), "--label"]
    assert main(words) == 0
    assert "Ann: consent of 2026-01-02" in capsys.readouterr().out
    assert main(["verify", str(out), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["belong"] is True


def test_create_without_consent_is_refused(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(sys.stdin, "isatty", lambda: False, raising=False)
    out = tmp_path / "x.safetensors"
    (tmp_path / "x.mp4").touch()
    assert main(["create", str(tmp_path / "x.mp4"), "-o", str(out)]) == 2
    assert "whose face is this?" in capsys.readouterr().err


def test_an_end_of_the_answers_is_told_in_one_sentence(tmp_path, capsys, monkeypatch):
    answers = iter(["Ann"])

    def answer(_question):
        try:
            return next(answers)
        except StopIteration:
            raise EOFError from None

    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    monkeypatch.setattr("builtins.input", answer)
    out = tmp_path / "x.safetensors"
    (tmp_path / "x.mp4").touch()
    assert main(["create", str(tmp_path / "x.mp4"), "-o", str(out)]) == 2
    said = capsys.readouterr().err.splitlines()
    assert said == [f"talk3d: {said[0].removeprefix('talk3d: ')}"]
    assert "the questions were not answered" in said[0]


def test_the_command_that_goes_on_can_be_pasted(tmp_path, monkeypatch):
    hints = []

    class Stopped(Progress):
        def __init__(self, hint):
            hints.append(hint)
            super().__init__(hint)

    words = ["create", str(tmp_path / "my film.mp4"), "-o", "x.safetensors"]
    words.append("--synthetic")
    (tmp_path / "my film.mp4").touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(avatars, "Progress", Stopped)
    monkeypatch.setattr(sys, "argv", ["talk3d", *words])
    assert main(words) == 2
    command = hints[0].partition("goes on: ")[2]
    assert shlex.split(command) == ["talk3d", *words]


def test_the_label_is_seen():
    plain = picture(size=256)
    labelled = label_picture(plain)
    changed = (labelled != plain).any(-1)
    rows, columns = np.nonzero(changed)
    assert rows.min() > 200
    assert columns.max() < 128
    assert (labelled[changed] > 200).mean() > 0.05


def test_nothing_leaves_the_machine(
    bare_avatar, agreed, drawn, speech, tmp_path, monkeypatch
):
    def refuse(*_args, **_kwargs):
        raise AssertionError("something reached for the network")

    for name in ("connect", "connect_ex", "sendto"):
        monkeypatch.setattr(socket.socket, name, refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    replace_consent(bare_avatar, agreed)
    speak(bare_avatar, speech, tmp_path / "out.mp4", SpeakConfig(), _quiet)
    assert verify(tmp_path / "out.mp4").belong


def test_signing_and_reading_work_without_any_network_device(tmp_path, data):
    # native code is not held by patched sockets, a name space without devices is
    cut = ["unshare", "-rn"]
    try:
        done = subprocess.run([*cut, "true"], capture_output=True, check=False)
    except FileNotFoundError:
        pytest.skip("unshare is not installed")
    if done.returncode:
        pytest.skip("this system does not allow new network name spaces")
    path = tmp_path / "plain.mp4"
    write_movie(path, [picture(i) for i in range(6)], fps=25.0)
    code = (
        "import sys; from pathlib import Path\n"
        "from talk3d.trust.identity import load_identity\n"
        "from talk3d.trust.manifest import read_manifest, sign\n"
        "a, b = map(Path, sys.argv[1:])\n"
        "sign(a, b, {'x': 1}, load_identity())\n"
        "assert read_manifest(b, load_identity().authority).trusted\n"
    )
    words = [*cut, sys.executable, "-c", code, path, tmp_path / "signed.mp4"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_forget_removes_all_of_a_person_and_nothing_else(spoken, bare_avatar, tmp_path):
    work = tmp_path / "elsewhere"
    write_ball_subject(work / "subject", frames=5)
    (work / "run.json").write_text('{"video": "a", "prior": "b", "config": {}}')
    (work / "mine.txt").write_text("not made by talk3d")
    bare_avatar.with_suffix(".state").write_bytes(b"x")
    sheet = np.hstack([picture(i) for i in range(7)])
    write_picture(bare_avatar.with_suffix(".png"), sheet, avatar_stamp(None, "x"))
    video = tmp_path / "me.mp4"
    video.write_bytes(b"the recording")
    places = {"avatar_path": str(bare_avatar), "work": str(work)}
    note("created", source=str(video), **places)
    note("unmarked", reason="why not", out="gone.mp4", **places)
    note("spoke", out="other.mp4", avatar="someone else")

    planned = forget(bare_avatar, dry_run=True)
    assert bare_avatar.exists()
    erasure = forget(bare_avatar)
    assert set(planned.removed) <= set(erasure.removed)
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "data", "elsewhere", "me.mp4", "out.mp4", "speech.wav",
    ]  # fmt: skip
    assert [p.name for p in work.iterdir()] == ["mine.txt"]
    assert {work / "mine.txt", video, spoken} <= set(erasure.left)
    left = ledger_entries()
    assert [e["event"] for e in left] == ["unmarked", "spoke"]
    assert set(left[0]) == {"time", "event", "reason"}
    assert left[1]["avatar"] == "someone else"


def test_forget_removes_videos_when_asked(spoken, bare_avatar):
    forget(bare_avatar, videos=True)
    assert not spoken.exists()


def test_forget_leaves_what_took_a_videos_place(spoken, bare_avatar):
    spoken.write_bytes(b"my holiday")
    erasure = forget(bare_avatar, videos=True)
    assert spoken.read_bytes() == b"my holiday"
    assert spoken in erasure.left


def test_the_recording_is_not_spoken_over(agreed, drawn, speech, tmp_path):
    film, avatar = tmp_path / "me.mp4", tmp_path / "a.safetensors"
    film.write_bytes(b"the recording")
    extra = {"source": file_sha256(film)}
    save_model(avatar, {"a": torch.ones(2)}, kind="avatar", config={}, extra=extra)
    replace_consent(avatar, agreed)
    with pytest.raises(ValueError, match=r"is the video that .* was made from"):
        speak(avatar, speech, film, SpeakConfig(), _quiet)
    with pytest.raises(ValueError, match=r"is the video that .* was made from"):
        replay(avatar, tmp_path, film)
    assert film.read_bytes() == b"the recording"


def test_the_exit_status_tells_what_is_unchanged(spoken, tmp_path, capsys):
    assert main(["verify", str(spoken)]) == 0
    plain = tmp_path / "plain.mp4"
    write_movie(plain, [picture(i) for i in range(30)], fps=25.0)
    assert main(["verify", str(plain)]) == 3
    capsys.readouterr()
    assert main(["verify", str(spoken), "--trust", str(plain)]) == 2
    assert "holds no certificate: give a PEM file" in capsys.readouterr().err


def test_forget_leaves_what_is_not_ours(tmp_path):
    (tmp_path / "holiday").mkdir()
    (tmp_path / "holiday" / "a.jpg").write_bytes(b"x")
    with pytest.raises(ValueError, match="is left alone"):
        forget(tmp_path / "holiday")
    assert (tmp_path / "holiday" / "a.jpg").exists()
    with pytest.raises(FileNotFoundError, match="nothing at"):
        forget(Path(tmp_path / "nothing"))
