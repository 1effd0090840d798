import numpy as np
import pytest
import torch
from scipy.ndimage import binary_erosion

from talk3d.camera import camera_rays, orbit_label, project
from talk3d.synthetic import gl
from talk3d.synthetic.builtin import builtin_head
from talk3d.synthetic.head import PARTS, rotation, to_world
from talk3d.synthetic.landmarks import landmark_points
from talk3d.synthetic.light import studio_light
from talk3d.synthetic.people import make_person, neutral_pose, pose_person
from talk3d.synthetic.renderer import Renderer
from talk3d.synthetic.skull import skin_surface
from talk3d.synthetic.talking import visible_points
from talk3d.synthetic.view import Pose

AHEAD = np.zeros(4, np.float32)
MM = 1 / 400  # world units


@pytest.fixture(scope="module")
def renderer(opengl, head):
    with Renderer(head, size=96, oversample=2) as opened:
        yield opened


def bald_seed(surface):
    """Return a person without hair, beard or glasses before the face."""
    for seed in range(400):
        looks = make_person(surface, seed).looks
        bare = looks.hair.style in ("bald", "buzz")
        if bare and looks.hair.beard == "none" and not looks.clothes.glasses:
            return seed
    pytest.fail("no bald person among 400")


def pose(turn=None):
    return Pose(neutral_pose(), AHEAD, np.eye(3) if turn is None else turn)


def test_a_missing_driver_is_one_clear_error(monkeypatch, head):
    def refuse(**_):
        raise OSError("libEGL.so not found")

    monkeypatch.setattr(gl.moderngl, "create_context", refuse)
    with pytest.raises(OSError, match=r"needs OpenGL 3.3 through EGL .*libEGL"):
        Renderer(head)


def test_includes_are_resolved():
    text = gl.source("mesh.frag")
    assert "#include" not in text
    assert text.count("struct Surface") == 1


def test_rendering_before_loading(opengl, head):
    with (
        Renderer(head, size=16, oversample=1) as fresh,
        pytest.raises(ValueError, match=r"Renderer\.load"),
    ):
        fresh.render(pose(), orbit_label(0.0, 0.0).numpy(), studio_light())


def test_a_picture_and_its_truth_agree(renderer, surface):
    renderer.load(make_person(surface, 7))
    picture = renderer.render(pose(), orbit_label(0.3, 0.1).numpy(), studio_light())
    alpha = picture.image[..., 3]
    assert ((alpha > 0) == (picture.part > 0)).all()
    assert ((picture.distance > 0) == (picture.part > 0)).all()
    assert (picture.image[alpha == 0] == 0).all()
    # the camera is 2.7 away, the head and torso are within 1 of its centre
    seen = picture.distance[picture.part > 0]
    assert seen.min() > 2.0
    assert seen.max() < 3.7
    assert {1, 2, 5, 6, 7} <= set(np.unique(picture.part))


def test_averaging_keeps_the_background_out(renderer, surface, head):
    """Against a brute force: the same samples as pixels of a picture twice as large."""
    person, label = make_person(surface, 7), orbit_label(0.3, 0.0).numpy()
    renderer.load(person)
    picture = renderer.render(pose(), label, studio_light())
    with Renderer(head, size=192, oversample=1) as fine:
        fine.load(person)
        samples = fine.render(pose(), label, studio_light())

    def blocks(array):
        parts = array.reshape(96, 2, 96, 2, *array.shape[2:])
        return np.moveaxis(parts, 2, 1).reshape(96, 96, 4, *array.shape[2:])

    covered = blocks(samples.part) > 0
    count = covered.sum(2)
    colours = blocks(samples.image[..., :3]).astype(float) * covered[..., None]
    expected = colours.sum(2) / np.maximum(count, 1)[..., None]
    assert ((count > 0) & (count < 4)).sum() > 100
    # both sides are rounded to 8 bits
    assert np.abs(picture.image[..., :3] - expected).max() <= 1.01
    assert np.abs(picture.image[..., 3] - count * 255 / 4).max() <= 0.51
    same = (blocks(samples.part) == picture.part[..., None]).all(2)
    near = np.ptp(blocks(samples.distance), axis=2) < 0.02
    chosen = same & near & (count == 4)
    assert chosen.sum() > 1000
    mean = blocks(samples.distance).mean(2)
    # float32 distances of about 3
    assert np.abs(picture.distance - mean)[chosen].max() < 1e-5


@pytest.mark.parametrize("turn", [np.eye(3), rotation(0.3, -0.2, 0.1)])
def test_normals_are_those_of_the_depth(renderer, surface, turn):
    """Normals of skin against the slope of the distance, in the head frame."""
    renderer.load(make_person(surface, bald_seed(surface)))
    label = orbit_label(0.2, 0.1)
    picture = renderer.render(pose(turn), label.numpy(), studio_light())
    size = len(picture.distance)
    origin, way = camera_rays(label[None], size)
    distance = torch.tensor(picture.distance).reshape(-1, 1)
    points = (origin[0] + way[0] * distance).reshape(size, size, 3).numpy()
    down = points[2:, 1:-1] - points[:-2, 1:-1]
    right = points[1:-1, 2:] - points[1:-1, :-2]
    slope = np.cross(down, right)
    slope /= np.linalg.norm(slope, axis=-1, keepdims=True) + 1e-12
    normal = picture.normal[1:-1, 1:-1]
    skin = picture.part[1:-1, 1:-1] == 1
    skin[60:] = False  # the neck bends between head and torso
    agree = (slope * normal).sum(-1)[skin]
    assert len(agree) > 500
    # the shader's bumps and edges of parts excepted
    assert np.median(agree) > 0.98
    nothing = picture.part == 0
    assert (picture.normal[nothing] == 0).all()


