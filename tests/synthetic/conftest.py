"""Heads and a renderer shared by the tests of synthetic people."""

import os
from pathlib import Path

import pytest

from talk3d.face import FaceNets
from talk3d.face_models import model_files
from talk3d.synthetic.builtin import builtin_head
from talk3d.synthetic.gl import open_context
from talk3d.synthetic.head import HEAD_VARIABLE, load_head
from talk3d.synthetic.skull import skin_surface

_NAMED = Path(os.environ[HEAD_VARIABLE]) if HEAD_VARIABLE in os.environ else None
_BESIDE = Path(__file__).parents[3] / "shared/models/ict_facekit_f16.npz"


@pytest.fixture(scope="session")
def head():
    return builtin_head()


@pytest.fixture(scope="session")
def surface(head):
    return skin_surface(head)


@pytest.fixture(scope="session")
def full_head_file():
    path = _NAMED or _BESIDE
    if not path.is_file():
        pytest.skip("no full head model: set TALK3D_HEAD to a packed ICT-FaceKit file")
    return path


@pytest.fixture(scope="session")
def full_head(full_head_file):
    return load_head(full_head_file)


@pytest.fixture(scope="session")
def opengl():
    try:
        open_context().release()
    except OSError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def nets():
    try:
        return FaceNets(model_files(offline=True))
    except FileNotFoundError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="package", autouse=True)
def _no_named_head():
    """Tests say which head they use; a user's setting must not change them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv(HEAD_VARIABLE, raising=False)
        yield
