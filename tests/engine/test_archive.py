"""Archives are found, decoded, paired and split; useless files are counted and named."""

from __future__ import annotations

import tarfile
import warnings

import numpy as np
import pytest
import torch
from affine import Affine
from PIL import Image

from georeg.engine.archive import choose_holdout, read_archive
from georeg.engine.decode import tile_boxes
from georeg.errors import InputError

from ..rasters import UTM, write


def test_folder_is_read_and_useless_files_are_named(folder):
    archive = read_archive(folder)
    assert sorted(tile.name for tile in archive.tiles) == [
        "paired/sar-optical/c/x_a.png",
        "paired/sar-optical/c/x_b.png",
        "unpaired/optical/a/1.png",
        "unpaired/optical/a/2.png",
        "unpaired/thermal/b/3.png",
    ]
    reasons = {
        reason: [name.rsplit("/", 1)[1] for name in names] for reason, names in archive.skipped.items()
    }
    assert reasons == {
        "tiny": ["tiny.png"],
        "constant": ["constant.png"],
        "nodata only": ["empty.png"],
        "broken": ["broken.png"],
    }
    assert "skipped 1 (broken): unpaired/optical/a/broken.png" in archive.summary()


def test_modalities_and_pairs_come_from_folder_names(folder):
    archive = read_archive(folder)
    modality = {tile.name.rsplit("/", 1)[1]: tile.modality for tile in archive.tiles}
    assert modality == {
        "1.png": "optical",
        "2.png": "optical",
        "3.png": "infrared",
        "x_a.png": "sar",
        "x_b.png": "optical",
    }
    (pair,) = archive.pairs
    assert archive.kind_of(pair) == "sar-optical"
    assert pair.tolerance_px == 2.5


def test_manifest_overrides_the_folder(folder):
    (folder / "manifest.csv").write_text("path,modality\nunpaired/optical/a/1.png,map\n")
    modality = {tile.name: tile.modality for tile in read_archive(folder).tiles}
    assert modality["unpaired/optical/a/1.png"] == "map"
    assert modality["unpaired/optical/a/2.png"] == "optical"


def test_tar_shards_hold_the_same_archive(folder, tmp_path_factory):
    shards = tmp_path_factory.mktemp("shards")
    with tarfile.open(shards / "train-00.tar", "w") as shard:
        shard.add(folder / "unpaired", "unpaired")
        shard.add(folder / "paired", "paired")
    unpacked, packed = read_archive(folder), read_archive(shards)
    places = {tile.name: tile for tile in packed.tiles}
    assert len(packed.pairs) == 1
    for tile in unpacked.tiles:
        assert torch.equal(tile.pixels, places[tile.name].pixels)


def test_a_list_of_paths_and_large_images_in_tiles(folder, tmp_path):
    listing = tmp_path / "list.txt"
    listing.write_text("unpaired/optical/a/1.png\nunpaired/thermal/b/3.png\n")
    archive = read_archive(listing, tile_px=100)
    assert [tile.shape for tile in archive.tiles] == [(100, 100)] * 8
    assert archive.tiles[0].name.endswith("1.png#0")


def test_tile_boxes_cover_the_image():
    seen = np.zeros((300, 513), bool)
    for left, top, right, bottom in tile_boxes((300, 513), 128, 999):
        assert (right - left, bottom - top) == (128, 128)
        seen[top:bottom, left:right] = True
    assert seen.all()
    assert len(tile_boxes((3000, 3000), 128, 10)) == 10


def test_deep_rasters_are_stretched_and_nodata_is_marked(tmp_path):
    pixels = np.random.default_rng(0).normal(2000, 300, (160, 160)).astype(np.uint16)
    pixels[:40] = 0
    Image.fromarray(pixels).save(tmp_path / "deep.png")
    (tile,) = read_archive(tmp_path).tiles
    assert tile.pixels.dtype == torch.uint8
    assert not tile.valid[:36].any()
    assert tile.valid[44:].all()


def test_multiband_float_raster_is_read_in_windows(tmp_path):
    values = np.random.default_rng(0).uniform(0, 1, (4, 200, 180)).astype(np.float32)
    values[:, :, :30] = -9999.0
    write(tmp_path / "bands.tif", values, nodata=-9999.0, crs=UTM, transform=Affine(10, 0, 5e5, 0, -10, 4e6))
    (tile,) = read_archive(tmp_path).tiles
    assert tile.pixels.shape[0] == 3
    assert not tile.valid[:, :30].any()
    assert tile.valid[:, 30:].all()


