"""What is delivered of one registration, and that a disk that fills up costs nothing that was there."""

import os
from dataclasses import replace

import pytest

from georeg.archive.overrides import parsed_bytes
from georeg.errors import ResourceError
from georeg.output.options import OutputOptions
from georeg.registration import MatchOptions, register
from georeg.registration import deliver as deliver_module
from georeg.registration.deliver import write_delivery
from georeg.registration.destinations import Destinations

from ..conftest import full_disk

OUTPUTS = {
    "raster": "o.tif",
    "points": ("o.gpkg", "o.geojson", "o.csv", "o.points", "o_gcp.csv"),
    "report": "o.html",
    "registration": "o.json",
}
FULL = 2500


@pytest.fixture(scope="module")
def registration(small_pair):
    options = MatchOptions(matcher="structural", num_threads=1)
    return register(small_pair.moving, small_pair.reference, options)


def test_all_that_is_wanted_and_nothing_else(registration, tmp_path):
    wanted = {name: tuple(tmp_path / p for p in path) if isinstance(path, tuple) else tmp_path / path
              for name, path in OUTPUTS.items()}  # fmt: skip
    write_delivery(registration, Destinations(**wanted), OutputOptions(num_threads=1))
    assert sorted(os.listdir(tmp_path)) == sorted(
        ["o.tif", "o.gpkg", "o.geojson", "o.csv", "o.points", "o_gcp.csv", "o.html", "o.json"]
    )


@pytest.mark.parametrize(
    ("what", "name"),
    [
        (what, name)
        for what, names in OUTPUTS.items()
        for name in ([names] if isinstance(names, str) else names)
    ],
)
def test_a_full_disk(registration, tmp_path, what, name):
    path = tmp_path / name
    path.write_text("precious")
    options = OutputOptions(num_threads=1, overwrite=True)
    with full_disk(FULL), pytest.raises(ResourceError, match=r"disk is full|has space left") as raised:
        write_delivery(registration, Destinations(**{what: str(path)}), options)
    assert name in str(raised.value)
    assert path.read_text() == "precious"
    assert os.listdir(tmp_path) == [name]


@pytest.mark.parametrize(
    ("mode", "name", "limit"), [("georeference", "o.tif", 60_000), ("vrt", "o.vrt", 300)]
)
def test_a_full_disk_in_the_other_modes(registration, tmp_path, mode, name, limit):
    path = tmp_path / name
    path.write_text("precious")
    options = OutputOptions(mode=mode, overwrite=True)
    with full_disk(limit), pytest.raises(ResourceError, match="disk is full"):
        write_delivery(registration, Destinations(raster=str(path)), options)
    assert path.read_text() == "precious"
    assert os.listdir(tmp_path) == [name]


@pytest.mark.parametrize(
    ("has_transform", "keep_failed", "there", "said"),
    [
        (True, True, True, "The raster was kept as asked"),
        (True, False, False, r"No raster was written \(--keep-failed would\)"),
        (False, True, False, "No raster was written, as there is no transform"),
        (False, False, False, "No raster was written, as there is no transform"),
    ],
)
def test_a_refusal_says_what_became_of_the_raster(
    registration, tmp_path, monkeypatch, has_transform, keep_failed, there, said
):
    failed = replace(
        registration,
        quality=replace(registration.quality, verdict="fail", reasons=("too few matches",)),
        transform=registration.transform if has_transform else None,
    )
    monkeypatch.setattr(deliver_module, "register", lambda *given: failed)
    path = tmp_path / "o.tif"
    options = OutputOptions(num_threads=1, keep_failed=keep_failed)
    with pytest.raises(deliver_module.RefusedError, match=said):
        deliver_module.deliver("moving", "reference", Destinations(raster=str(path)), output_options=options)
    assert path.exists() == there


@pytest.mark.parametrize(
    ("wanted", "memory", "expected"),
    [(64, "2G", 32), (64, "256M", 4), (64, "1M", 1), (3, "2G", 3), (0, "1T", 5)],
)
def test_no_more_threads_write_than_the_memory_allows(registration, monkeypatch, wanted, memory, expected):
    used = []
    monkeypatch.setattr("georeg.threads.core_count", lambda: 5)
    monkeypatch.setattr(deliver_module, "register", lambda *given: registration)
    monkeypatch.setattr(deliver_module, "write_delivery", lambda *given: used.append(given[2].num_threads))
    options = MatchOptions(num_threads=wanted, memory_bytes=parsed_bytes(memory))
    deliver_module.deliver("moving", "reference", Destinations(), options)
    assert used == [expected]
