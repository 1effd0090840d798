"""Measure where the landmark network's 478 points lie on the head model.

Renders people near the front, half of them with the jaw a little open, runs the
network, casts every point onto the person's own mesh and carries it to the mean head.
The geometric median over people, made symmetric and put back on the surface, is the
face shape; mean and modes of the head model are evaluated there. A second set of
renders from wider angles tells how the network's points slide with the view; a third,
of people who talk, the same for them, and how deep the points lie.

Out: ``face_shape.safetensors`` as read by ``talk3d.face.load_face_shape``.
"""

import json
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from safetensors import safe_open
from safetensors.numpy import load_file, save_file
from scipy.optimize import linear_sum_assignment

from talk3d.camera import orbit_label, project
from talk3d.checkpoint import write_atomically
from talk3d.face import LEFT_EYE, RIGHT_EYE, FaceNets, FaceTracker
from talk3d.slide import fit_slide
from talk3d.synthetic.casting import cast_points
from talk3d.synthetic.head import (
    CM_PER_UNIT,
    EXPRESSIONS,
    PARTS,
    HeadModel,
    expression_indices,
    to_world,
)
from talk3d.synthetic.landmarks import FACE_POINTS, POINTS, closest_points
from talk3d.synthetic.light import draw_light
from talk3d.synthetic.motion import perform
from talk3d.synthetic.people import (
    Person,
    draw_person_looks,
    make_person,
    neutral_pose,
    pose_person,
)
from talk3d.synthetic.plates import draw_plate
from talk3d.synthetic.renderer import Renderer
from talk3d.synthetic.skull import Roots, skin_surface
from talk3d.synthetic.speech import make_speech
from talk3d.synthetic.talking import compose
from talk3d.synthetic.view import Pose

__all__ = ["MeasureConfig", "measure_face_shape"]

_log = logging.getLogger(__name__)

_AHEAD = np.zeros(4, np.float32)
_UPPER_LIP = (191, 80, 81, 82, 13, 312, 311, 310, 415)
_LOWER_LIP = (95, 88, 178, 87, 14, 317, 402, 318, 324)
_IDENTITY_MODES = 20
_SNAP = 0.03
"""Lid and inner lip points may miss the mesh by this share of the picture."""
_SAME = 1e-4
"""Points of one head differ by less, world units."""


@dataclass(frozen=True)
class MeasureConfig:
    """How much is rendered."""

    people: int = 96
    """People seen near the front."""
    view_people: int = 60
    """People seen from wider angles."""
    views: int = 8
    """Pictures of each of these."""
    size: int = 448
    """Pixels per side."""
    first_seed: int = 50_000
    """Seed of the first person; those with hair on the face are passed over."""


@dataclass(frozen=True)
class _Shot:
    """A picture's landmarks with the truth behind them."""

    found: np.ndarray
    """The network's points, 0 to 1."""
    vertices: np.ndarray
    """The posed person, cm."""
    label: np.ndarray
    jaw: float


def measure_face_shape(
    out: Path,
    config: MeasureConfig,
    *,
    head: HeadModel,
    nets: FaceNets,
    known: Path | None = None,
) -> None:
    """Measure the face shape and write it.

    Args:
        out: the ``.safetensors`` file to write.
        config: how much is rendered.
        head: the full head model.
        nets: the landmark network.
        known: a face shape of this head; its points and their slide are taken over, and
            only what is said of people who talk is measured.

    Raises:
        ValueError: what is known is no face shape, or one of another head.
    """
    with Renderer(head, size=config.size) as renderer:
        if known is None:
            front = list(_shots(renderer, nets, config.people, 1, config=config))
            shape, spread = _median_points(head, front)
            _log.info("the points stray by %.2f cm (median)", np.median(spread))
            wide = _wide_shots(renderer, nets, config, talking=False)
            slide = _slide(head, shape, wide, degree=2)
            source = (
                f"{config.people} rendered heads, landmark network of mediapipe 0.10.21"
            )
        else:
            shape, spread, slide, source = _known_shape(head, known)
        talking = _wide_shots(renderer, nets, config, talking=True)
    depth = np.mean([shape.on(shot.vertices)[:, 2] for shot in talking], axis=0)
    depth = (depth + depth[_mirror(shape.on(head.neutral))]) / 2
    _write(
        out,
        head,
        shape,
        measured={
            "spread": np.nan_to_num(spread, nan=float(np.nanmax(spread))) / CM_PER_UNIT,
            "slide": slide,
            "talking_slide": _slide(head, shape, talking, degree=3),
            "talking_depth": to_world(np.c_[0 * depth, 0 * depth, depth])[:, 2],
        },
        source=source,
    )


def _wide_shots(
    renderer: Renderer, nets: FaceNets, config: MeasureConfig, *, talking: bool
) -> list[_Shot]:
    people, views = config.view_people, config.views
    return list(_shots(renderer, nets, people, views, config=config, talking=talking))


