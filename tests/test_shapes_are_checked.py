"""A canary: under pytest a wrong shape must raise."""

import jaxtyping
import pytest
import torch

from talk3d import camera


def test_a_wrong_shape_is_refused():
    with pytest.raises(jaxtyping.TypeCheckError):
        camera.pack_label(torch.zeros(4, 3), torch.zeros(3, 3))
