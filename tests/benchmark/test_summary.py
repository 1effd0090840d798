"""Bins, ratios of powers, tables and plots."""

import json
import xml.etree.ElementTree as ET

import numpy as np
import pytest

from talk3d.benchmark.groups import by_group, groups_of
from talk3d.benchmark.plot import Panel, svg
from talk3d.benchmark.summary import Pool, markdown, pool, signed_bins
from talk3d.benchmark.task import Shot
from talk3d.synthetic.people import draw_person_looks

SHOTS = (
    Shot("0", 1, -30.0, 0.0, "yaw-30"),
    Shot("1", 1, 30.0, 0.0, "yaw+30"),
    Shot("2", 1, 0.0, 0.0, "yaw+0"),
    Shot("3", 1, 0.0, 25.0, "pitch+25.0"),
)


def _pool() -> Pool:
    scores = {
        "matte/psnr": np.array([10.0, 20.0, 30.0, np.nan]),
        "face/power": np.array([1.0, 3.0, 2.0, 2.0]),
        "face/power_truth": np.array([2.0, 6.0, 2.0, 0.0]),
    }
    return Pool(SHOTS, {"ours": scores}, (0, 0, 1, 1))


def test_both_sides_share_a_bin_in_order():
    bins = _pool().bins()
    assert list(bins) == ["0°", "30°", "pitch 25°"]
    assert bins["30°"].tolist() == [0, 1]


def test_cells_are_means_and_sharpness_a_ratio_of_sums():
    pooled = _pool()
    bins = pooled.bins()
    cell = pooled.cell("ours", "matte/psnr", bins["30°"])
    assert cell is not None
    assert (cell.mean, cell.spread, cell.shots) == (15.0, 5.0, 2)
    assert pooled.cell("ours", "matte/psnr", bins["pitch 25°"]) is None
    sharp = pooled.cell("ours", "face/sharpness", bins["30°"])
    assert sharp is not None
    assert sharp.mean == pytest.approx(4 / 8)
    assert pooled.cell("ours", "face/sharpness", bins["pitch 25°"]) is None


def test_the_table_names_what_is_missing():
    text = markdown(_pool(), "matte/psnr", {"ours": "ours", "absent": "absent"})
    assert text.splitlines() == [
        "| PSNR of the person, dB | 0° | 30° | pitch 25° |",
        "|---|---|---|---|",
        "| ours | 30.00 | 15.00 | - |",
    ]
    assert markdown(_pool(), "surface/mm", {"ours": "ours"}) == ""


def test_groups_gather_the_shots_of_their_people():
    groups = [("women", "18 to 39 years", "dark skin"), ("men", "18 to 39 years")]
    lines = by_group(_pool(), groups, "ours").splitlines()
    assert "| women | 1 | 15.00 | - | - |" in lines
    assert "| men | 1 | 30.00 | - | - |" in lines
    assert "| 18 to 39 years | 2 | 20.00 | - | - |" in lines
    assert "| light skin | 0 | - | - | - |" in lines


def test_a_talkers_groups_are_those_of_their_looks(tmp_path):
    (tmp_path / "truth").mkdir()
    found = set()
    for seed in range(30):
        note = json.dumps({"config": {"seed": seed}})
        (tmp_path / "truth" / "truth.json").write_text(note)
        looks, groups = draw_person_looks(seed), groups_of(tmp_path)
        assert groups[0] == ("women" if looks.woman else "men")
        first, last = (int(groups[1].split()[k]) for k in (0, 2))
        assert first <= looks.age <= last + 1
        dark = looks.skin.melanin * 3
        assert groups[2] == ("light", "medium", "dark")[int(dark)] + " skin"
        found |= set(groups)
    assert len(found) == 8


def test_pooling_keeps_common_rows_and_the_order_of_tasks():
    one = {"ours": {"a": np.array([1.0])}, "mine": {"a": np.array([9.0])}}
    two = {"ours": {"b": np.array([2.0])}}
    pooled = pool([(SHOTS[:1], one), (SHOTS[1:2], two)])
    assert set(pooled.rows) == {"ours"}
    np.testing.assert_array_equal(pooled.rows["ours"]["a"], [1.0, np.nan])
    np.testing.assert_array_equal(pooled.rows["ours"]["b"], [np.nan, 2.0])


def test_plots_go_over_signed_yaw():
    assert list(signed_bins(_pool())) == [-30.0, 0.0, 30.0]


def test_a_plot_is_well_formed_and_places_points():
    lines = {"a & b": [(-30.0, 10.0), (30.0, 20.0)]}
    root = ET.fromstring(svg([Panel("<PSNR>", lines)], across="yaw"))
    mark = "{http://www.w3.org/2000/svg}"
    texts = [text.text for text in root.iter(f"{mark}text")]
    assert {"<PSNR>", "a & b", "yaw"} <= set(texts)
    circles = list(root.iter(f"{mark}circle"))
    assert float(circles[0].get("cx", 0)) < float(circles[1].get("cx", 0))
    # SVG counts downward: the larger value lies higher.
    assert float(circles[0].get("cy", 0)) > float(circles[1].get("cy", 0))
    with pytest.raises(ValueError, match="no line"):
        svg([], across="yaw")