def _slide(
    head: HeadModel, points: Roots, shots: list[_Shot], *, degree: int
) -> Float[np.ndarray, "terms points 2"]:
    rest = [_project_points(points, shot) for shot in shots]
    return fit_slide(
        np.stack([shot.found for shot in shots]) - np.stack(rest),
        np.stack([shot.label for shot in shots]),
        _mirror(points.on(head.neutral)),
        degree=degree,
    )


def _shots(
    renderer: Renderer,
    nets: FaceNets,
    people: int,
    views: int,
    *,
    config: MeasureConfig,
    talking: bool = False,
) -> Iterator[_Shot]:
    """Render people with a bare face and find their landmarks.

    They talk, or half of them have the jaw a little open.
    """
    surface = skin_surface(renderer.head)
    wide = views > 1
    limit = np.radians([55, 22] if wide else [15, 7])
    for number, seed in enumerate(_bare_seeds(config.first_seed, people)):
        person = make_person(surface, seed)
        renderer.load(person)
        spoken = _spoken(seed) if talking else None
        for view in range(views):
            generator = np.random.default_rng([seed, 70, views, view])
            jaw = generator.uniform(0.15, 0.4) if (number + view) % 2 else 0.0
            yaw, pitch = (float(a) for a in generator.uniform(-limit, limit))
            label = orbit_label(yaw, pitch).numpy()
            if spoken is None:
                face = neutral_pose()
                face[expression_indices("jawOpen")] = jaw
            else:
                face = generator.choice(spoken)
            shot = _shoot(renderer, nets, person, label, face=face, chance=generator)
            if shot is not None:
                yield shot


def _shoot(
    renderer: Renderer,
    nets: FaceNets,
    person: Person,
    label: np.ndarray,
    *,
    face: np.ndarray,
    chance: np.random.Generator,
) -> _Shot | None:
    pose = Pose(face, _AHEAD, np.eye(3))
    picture = renderer.render(pose, label, draw_light(chance))
    image = compose(picture, draw_plate(chance, renderer.size))
    tracker = FaceTracker(nets)
    tracker.update(image)
    found = tracker.update(image)
    if found is None:
        return None
    vertices = pose_person(renderer.head, person, face, _AHEAD)
    jaw = float(face[expression_indices("jawOpen")][0])
    return _Shot(found / renderer.size, vertices, label, jaw)


def _spoken(seed: int) -> Float[np.ndarray, "frames 53"]:
    """Return the faces of four seconds of speech."""
    generator = np.random.default_rng([seed, 71])
    return perform(make_speech(seed, 4.0), fps=25.0, generator=generator).expression


def _bare_seeds(first: int, count: int) -> list[int]:
    """Return people without beard, fringe or glasses."""
    seeds, seed = [], first
    while len(seeds) < count:
        looks = draw_person_looks(seed)
        hair = looks.hair.style in ("bald", "buzz", "short", "slick", "tied")
        bare = looks.hair.beard in ("none", "stubble") and not looks.clothes.glasses
        if hair and bare:
            seeds.append(seed)
        seed += 1
    return seeds


def _project_points(points: Roots, shot: _Shot) -> np.ndarray:
    world = to_world(points.on(shot.vertices).astype(np.float32))
    return project(torch.tensor(world), torch.tensor(shot.label))[0].numpy()


def _known_shape(
    head: HeadModel, path: Path
) -> tuple[Roots, Float[np.ndarray, " points"], Float[np.ndarray, "6 points 2"], str]:
    """Return points, how far they stray (cm), their slide, and where they are from."""
    data = load_file(path)
    if not {"triangle", "barycentric", "mean", "spread", "slide"} <= data.keys():
        raise ValueError(
            f"{path} is no face shape: give one of talk3d synth face-shape"
        )
    face = data["triangle"].astype(np.int64)
    points = Roots(
        face, head.triangles[face % len(head.triangles)], data["barycentric"]
    )
    mean = to_world(points.on(head.neutral).astype(np.float32))
    if np.abs(mean - data["mean"]).max() > _SAME:
        raise ValueError(f"{path} was measured on another head: leave out --known")
    with safe_open(path, framework="numpy") as file:
        source = (file.metadata() or {}).get("source", str(path))
    spread = data["spread"].astype(np.float64) * CM_PER_UNIT
    return points, spread, data["slide"], source


def _hits(head: HeadModel, shot: _Shot) -> np.ndarray:
    """Return where each landmark lies on the mean head, cm; NaN if it hit nothing."""
    world = to_world(shot.vertices.astype(np.float32))
    place, depth = project(torch.tensor(world), torch.tensor(shot.label))
    screen = np.c_[place.numpy(), depth.numpy()].astype(np.float64)
    part = head.triangle_part
    skin = np.flatnonzero(part <= PARTS.index("headneck"))
    eyes = np.flatnonzero(np.isin(part, [PARTS.index(f"sclera{s}") for s in "LR"]))
    upper, lower = _lips(head)
    groups = [
        (np.arange(FACE_POINTS), skin, 0.0),
        (np.array([*LEFT_EYE, *RIGHT_EYE]), skin, _SNAP),
        (np.array(_UPPER_LIP), skin[upper[skin]], _SNAP),
        (np.array(_LOWER_LIP), skin[lower[skin]], _SNAP),
        (np.arange(FACE_POINTS, POINTS), eyes, 0.0),
    ]
    result = np.full((POINTS, 3), np.nan)
    for ids, among, snap in groups:
        points = shot.found[ids].astype(np.float64)
        hit = cast_points(points, screen, head.triangles, among=among, snap=snap)
        result[ids] = hit.on(head.neutral)
    if shot.jaw == 0:
        result[[*_UPPER_LIP, *_LOWER_LIP]] = np.nan
    return result


