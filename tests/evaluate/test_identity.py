"""Identity: one for the truth, less for another, and only what the matte shows."""

import numpy as np
import torch

from talk3d.encoder.network import Encoder, EncoderConfig
from talk3d.evaluate.material import Truth
from talk3d.evaluate.scores import identity_scores

SIZE = 32


def test_the_truth_is_itself_and_another_is_not():
    rng = np.random.default_rng(0)
    frames, others = rng.integers(0, 256, (2, 3, SIZE, SIZE, 3)).astype(np.uint8)
    matte = np.zeros((SIZE, SIZE), np.uint8)
    matte[8:24, 8:24] = 255
    truth = Truth(
        name="noise",
        frame=lambda k: frames[k],
        count=3,
        size=(SIZE, SIZE),
        fps=25.0,
        matte=lambda _: matte,
    )
    torch.manual_seed(0)
    model = Encoder(EncoderConfig.tiny())

    def scored(shots):
        found = identity_scores(shots, truth, moments=range(3), model=model)
        return found["matte/identity"]

    np.testing.assert_allclose(scored(lambda k: frames[k]), 1.0, atol=1e-5)
    assert (scored(lambda k: others[k]) < 0.9999).all()
    outside = np.where(matte[..., None] > 0, frames, others)
    np.testing.assert_allclose(scored(lambda k: outside[k]), 1.0, atol=1e-5)
