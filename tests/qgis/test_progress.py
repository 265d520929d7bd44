"""Progress lines, and a percentage that never goes back."""

from __future__ import annotations

import pytest
from georeg_qgis.executable.progress import Percent, Progress, parse_progress


def test_a_progress_line_is_read() -> None:
    progress = parse_progress('{"stage": "tiles", "done": 3, "total": 12, "message": "window 3"}')
    assert progress == Progress("tiles", 3.0, 12.0, "window 3")
    assert (progress.words, progress.count) == ("Matching in detail", "3 of 12")


@pytest.mark.parametrize(
    "line",
    [
        "",
        "georeg: WARNING: no nodata",
        "{",
        "{}",
        '{"done": 1}',
        '{"stage": "tiles", "done": "x"}',
        "[1]",
        "{1: 2}",
    ],
)
def test_other_lines_are_no_progress(line: str) -> None:
    assert parse_progress(line) is None


def test_null_fields_count_as_nothing() -> None:
    assert parse_progress('{"stage": "fit", "done": null, "total": null}') == Progress("fit", 0.0, 0.0, "")


def test_the_percentage_grows_and_ends_below_100() -> None:
    percent = Percent()
    reports = [("overview", 2, 2), ("tiles", 1, 10), ("overview", 0, 2), ("tiles", 30, 10), ("report", 1, 1)]
    values = [percent.update(Progress(stage, done, total, "")) for stage, done, total in reports]
    assert values == sorted(values)
    assert values[0] == values[2] - (values[1] - values[0]) == 20
    assert values[-1] == 99


def test_what_is_written_beside_the_image_has_a_name() -> None:
    report = Progress("write", 1, 3, "report")
    assert (report.words, report.count) == ("Writing the report", "")
    done = Progress("write", 3, 3, "done")
    assert (done.words, done.count) == ("Done", "")
    image = Progress("write", 1, 3, "resampling")
    assert (image.words, image.count) == ("Writing the aligned image", "1 of 3")


def test_the_bar_goes_on_while_the_other_files_are_written() -> None:
    percent = Percent()
    steps = [(4, 4, "resampling"), (0, 3, "points"), (1, 3, "report"), (2, 3, "registration"), (3, 3, "done")]
    values = [percent.update(Progress("write", *step)) for step in steps]
    assert values == [96, 96, 97, 98, 99]


def test_an_unknown_stage_shows_its_name_and_leaves_the_bar() -> None:
    percent = Percent()
    percent.update(Progress("tiles", 1, 2, ""))
    before = percent.value
    strange = Progress("polishing_edges", 9, 10, "")
    assert percent.update(strange) == before
    assert strange.words == "Polishing edges"