def test_the_same_call_gives_the_same_picture(renderer, surface):
    renderer.load(make_person(surface, 8))
    label = orbit_label(0.5, 0.0).numpy()
    first = renderer.render(pose(), label, studio_light())
    renderer.load(make_person(surface, 9))
    renderer.render(pose(), label, studio_light())
    renderer.load(make_person(surface, 8))
    again = renderer.render(pose(), label, studio_light())
    assert (first.image == again.image).all()
    assert (first.distance == again.distance).all()


def landmark_errors(renderer, surface, turn):
    """Return |landmark - depth buffer| in mm for the landmarks that are seen."""
    head = renderer.head
    person = make_person(surface, bald_seed(surface))
    renderer.load(person)
    points = landmark_points(head)
    errors = []
    for yaw in (-0.6, 0.0, 0.4):
        label = orbit_label(yaw, 0.05)
        shown = pose(turn)
        picture = renderer.render(shown, label.numpy(), studio_light())
        vertices = pose_person(head, person, shown.expression, shown.gaze)
        world = to_world(points.on(vertices).astype(np.float32))
        seen = visible_points(world, picture, label.numpy()) > 0
        place, distance = project(torch.tensor(world[seen]), label)
        size = len(picture.distance)
        column, row = (place.numpy() * size).astype(int).T
        # the pixel's own ray against the point's: compare along the normal's sweep
        origin, way = camera_rays(label[None], size)
        index = row * size + column
        surface_point = (
            origin[0, index]
            + way[0, index] * torch.tensor(picture.distance[row, column])[:, None]
        )
        normals = points.normals(vertices)[seen]
        gap = ((surface_point.numpy() - world[seen]) * normals).sum(1)
        errors.append(np.abs(gap) / MM)
        assert distance.min() > 0
    return np.concatenate(errors)


@pytest.mark.parametrize("turn", [np.eye(3), rotation(0.2, -0.1, 0.1)])
def test_landmarks_lie_on_the_depth_buffer(renderer, surface, turn):
    errors = landmark_errors(renderer, surface, turn)
    assert len(errors) > 600
    # a pixel is 2.6 mm wide here; across the surface only its curvature counts
    assert np.median(errors) <= 0.3


def test_landmarks_of_the_full_model(opengl, full_head):
    with Renderer(full_head, size=256, oversample=2) as renderer:
        errors = landmark_errors(renderer, skin_surface(full_head), np.eye(3))
    assert np.median(errors) <= 0.3


def test_the_label_of_a_turned_head_follows_the_head(renderer, surface):
    """A turned head seen through its head-frame label looks like an unturned one."""
    renderer.load(make_person(surface, bald_seed(surface)))
    label = orbit_label(0.0, 0.0).numpy()
    straight = renderer.render(pose(), label, studio_light())
    turned = renderer.render(pose(rotation(0.15, 0.1, -0.1)), label, studio_light())
    # the face moves with the camera; light, neck and torso do not
    top = slice(0, 60)
    both = (straight.part[top] == 1) & (turned.part[top] == 1)
    assert both.mean() > 0.3
    off = np.abs(straight.distance[top] - turned.distance[top])[both] / MM
    assert np.median(off) < 0.05
    assert np.abs(straight.distance - turned.distance)[70:].max() / MM > 5


def test_builtin_head_is_deterministic():
    assert (builtin_head().neutral == builtin_head().neutral).all()


@pytest.mark.parametrize("part", ["headneck", "teeth", "gumstongue", "scleraL"])
def test_builtin_parts_face_outward(head, part):
    triangles = head.triangles[head.triangle_part == PARTS.index(part)]
    a, b, c = (head.neutral[triangles[:, k]] for k in range(3))
    centre = (a + b + c) / 3
    # a closed or tube-like surface encloses a positive volume
    volume = ((centre - centre.mean(0)) * np.cross(b - a, c - a)).sum()
    assert volume > 0


def test_builtin_ears_face_outward(head):
    triangles = head.triangles[head.ear[head.triangles].all(1)]
    assert len(triangles) > 100
    a, b, c = (head.neutral[triangles[:, k]] for k in range(3))
    side = np.sign(a[:, 0])
    rim = np.abs(a[:, 0]) > 8.3
    assert (np.cross(b - a, c - a)[:, 0] * side)[rim].sum() > 0


def test_lips_shine_alike_however_finely_they_are_sampled(opengl, head, surface):
    lips = []
    people = [make_person(surface, seed) for seed in range(3)]
    for oversample in (2, 8):
        with Renderer(head, size=256, oversample=oversample) as fresh:
            shown = []
            for person in people:
                fresh.load(person)
                label = orbit_label(0.0, 0.0).numpy()
                shown.append(fresh.render(pose(), label, studio_light()))
        lips.append(shown)
    for coarse, fine in zip(*lips, strict=True):
        inside = binary_erosion(fine.part == 2, iterations=2)
        difference = (coarse.image.astype(float) - fine.image)[inside, :3]
        # Levels of 255; 4 to 5 where bumps finer than a sample are drawn as bumps.
        assert np.percentile(np.abs(difference), 90) < 3.0
        assert abs(difference.mean()) < 0.5
