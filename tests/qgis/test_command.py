"""Argument lists: what the form says reaches georeg, in the order MOVING REFERENCE OUTPUT."""

from __future__ import annotations

import pytest
from georeg_qgis.executable.command import (
    Batch,
    Evaluate,
    Grid,
    Machine,
    Match,
    OldExecutable,
    Warp,
    check_version,
)


def test_defaults_add_no_options() -> None:
    arguments = Match("a.tif", "b.tif", "out.tif").arguments("georeg", Machine())
    assert arguments == [
        "georeg", "match", "--overwrite", "--json", "--progress", "json", "--", "a.tif", "b.tif", "out.tif",
    ]  # fmt: skip


def test_everything_that_is_chosen_is_passed_on() -> None:
    request = Match(
        "a.tif",
        "b.tif",
        registration="r.json",
        points=("p.gpkg", "p.points"),
        bands=(1, 3),
        moving_modality="sar",
        transform="affine",
        search_radius_m=250.0,
        exhaustive=True,
        grid=Grid(
            dst_crs="EPSG:32633", resolution=0.5, bbox=(-10.5, 0.0, 3.25, 9.0), creation_options=("A=1",)
        ),
        seed=7,
    )
    words = request.arguments("georeg", Machine(device="cuda:1", threads=3, memory_gb=1.5))
    line = " ".join(words)
    for part in (
        "--registration r.json", "--points p.gpkg --points p.points", "--band 1 --band 3",
        "--moving-modality sar",         "--transform affine",
        "--search-radius 250", "--exhaustive", "--dst-crs EPSG:32633",
        "--resolution 0.5",         "--bbox -10.5 0.0 3.25 9.0", "--co A=1", "--seed 7",
        "--device cuda:1", "--num-threads 3", "--memory 1.5G",
    ):  # fmt: skip
        assert part in line
    assert words[-2:] == ["a.tif", "b.tif"]


def test_small_and_negative_numbers_keep_their_value() -> None:
    options = Grid(resolution=0.00008983152841, dst_nodata=-9999.0).options()
    assert options == ["--resolution", "8.983152841e-05", "--dst-nodata=-9999"]


def test_the_other_commands() -> None:
    machine = Machine(device="cpu", threads=2)
    warp = Warp("a.tif", "o.tif", "r.json").arguments("georeg", machine)
    assert warp[:4] == ["georeg", "warp", "--registration", "r.json"]
    assert warp[4:6] == ["--num-threads", "2"]
    assert warp[-3:] == ["--", "a.tif", "o.tif"]
    batch = Batch("pairs.csv", "out", jobs=4).arguments("georeg", machine)
    assert Batch("p.csv", "out", transform="tps").arguments("georeg", machine)[4:6] == ["--transform", "tps"]
    assert batch[:7] == ["georeg", "batch", "-o", "out", "-j", "4", "--resume"]
    anew = Batch("pairs.csv", "out", resume=False).arguments("georeg", machine)
    assert "--overwrite" in anew
    assert "--resume" not in anew
    assert Evaluate("dir", hard=True).arguments("georeg", machine)[2] == "--hard"


@pytest.mark.parametrize("answer", ["georeg, version 0.1.0", "georeg 0.10.2.dev1", "georeg 1.0"])
def test_a_version_that_is_new_enough(answer: str) -> None:
    assert check_version(answer) in answer


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ("georeg, version 0.0.9", "too old"),
        ("GDAL 3.6.2", "does not answer like georeg"),
        ("", "does not answer"),
    ],
)
def test_an_old_or_another_program_is_refused(answer: str, words: str) -> None:
    with pytest.raises(OldExecutable, match=words):
        check_version(answer)
