"""Jobs: options, names and keys."""

from dataclasses import replace

import pytest

from georeg.archive.jobs import file_identity, job_names, plan_jobs
from georeg.archive.overrides import overridden
from georeg.archive.pairs import Pair
from georeg.errors import UsageError
from georeg.output.options import OutputOptions
from georeg.registration.options import MatchOptions
from georeg.scene import Modality


def plan(pairs, folder, match=MatchOptions(), output=OutputOptions(), **more):
    return plan_jobs(pairs, folder, match, output, **more)


def test_overrides_in_every_spelling():
    match, output = overridden(
        MatchOptions(),
        OutputOptions(),
        {
            "moving-modality": "sar",
            "--band": "4, 3",
            "search_radius": "500",
            "exhaustive": "yes",
            "memory": "4G",
            "output_mode": "georeference",
            "co": "COMPRESS=ZSTD level=9",
            "bbox": [0, 1, 2, 3],
            "dst_nodata": "-9999",
        },
    )
    assert match == MatchOptions(
        bands=(4, 3),
        moving_modality=Modality.SAR,
        search_radius_m=500.0,
        exhaustive=True,
        memory_bytes=4 * 1024**3,
    )
    assert output == OutputOptions(
        mode="georeference",
        creation_options={"COMPRESS": "ZSTD", "LEVEL": "9"},
        bbox=(0.0, 1.0, 2.0, 3.0),
        dst_nodata=-9999.0,
    )


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (
            {"moving_modalty": "sar"},
            "line 4: there is no option 'moving_modalty'; did you mean 'moving_modality'",
        ),
        ({"transform": "magic"}, "transform cannot be 'magic': it is one of auto, shift"),
        ({"moving_modality": "laser"}, "cannot be 'laser'"),
        ({"band": "0"}, "bands count from 1"),
        ({"search_radius": "-3"}, "a number above 0"),
        ({"exhaustive": "maybe"}, "true or false"),
        ({"overwrite": "yes"}, "no option 'overwrite'"),
    ],
)
def test_wrong_overrides_name_the_line(overrides, message):
    with pytest.raises(UsageError, match=message):
        overridden(MatchOptions(), OutputOptions(), overrides, "line 4")


def test_names_are_short_where_they_can_be():
    names = job_names(
        [Pair("/x/a b.tif", "r"), Pair("/x/item.json#B04", "r"), Pair("/y/c.tif", "r", name="mine")]
    )
    assert names == ["a_b", "item_B04", "mine"]


def test_equal_names_get_a_hash_that_does_not_depend_on_the_rest():
    first, second, third = Pair("/x/a.tif", "r"), Pair("/y/A.tif", "r"), Pair("/z/a.tif", "r")
    names = job_names([first, second])
    assert names[0].startswith("a_")
    assert len(set(names)) == 2
    assert job_names([third, second, first])[1:] == names[::-1]


def test_same_pair_twice_is_refused():
    with pytest.raises(UsageError, match="give them different names"):
        job_names([Pair("a.tif", "r", origin="line 1"), Pair("a.tif", "r", origin="line 2")])
    with pytest.raises(UsageError, match="named one"):
        job_names([Pair("a.tif", "r", name="one"), Pair("b.tif", "r", name="ONE")])


def test_key_changes_with_whatever_changes_the_result(make_pairs, tmp_path):
    pairs = make_pairs("pass")
    key = plan(pairs, tmp_path)[0].key
    assert plan(pairs, tmp_path)[0].key == key
    assert plan(pairs, tmp_path / "elsewhere")[0].key == key
    assert plan(pairs, tmp_path, MatchOptions(num_threads=3), OutputOptions(overwrite=True))[0].key == key
    assert plan(pairs, tmp_path, MatchOptions(seed=1))[0].key != key
    assert plan(pairs, tmp_path, output=OutputOptions(resampling="cubic"))[0].key != key
    assert plan(pairs, tmp_path, weights=lambda match: "another")[0].key != key
    assert plan(pairs, tmp_path, wanted=("raster",))[0].key != key
    assert plan([replace(pairs[0], overrides={"transform": "shift"})], tmp_path)[0].key != key
    (tmp_path / "in" / "p0.tif").write_text("changed")
    assert plan(pairs, tmp_path)[0].key != key


def test_outputs_have_names_of_their_kind(make_pairs, tmp_path):
    job = plan(make_pairs("pass"), tmp_path)[0]
    assert job.path("raster") == str(tmp_path / "p0" / "p0.tif")
    assert replace(job, output=OutputOptions(mode="vrt")).path("raster").endswith("p0.vrt")
    assert replace(job, wanted=("raster",)).path("report") is None


def test_an_items_asset_counts_as_part_of_the_input(tmp_path):
    item, image = tmp_path / "item.json", tmp_path / "a.tif"
    item.write_text('{"assets": {"B04": {"href": "./a.tif"}}}')
    image.write_bytes(b"one")
    before = file_identity(f"{item}#B04")
    assert file_identity(f"{item}#B04") == before
    image.write_bytes(b"other")
    after = file_identity(f"{item}#B04")
    assert after != before
    image.unlink()
    assert file_identity(f"{item}#B04") not in (before, after)
    assert file_identity(f"{item}#none")[:2] == [str(item), "none"]
