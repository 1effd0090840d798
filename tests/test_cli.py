"""The command line: quick help, exit statuses, one clear sentence for bad input."""

import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile

from talk3d import checkpoint, speaking
from talk3d.cli import main as main_module
from talk3d.cli.avatars import COMMANDS
from talk3d.cli.main import main
from talk3d.cli.workshop import GROUPS
from talk3d.demo import shipped
from talk3d.edits import Edit
from talk3d.speaking import SpeakConfig
from talk3d.trust.marking import Marks


def _run(*words):
    return main([str(word) for word in words])


def test_help_imports_no_torch():
    code = (
        "import sys\nfrom talk3d.cli.main import main\n"
        "try:\n main(['--help'])\nexcept SystemExit: pass\n"
        "sys.exit('torch' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0
    assert "create" in done.stdout


@pytest.mark.parametrize("group", ["synth", "speech", "prior", "benchmark"])
def test_the_help_of_a_group_says_what_it_is_for(capsys, group):
    with pytest.raises(SystemExit):
        _run(group, "--help")
    lines = capsys.readouterr().out.strip().splitlines()
    assert lines[0].startswith(f"usage: talk3d {group}")
    assert lines[2].endswith(".")


def test_nothing_is_said_where_nobody_reads_on():
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [sys.executable, "-m", "talk3d.cli.main", "prior", "--help"],
        stdout=writer,
        stderr=subprocess.PIPE,
        check=False,
    )
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, b"")


@pytest.fixture
def speech(tmp_path):
    soundfile.write(tmp_path / "speech.wav", np.zeros(8000, np.float32), 16_000)
    return tmp_path / "speech.wav"


def _bad(capsys, *words):
    assert _run(*words) == 2
    text = capsys.readouterr().err.strip().splitlines()[-1]
    assert text.startswith("talk3d: ")
    return text


def test_a_missing_avatar_is_named(capsys, tmp_path, speech):
    text = _bad(capsys, "speak", tmp_path / "no.safetensors", speech, "-o", "x.mp4")
    assert "no.safetensors" in text


def test_a_damaged_avatar_is_refused(capsys, tmp_path, speech):
    path = tmp_path / "bad.safetensors"
    path.write_bytes(b"not a model")
    text = _bad(capsys, "speak", path, speech, "-o", tmp_path / "x.mp4")
    assert "is not a talk3d model" in text
    assert not (tmp_path / "x.mp4").exists()


def test_another_kind_of_model_is_refused(capsys, tmp_path, speech):
    path = tmp_path / "prior.safetensors"
    checkpoint.save_model(path, {}, kind="prior", config={})
    text = _bad(capsys, "speak", path, speech, "-o", tmp_path / "x.mp4")
    assert "holds a prior where an avatar is needed" in text


