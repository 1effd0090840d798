"""Tracks of faces: a newcomer is followed, if need be in the place of a lost face."""

import numpy as np

from talk3d.face import FaceNets, Roi
from talk3d.preprocess.track import _Faces

FORM = np.random.default_rng(0).uniform(-0.5, 0.5, (478, 2))
FORM[[234, 454]] = (-0.5, 0), (0.5, 0)
FORM -= FORM[:468].mean(0)


class Drawn(FaceNets):
    """Sees faces as pixels: the value is the width in tens, the column the place."""

    def __init__(self) -> None:
        """Load nothing."""

    def detect(self, image: np.ndarray, *, threshold: float = 0.5) -> list[Roi]:
        del threshold
        return [
            Roi(100.0 * x, 0.0, 10.0 * image[0, x, 0], 0.0)
            for x in np.flatnonzero(image[0, :, 0]).tolist()
        ]

    def landmarks(self, image: np.ndarray, rois) -> tuple[np.ndarray, float]:
        at = round(float(np.mean([roi.x for roi in rois])) / 100)
        width = 10.0 * image[0, at, 0]
        points = FORM * max(width, 1.0) + [100 * at, 0]
        return points.astype(np.float32), float(width > 0)


def film(*shots: tuple[int, dict[int, int]]) -> np.ndarray:
    """Return frames of shots, each a length and the width in tens at each place."""
    images = []
    for count, faces in shots:
        image = np.zeros((1, 40, 3), np.uint8)
        for place, width in faces.items():
            image[0, place] = width
        images += [image] * count
    return np.stack(images)


def followed(images: np.ndarray) -> np.ndarray:
    """Return where each track sees a face: its place, or NaN."""
    faces = _Faces(Drawn())
    for image in images:
        faces.update(image)
    return faces.finish()[:, :, :468].mean(2)[..., 0] / 100


def test_after_four_lost_faces_the_main_one_is_still_followed():
    passers = [(10, {6 * k: 4 + k}) for k in range(4)]
    places = followed(film(*passers, (50, {30: 9})))
    assert len(places) == 4
    np.testing.assert_allclose(places[0, 40:], 30, atol=0.01)
    assert np.isnan(places[0, :40]).all()
    # The smallest went, those that were shown more are kept.
    kept = sorted(np.nanmean(track).round() for track in places)
    assert kept == [6, 12, 18, 30]


def test_faces_in_sight_are_not_given_up():
    crowd = {6 * k: 4 for k in range(4)}
    places = followed(film((20, crowd), (20, crowd | {30: 9})))
    assert np.isfinite(places).all()
    assert sorted(places[:, -1].round()) == [0, 6, 12, 18]


def test_a_face_that_returns_keeps_its_track():
    places = followed(film((20, {6: 5, 12: 6}), (10, {12: 6}), (20, {6: 5, 12: 6})))
    assert len(places) == 2
    np.testing.assert_allclose(places[1, [0, 19, 31, 49]], 6, atol=0.01)
    assert np.isnan(places[1, 20:30]).all()