def test_nothing_usable_is_an_error_that_counts(tmp_path):
    with pytest.raises(InputError, match="no image file found"):
        read_archive(tmp_path)
    Image.fromarray(np.zeros((200, 200), np.uint8)).save(tmp_path / "black.png")
    with pytest.raises(InputError, match=r"no usable image.*1 "):
        read_archive(tmp_path)
    with pytest.raises(InputError, match="does not exist"):
        read_archive(tmp_path / "nowhere")


def test_broken_rasters_of_every_kind_are_named(tmp_path):
    """What only rasterio reads: many bands of floats, cut short, empty of data, of one value, of three pixels."""
    noise = np.random.default_rng(0).uniform(0, 1, (4, 160, 160)).astype(np.float32)
    whole = write(tmp_path / "good.tif", noise).read_bytes()
    (tmp_path / "cut.tif").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "text.tif").write_text("no image")
    (tmp_path / "empty.tif").touch()
    write(tmp_path / "nodata.tif", np.full_like(noise, -9999), nodata=-9999)
    write(tmp_path / "nan.tif", np.full_like(noise, np.nan))
    write(tmp_path / "flat.tif", np.full_like(noise, 7))
    write(tmp_path / "tiny.tif", noise[:, :3, :3])
    (tmp_path / "list.txt").write_text(
        "\n".join([*sorted(p.name for p in tmp_path.glob("*.tif")), "gone.tif"])
    )
    archive = read_archive(tmp_path / "list.txt")
    assert [tile.name.rsplit("/", 1)[1] for tile in archive.tiles] == ["good.tif"]
    skipped = {why: sorted(n.rsplit("/", 1)[1] for n in names) for why, names in archive.skipped.items()}
    assert skipped == {
        "broken": ["cut.tif", "empty.tif", "text.tif"],
        "nodata only": ["nan.tif", "nodata.tif"],
        "constant": ["flat.tif"],
        "tiny": ["tiny.tif"],
        "missing": ["gone.tif"],
    }


def test_pictures_and_rasters_side_by_side_leave_the_warnings_alone(tmp_path):
    """Both readers silence a warning of their own, in threads, and Python's filters are global."""
    noise = np.random.default_rng(0).uniform(0, 255, (5, 128, 128)).astype(np.float32)
    for index in range(30):
        write(tmp_path / f"{index}.tif", noise)
        Image.fromarray(noise[0].astype(np.uint8)).save(tmp_path / f"{index}.png")
    before = list(warnings.filters)
    for _ in range(3):
        assert len(read_archive(tmp_path).tiles) == 60
    assert warnings.filters == before


def test_a_tar_that_is_none(tmp_path):
    (tmp_path / "scenes.tar").write_text("no tar")
    with pytest.raises(
        InputError, match=r"^[^\n]*scenes.tar is not a readable tar \([^\n]*download it again$"
    ):
        read_archive(tmp_path / "scenes.tar")


def test_validation_is_held_out_by_source(folder):
    archive = read_archive(folder)
    training, validation = archive.split(["c"])
    assert set(training.sources) == {"a", "b"}
    assert len(validation.pairs) == 1
    assert not training.pairs
    with pytest.raises(InputError, match="no source nowhere"):
        archive.split(["nowhere"])
    assert "b" not in choose_holdout(archive, 0.9), "the only infrared source stays in training"


def test_memory_limit_gives_up_whole_files_and_pairs(folder):
    everything = read_archive(folder)
    size = sum(tile.pixels.numel() for tile in everything.tiles)
    limited = read_archive(folder, max_gigabytes=0.7 * size / 1e9)
    assert 0 < sum(tile.pixels.numel() for tile in limited.tiles) <= 0.7 * size
    names = {tile.name for tile in limited.tiles}
    assert len(limited.pairs) == sum(name.endswith("x_a.png") for name in names)
    left_out = set(limited.skipped["beyond the memory limit"])
    usable = {tile.name for tile in everything.tiles}
    assert names.isdisjoint(left_out)
    assert usable <= names | left_out