@pytest.mark.parametrize(
    ("name", "content"),
    [("empty.mp4", b""), ("text.mp4", b"hello, I am no video\n" * 40)],
)
def test_what_is_no_video_is_refused(capsys, tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    prior = tmp_path / "prior.safetensors"
    checkpoint.save_model(prior, {}, kind="prior", config={})
    out = tmp_path / "me.safetensors"
    words = ("create", tmp_path / name, "-o", out, "--prior", prior)
    text = _bad(capsys, *words, "--synthetic")
    assert name in text
    assert not out.exists()


def test_a_missing_video_is_named(capsys, tmp_path):
    prior = tmp_path / "prior.safetensors"
    checkpoint.save_model(prior, {}, kind="prior", config={})
    words = ("create", tmp_path / "no.mp4", "-o", tmp_path / "me.safetensors")
    assert "no video at" in _bad(capsys, *words, "--prior", prior, "--synthetic")


def test_unknown_seeds_are_refused(capsys, tmp_path):
    words = ("synth", "people", "many", "-o", tmp_path / "x.png")
    assert "'many'" in _bad(capsys, *words)


def test_info_says_what_a_file_is(capsys, tmp_path):
    path = tmp_path / "prior.safetensors"
    checkpoint.save_model(path, {}, kind="prior", config={"a": 1}, step=7)
    assert _run("info", path) == 0
    assert '"kind": "prior"' in capsys.readouterr().out


def test_the_version_is_that_of_the_package(capsys):
    from talk3d import __version__

    assert _run("--version") == 0
    assert capsys.readouterr().out.strip() == __version__


def test_doctor_says_something_of_everything(capsys):
    assert _run("doctor") == 0
    text = capsys.readouterr().out
    for word in ("torch", "CUDA", "bfloat16", "face networks", "synthetic"):
        assert word in text


@pytest.mark.parametrize(
    "error",
    [
        FloatingPointError("the loss is nan at step 7"),
        ImportError("this needs moderngl: install talk3d[synth]"),
    ],
)
def test_what_is_meant_for_the_user_is_one_sentence(capsys, monkeypatch, error):
    monkeypatch.setitem(COMMANDS, "doctor", _raising(error))
    assert _bad(capsys, "doctor") == f"talk3d: {error}"


def test_a_module_that_is_not_there_is_a_defect(monkeypatch):
    missing = ModuleNotFoundError("No module named 'torch'", name="torch")
    monkeypatch.setitem(COMMANDS, "doctor", _raising(missing))
    with pytest.raises(ModuleNotFoundError):
        _run("doctor")


def _raising(error):
    def command() -> None:
        raise error

    return command


def test_memory_is_left_alone_where_there_is_no_glibc(monkeypatch):
    def refuse(_name):
        raise TypeError("no library without a name on Windows")

    monkeypatch.setattr(main_module.sys, "platform", "win32")
    monkeypatch.setattr(main_module.ctypes, "CDLL", refuse)
    main_module._keep_memory()


def test_commands_in_the_readme_exist():
    readme = (Path(__file__).parents[1] / "README.md").read_text()
    known = set(COMMANDS) | set(GROUPS)
    lines = [line.strip() for line in readme.splitlines()]
    used = [line.split()[1] for line in lines if line.startswith("talk3d ")]
    assert used
    assert set(used) <= known


def test_options_of_speak_arrive(tmp_path, monkeypatch):
    given = []
    monkeypatch.setattr(speaking, "speak", lambda *args, **_: given.append(args[:4]))
    avatar, out = shipped("speaker.safetensors"), tmp_path / "x.mp4"
    options = "--smile 0.5 --years -10 --articulation 1.4 --view 30,0 --seed 3 --label"
    _run("speak", avatar, "a.wav", "-o", out, *options.split())
    config = SpeakConfig(
        view="30,0", seed=3, edit=Edit(0.5, -10.0, 1.4), marks=Marks(label=True)
    )
    assert given == [(avatar, Path("a.wav"), out, config)]


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ({}, "1000"),
        ({"GOMP_SPINCOUNT": "7"}, "7"),
        ({"OMP_WAIT_POLICY": "ACTIVE"}, None),
    ],
)
def test_threads_wait_briefly_unless_the_user_says_otherwise(
    monkeypatch, given, wanted
):
    for name in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY"):
        monkeypatch.delenv(name, raising=False)
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(main_module.os, "environ", dict(main_module.os.environ))
    main_module._wait_briefly()
    assert main_module.os.environ.get("GOMP_SPINCOUNT") == wanted


def test_what_the_system_refuses_is_a_sentence(capsys, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    text = _bad(capsys, "demo", "-o", tmp_path / "file" / "demo")
    assert "demo lies in a file where a folder is needed" in text

    def denied():
        raise PermissionError(errno.EACCES, "no", str(tmp_path / "out" / ".x-123.mp4"))

    monkeypatch.setitem(COMMANDS, "info", denied)
    text = _bad(capsys, "info")
    assert text.startswith(f"talk3d: {tmp_path / 'out'} may not be used by you")


@pytest.mark.parametrize(("name", "options"), [("b.avi", ()), ("b.mp4", ("--alpha",))])
def test_a_video_of_another_name_is_refused_first(
    capsys, tmp_path, speech, name, options
):
    out, speaker = tmp_path / name, shipped("speaker.safetensors")
    text = _bad(capsys, "speak", speaker, speech, "-o", out, *options)
    assert (
        text
        == f"talk3d: cannot write {out}: give a name in .mp4, or with --alpha in .mov"
    )


def test_being_terminated_tidies_up(monkeypatch):
    tidied = []

    def waiting():
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(5)
        finally:
            tidied.append(True)

    before = signal.getsignal(signal.SIGTERM)
    monkeypatch.setitem(COMMANDS, "info", waiting)
    assert main(["info"]) == 143
    assert tidied
    assert signal.getsignal(signal.SIGTERM) is before
