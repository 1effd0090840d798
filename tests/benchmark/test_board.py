"""The board: what falls, what is noise, and where rows go."""

import pytest

from talk3d.benchmark.board import (
    HEADLINES,
    Stored,
    append_row,
    fallen,
    load_board,
    save_board,
    stored,
)

ONE = dict.fromkeys(HEADLINES, 10.0)
TWO = dict.fromkeys(HEADLINES, 11.0)


def test_noise_is_two_deviations_and_never_nothing():
    board = stored([ONE, TWO])
    value = board["talking: LMD, %"]
    assert value.value == pytest.approx(10.5)
    assert value.noise == pytest.approx(2 * 0.5**0.5)
    assert stored([ONE, ONE])["talking: LMD, %"].noise == pytest.approx(0.1)
    with pytest.raises(ValueError, match="two seeds"):
        stored([ONE])


def test_only_a_loss_beyond_the_noise_falls():
    board = {
        "face PSNR, front": Stored(20.0, 0.5, 2),
        "talking: LMD, %": Stored(2.0, 0.1, 2),
    }
    fine = {"face PSNR, front": 19.6, "talking: LMD, %": 1.0}
    assert fallen(fine, board) == []
    worse = {"face PSNR, front": 25.0, "talking: LMD, %": 2.2}
    assert [line[:15] for line in fallen(worse, board)] == ["talking: LMD, %"]
    assert len(fallen({}, board)) == 2


def test_a_board_survives_its_file(tmp_path):
    board = stored([ONE, TWO])
    save_board(tmp_path / "board.json", board, "how")
    assert load_board(tmp_path / "board.json") == board
    save_board(tmp_path / "old.json", {"face PSNR, front": Stored(1.0, 1.0, 2)}, "how")
    with pytest.raises(ValueError, match="make it anew"):
        load_board(tmp_path / "old.json")
    with pytest.raises(FileNotFoundError, match="--accept"):
        load_board(tmp_path / "none.json")


def test_rows_go_below_their_own_table(tmp_path):
    page = tmp_path / "results.md"
    page.write_text("# Results\n\n| a |\n|---|\n| 1 |\n")
    append_row(page, "## Board", ONE, note="first")
    page.write_text(page.read_text() + "\n## Next\n\n| b |\n|---|\n| 2 |\n")
    append_row(page, "## Board", TWO, note="second")
    lines = page.read_text().splitlines()
    first = next(k for k, line in enumerate(lines) if line.startswith("| first"))
    assert lines[first + 1].startswith("| second | 11 |")
    assert lines[-1] == "| 2 |"
    assert lines[4] == "| 1 |"
