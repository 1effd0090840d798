"""Settings shared by all tests."""

import pytest
from hypothesis import settings

settings.register_profile("project", deadline=None, max_examples=40, derandomize=True)
settings.load_profile("project")


@pytest.fixture(scope="session", autouse=True)
def installation(tmp_path_factory):
    """A data folder of its own: tests write no ledger and no key of the user's."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TALK3D_DATA", str(tmp_path_factory.mktemp("installation")))
        yield
