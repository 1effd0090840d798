"""Score rows with networks: identity; with the user's weights LPIPS, FID, KID, SyncNet.

What was not given is named in `LearnedScores.missing`; nothing is put in its place.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float

from talk3d.encoder.network import load_encoder, shipped_encoder
from talk3d.evaluate.inception import load_inception
from talk3d.evaluate.material import Shots, Truth
from talk3d.evaluate.perceptual import load_lpips
from talk3d.evaluate.scores import (
    PerFrame,
    Score,
    Track,
    identity_scores,
    perceptual_scores,
)
from talk3d.evaluate.sets import frechet_distance, kernel_distance, kernel_spread
from talk3d.evaluate.syncnet import load_syncnet

__all__ = ["LearnedScores", "set_scores"]

_SEED = 0


class LearnedScores:
    """The networks that were given.

    Args:
        lpips: Files of AlexNet and of LPIPS; None leaves LPIPS out.
        inception: File of Inception; None leaves FID and KID out.
        syncnet: File of SyncNet; None leaves its sync out.

    Raises:
        FileNotFoundError: A file is absent.
        ValueError: It holds something else.
    """

    def __init__(
        self,
        lpips: tuple[Path, Path] | None,
        inception: Path | None,
        syncnet: Path | None = None,
    ) -> None:
        self._lpips = None if lpips is None else load_lpips(*lpips)
        self._inception = None if inception is None else load_inception(inception)
        self._syncnet = None if syncnet is None else load_syncnet(syncnet)
        file = shipped_encoder()
        self._encoder = None if file is None else load_encoder(file)

    @property
    def missing(self) -> dict[str, str]:
        """What is not computed, and why."""
        given = {
            "LPIPS": self._lpips,
            "FID, KID": self._inception,
            "SyncNet": self._syncnet,
        }
        absent = {
            name: "no weights were given"
            for name, network in given.items()
            if network is None
        }
        if self._encoder is None:
            absent["identity"] = "this installation lacks the encoder"
        return absent

    def frames(self, shots: Shots, truth: Truth, *, moments: Sequence[int]) -> PerFrame:
        """Measure identity of a row per frame, and LPIPS if it was given."""
        found: PerFrame = {}
        if self._encoder is not None and truth.matte is not None:
            found |= identity_scores(shots, truth, moments=moments, model=self._encoder)
        if self._lpips is not None:
            found |= perceptual_scores(shots, truth, moments=moments, model=self._lpips)
        return found

    def sync(
        self, shots: Shots, track: Track, heard: np.ndarray | None, *, fps: float
    ) -> dict[str, float]:
        """Measure lips and sound of a row by SyncNet, if it was given."""
        if self._syncnet is None or heard is None:
            return {}
        score = self._syncnet.judge(shots, track, heard, fps=fps)
        if score is None:
            return {}
        return {f"syncnet/{name}": value for name, value in vars(score).items()}

    def features(
        self, shots: Shots, count: int
    ) -> Float[np.ndarray, "frames features"] | None:
        """Describe the whole pictures of a row by Inception, if it was given."""
        if self._inception is None:
            return None
        return self._inception.features(
            shots(k).astype(np.float32) / 255 for k in range(count)
        )


def set_scores(
    result: Float[np.ndarray, "frames features"] | None,
    truth: Float[np.ndarray, "frames features"] | None,
) -> dict[str, Score]:
    """Compare all frames of a row with all of the truth: FID and KID.

    KID's spread is over subsets, drawn from a fixed seed.
    """
    if result is None or truth is None:
        return {}
    count = len(result)
    fid, kid = frechet_distance(result, truth), kernel_distance(result, truth)
    chance = np.random.default_rng(_SEED)
    spread = kernel_spread(result, truth, generator=chance)
    return {
        "full/fid": Score(fid, 0.0, fid, fid, count),
        "full/kid": Score(kid, spread, kid, kid, count),
    }
