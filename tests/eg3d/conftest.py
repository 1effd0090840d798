"""Where the numbers written by the published code lie, if they are there."""

from pathlib import Path

import pytest

_FOLDER = Path(__file__).parents[2] / "../shared/fixtures/eg3d_small"


@pytest.fixture(scope="session")
def eg3d_small():
    """Folder of the small published-format network."""
    if not _FOLDER.is_dir():
        pytest.skip("the EG3D fixtures are not beside the repository")
    return _FOLDER