def _lips(head: HeadModel) -> tuple[Bool[np.ndarray, " t"], Bool[np.ndarray, " t"]]:
    """Return the triangles of the upper and of the lower lip."""
    jaw = expression_indices("jawOpen")[0]
    drop = -head.expression[jaw][:, 1][head.triangles].mean(1)
    x, y, z = head.neutral[head.triangles].mean(1).T
    mouth = (z > 9) & (np.abs(x) < 3.2) & (y > -5.5) & (y < -1.5)
    return mouth & (drop < 0.9), mouth & (drop > 1.6)


def _median_points(
    head: HeadModel, shots: list[_Shot]
) -> tuple[Roots, Float[np.ndarray, " points"]]:
    """Return the face shape's points and how far they stray, cm."""
    hits = np.stack([_hits(head, shot) for shot in shots])
    middle = np.stack([_geometric_median(hits[:, k]) for k in range(POINTS)])
    away = np.linalg.norm(hits - middle, axis=2)
    spread = np.nanmedian(away, 0)
    partner = _mirror(middle)
    even = (middle + middle[partner] * [-1, 1, 1]) / 2
    part = head.triangle_part
    skin = np.flatnonzero(part <= PARTS.index("headneck"))
    eyes = np.flatnonzero(np.isin(part, [PARTS.index(f"sclera{s}") for s in "LR"]))
    upper, lower = _lips(head)
    face, weights = np.zeros(POINTS, np.int64), np.zeros((POINTS, 3))
    for ids, among in (
        (np.arange(FACE_POINTS), skin),
        (np.array(_UPPER_LIP), skin[upper[skin]]),
        (np.array(_LOWER_LIP), skin[lower[skin]]),
        (np.arange(FACE_POINTS, POINTS), eyes),
    ):
        found = closest_points(even[ids], head.neutral, head.triangles, among=among)
        face[ids], weights[ids] = found.face, found.weights
    return Roots(face, head.triangles[face], weights), spread


def _geometric_median(points: np.ndarray) -> np.ndarray:
    """Return the point with the least sum of distances (Weiszfeld 1937)."""
    known = points[~np.isnan(points[:, 0])]
    middle = np.median(known, 0)
    for _ in range(60):
        weight = 1 / np.maximum(np.linalg.norm(known - middle, axis=1), 1e-3)
        middle = (known * weight[:, None]).sum(0) / weight.sum()
    return middle


def _mirror(points: Float[np.ndarray, "points 3"]) -> Int[np.ndarray, " points"]:
    """Return the left-right partner of each point."""
    mirrored = points * [-1, 1, 1]
    cost = np.linalg.norm(points[:, None] - mirrored[None], axis=2)
    cost[:FACE_POINTS, FACE_POINTS:] = cost[FACE_POINTS:, :FACE_POINTS] = 1e3
    return linear_sum_assignment(cost + cost.T)[1]


def _write(
    out: Path,
    head: HeadModel,
    shape: Roots,
    *,
    measured: dict[str, np.ndarray],
    source: str,
) -> None:
    identity = [shape.on(mode) for mode in head.identity[:_IDENTITY_MODES]]
    expression = [shape.on(mode) for mode in head.expression]
    data = {
        "mean": to_world(shape.on(head.neutral)),
        "identity": np.stack(identity) / CM_PER_UNIT,
        "expression": np.stack(expression) / CM_PER_UNIT,
        "barycentric": shape.weights,
    } | measured
    arrays: dict[str, np.ndarray]
    arrays = {k: np.ascontiguousarray(v, np.float32) for k, v in data.items()}
    arrays["triangle"] = shape.face.astype(np.int32)
    notice = resources.files("talk3d.synthetic") / "ict_facekit_notice.txt"
    metadata = {
        "format": "talk3d face shape 1",
        "expression_names": json.dumps(EXPRESSIONS),
        "frame": "world units, head frame; identity modes in standard deviations",
        "slide": "offset (right, down) of the network's points, see fit_slide",
        "talking_slide": "the same on people who talk",
        "talking_depth": "mean z of the points on people who talk, world units",
        "source": source,
        "ict_facekit_notice": notice.read_text(encoding="utf-8"),
    }
    with write_atomically(out) as temporary:
        save_file(arrays, temporary, metadata=metadata)
