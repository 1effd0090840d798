"""Nothing leaves the machine: the whole path runs with the network cut off."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from talk3d.face_models import model_files

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def own_space():
    """The words that cut a command off from all network devices; none if refused."""
    words = ["unshare", "--user", "--map-root-user", "--net"]
    try:
        done = subprocess.run([*words, "true"], capture_output=True, check=False)
    except FileNotFoundError:
        return []
    return [] if done.returncode else words


def _cut_off(folder, what, own_space):
    words = [*own_space, sys.executable, "-m", "tests.trust.cut_off", folder, what]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads((folder / "tries.json").read_text()), done.stdout


def test_tries_are_noticed(tmp_path, own_space):
    # else the silence of the next test would prove nothing
    found, _ = _cut_off(tmp_path, "probe", own_space)
    assert any(tried.startswith("socket.") for tried in found["tries"])
    if own_space:
        assert found["unrouted"] > 0


@pytest.mark.timeout(900)
def test_the_whole_path_works_and_tries_nothing(tmp_path, own_space):
    try:
        model_files(offline=True)
    except FileNotFoundError as error:
        pytest.skip(f"the face networks were never fetched: {error}")
    found, said = _cut_off(tmp_path, "path", own_space)
    assert found["states"] == {"create": 0, "speak": 0, "verify": 0, "forget": 0}
    assert found["tries"] == []
    if own_space:
        assert found["unrouted"] == 0
    assert '"belong": true' in said
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "data", "out.mp4", "speech.wav", "tries.json",
    ]  # fmt: skip


def test_the_only_fetch_is_announced_and_can_be_forbidden(
    tmp_path, monkeypatch, caplog
):
    started = []

    def pip(command, **_):
        started.append((command, [r.getMessage() for r in caplog.records]))
        return subprocess.CompletedProcess(command, 1, "", "no network")

    monkeypatch.setattr(subprocess, "run", pip)
    monkeypatch.setenv("TALK3D_CACHE", str(tmp_path))
    with pytest.raises(FileNotFoundError, match="offline was asked for"):
        model_files(offline=True)
    assert not started
    with pytest.raises(FileNotFoundError, match="no network"):
        model_files()
    ((command, said),) = started
    assert "mediapipe==0.10.21" in command
    assert any("fetching the face networks" in line for line in said)
