"""Lips of a rendered person who turns and does not speak stay where they are."""

import itertools

import numpy as np

from talk3d import unposed
from talk3d.camera import orbit_label
from talk3d.face import FaceTracker
from talk3d.lips import lip_shapes
from talk3d.synthetic.light import studio_light
from talk3d.synthetic.people import make_person, neutral_pose
from talk3d.synthetic.renderer import Renderer
from talk3d.synthetic.skull import skin_surface
from talk3d.synthetic.talking import compose
from talk3d.synthetic.view import Pose

YAWS, PITCHES = np.radians([-25, -12, 0, 12, 25]), np.radians([-10, 10])
PEOPLE = (1, 2)


def test_what_slides_with_the_view_is_put_back(nets, full_head, opengl, monkeypatch):
    surface, size = skin_surface(full_head), 320
    labels = [
        orbit_label(float(yaw), float(pitch)).numpy()
        for yaw, pitch in itertools.product(YAWS, PITCHES)
    ]
    still = Pose(neutral_pose(), np.zeros(4, np.float32), np.eye(3))
    plate = np.full((size, size, 3), 128, np.uint8)
    seen = []
    with Renderer(full_head, size=size) as renderer:
        for seed in PEOPLE:
            renderer.load(make_person(surface, seed))
            for label in labels:
                picture = renderer.render(still, label, studio_light())
                tracker, image = FaceTracker(nets), compose(picture, plate)
                found = tracker.update(image)
                assert found is not None
                seen.append(found / size)
    marks = np.stack(seen).reshape(len(PEOPLE), len(labels), 478, 2)

    def strays() -> float:
        """Return how far lip points are from their mean over the views, percent."""
        lips = np.stack([lip_shapes(m, np.stack(labels)) for m in marks])
        off = (lips - lips.mean(1, keepdims=True)).reshape(-1, 40, 2)
        return float(np.linalg.norm(off, axis=-1).mean())

    put_back = strays()
    nothing = np.zeros((len(labels), 478, 2))
    monkeypatch.setattr(unposed, "view_slide", lambda *_: nothing)
    assert put_back < 0.8 * strays()
