import json

import numpy as np
import pytest

from talk3d.synthetic import facekit
from talk3d.synthetic.head import EXPRESSIONS, PARTS, load_head

SQUARE = np.array([[0, 0, 0], [2, 0, 0], [3, 3, 0], [0, 2, 0]], float)


def write_obj(path, points, polygons):
    lines = [f"v {x} {y} {z}" for x, y, z in points]
    lines += ["vt 0 0", "vt 1 0", "vt 1 1", "vt 0 1"]
    lines += ["f " + " ".join(f"{k}/{k}" for k in polygon) for polygon in polygons]
    path.write_text("\n".join(lines) + "\n")


@pytest.fixture
def model(tmp_path, monkeypatch):
    """A folder like ICT-FaceKit's: a head of one square per part."""
    monkeypatch.setattr(facekit, "_PART_POLYGONS", tuple(range(1, 20)))
    monkeypatch.setattr(facekit, "_MODES", 2)
    folder = tmp_path / "FaceXModel"
    folder.mkdir()
    polygons = [[1, 2, 3, 4]] * 19
    write_obj(folder / "generic_neutral_mesh.obj", SQUARE, polygons)
    names = ["identity000", "identity001", *EXPRESSIONS]
    for k, name in enumerate(names):
        write_obj(folder / f"{name}.obj", SQUARE + np.array([0, 0, k]), polygons)
    index = {"idx_to_landmark_verts": [3] * 68}
    (folder / "vertex_indices.json").write_text(json.dumps(index))
    return tmp_path


def test_a_model_is_packed(model):
    out = model / "packed.npz"
    facekit.import_facekit(model, out)
    head = load_head(out)
    assert (head.neutral == SQUARE.astype(np.float32)).all()
    assert (head.identity[1] == [0, 0, 1]).all()
    assert (head.expression[0] == [0, 0, 2]).all()
    # the diagonal from 1 to 3 is shorter than from 0 to 2
    assert head.triangles[:2].tolist() == [[0, 1, 3], [1, 2, 3]]
    assert head.triangle_part.tolist() == [k for k in range(len(PARTS)) for _ in "ab"]
    assert head.uv.tolist() == [[0, 0], [1, 0], [1, 1], [0, 1]]


def test_missing_files_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"lacks generic_neutral_mesh\.obj"):
        facekit.import_facekit(tmp_path, tmp_path / "out.npz")


def test_another_version_is_refused(model, monkeypatch):
    monkeypatch.setattr(facekit, "_PART_POLYGONS", tuple(range(1, 21)))
    with pytest.raises(ValueError, match="19 polygons, 20 are known"):
        facekit.import_facekit(model, model / "out.npz")
