import pytest
from PIL import Image

from talk3d.synthetic.sheet import count_people, people_sheet


def test_people_are_drawn_in_balance():
    counts = count_people(range(1500))
    assert all(
        sum(group.values()) in (1500, counts["sex"]["man"]) for group in counts.values()
    )
    # 1500 draws of a half scatter by 1.3 %
    assert counts["sex"]["woman"] / 1500 == pytest.approx(0.5, abs=0.05)
    assert len(counts["skin"]) == 5
    # five tones: none rarer than one in eight
    assert min(counts["skin"].values()) > 1500 / 8
    assert min(counts["age"].values()) > 1500 / 8
    assert set(counts["hair style"]) == {
        "bald", "bob", "buzz", "curly", "long", "medium", "short", "slick", "tied",
    }  # fmt: skip


def test_a_sheet_is_a_grid(opengl, tmp_path):
    out = tmp_path / "sheet.png"
    people_sheet(range(7), out, size=16)
    with Image.open(out) as image:
        assert image.size == (96, 32)
    with pytest.raises(ValueError, match="no seeds"):
        people_sheet([], out)
