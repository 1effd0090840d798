"""Convert the ICT Face Model Light (ICT-FaceKit, MIT licence) to one packed file.

In: the folder of the public ICT-FaceKit repository that holds ``FaceXModel``. Out: an
``.npz`` for ``talk3d.synthetic.head``. Units stay centimetres.
"""

import json
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int

from talk3d.synthetic.head import EXPRESSIONS, HeadModel, save_head

__all__ = ["import_facekit"]

_MODES = 100
_PART_POLYGONS = (
    9230, 11144, 13226, 13630, 14034, 17006, 21496, 22296, 23094, 23894, 24692, 24855,
    25018, 25033, 25048, 25176, 25304, 25844, 26384,
)  # fmt: skip
"""First polygon after each part, in the order of ``talk3d.synthetic.head.PARTS``."""
_NEUTRAL = "generic_neutral_mesh.obj"


def import_facekit(folder: Path, out: Path) -> None:
    """Pack the head model.

    Args:
        folder: the ICT-FaceKit repository, or its folder ``FaceXModel``.
        out: the ``.npz`` to write.

    Raises:
        FileNotFoundError: if the folder lacks files of the model.
        ValueError: if the files are of another version of the model.
    """
    source = folder / "FaceXModel" if (folder / "FaceXModel").is_dir() else folder
    names = [f"identity{k:03d}" for k in range(_MODES)]
    wanted = [_NEUTRAL, "vertex_indices.json"]
    wanted += [f"{name}.obj" for name in (*names, *EXPRESSIONS)]
    missing = [name for name in wanted if not (source / name).is_file()]
    if missing:
        message = (
            f"{source} lacks {missing[0]} and {len(missing) - 1} more files: give the"
            " folder of the ICT-FaceKit repository"
        )
        raise FileNotFoundError(message)
    index = json.loads((source / "vertex_indices.json").read_text())
    neutral = _vertices(source / _NEUTRAL)
    triangles, triangle_uv, part = _triangles(source / _NEUTRAL, neutral)

    def offsets(files: list[str]) -> Float[np.ndarray, "modes vertices 3"]:
        shapes = [_vertices(source / f"{name}.obj") - neutral for name in files]
        return np.stack(shapes).astype(np.float32)

    head = HeadModel(
        neutral=neutral.astype(np.float32),
        identity=offsets(names),
        expression=offsets(list(EXPRESSIONS)),
        triangles=triangles,
        triangle_uv=triangle_uv,
        triangle_part=part,
        uv=_rows(source / _NEUTRAL, "vt ")[:, :2].astype(np.float32),
        landmarks=np.array(index["idx_to_landmark_verts"], np.int64),
    )
    out.parent.mkdir(parents=True, exist_ok=True)
    save_head(out, head)


def _rows(path: Path, key: str) -> Float[np.ndarray, "rows columns"]:
    with path.open(encoding="ascii") as file:
        rows = [line.split()[1:] for line in file if line.startswith(key)]
    return np.array(rows, np.float64)


def _vertices(path: Path) -> Float[np.ndarray, "vertices 3"]:
    return _rows(path, "v ")[:, :3]


def _triangles(
    path: Path, neutral: Float[np.ndarray, "vertices 3"]
) -> tuple[
    Int[np.ndarray, "triangles 3"],
    Int[np.ndarray, "triangles 3"],
    Int[np.ndarray, " triangles"],
]:
    """Split the polygons; quadrilaterals along their shorter diagonal."""
    corners, coordinates, parts = [], [], []
    with path.open(encoding="ascii") as file:
        polygons = [line.split()[1:] for line in file if line.startswith("f ")]
    if len(polygons) != _PART_POLYGONS[-1]:
        message = (
            f"{path} has {len(polygons)} polygons, {_PART_POLYGONS[-1]} are known:"
            " give the current ICT Face Model Light"
        )
        raise ValueError(message)
    part = np.searchsorted(_PART_POLYGONS, np.arange(len(polygons)), side="right")
    for polygon, where in zip(polygons, part, strict=True):
        both = np.array([corner.split("/")[:2] for corner in polygon], np.int64) - 1
        for chosen in _fan(neutral[both[:, 0]]):
            corners.append(both[chosen, 0])
            coordinates.append(both[chosen, 1])
            parts.append(where)
    return np.stack(corners), np.stack(coordinates), np.array(parts)


def _fan(points: Float[np.ndarray, "corners 3"]) -> list[list[int]]:
    if len(points) == 4:
        first = np.linalg.norm(points[0] - points[2])
        second = np.linalg.norm(points[1] - points[3])
        if second < first:
            return [[0, 1, 3], [1, 2, 3]]
    return [[0, k, k + 1] for k in range(1, len(points) - 1)]
