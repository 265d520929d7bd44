"""Pairs that are a few pixels apart are measured and corrected."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from georeg.engine.alignment import measure_offset
from georeg.engine.archive import read_archive


@pytest.mark.parametrize(("x", "y"), [(0, 0), (4, -3), (-7, 2)])
def test_offset_of_a_negative_is_measured(make_scene, x, y):
    large = make_scene(300, 300, 3)
    first, second = large[20:276, 20:276], 255 - large[20 - y : 276 - y, 20 - x : 276 - x]
    offset = measure_offset(torch.from_numpy(first)[None], torch.from_numpy(second)[None])
    assert offset.trusted
    assert abs(offset.x_px - x) < 0.6
    assert abs(offset.y_px - y) < 0.6


def test_unlike_tiles_are_not_trusted():
    first, second = (
        torch.from_numpy(np.random.default_rng(s).integers(0, 255, (1, 256, 256), np.uint8)) for s in (0, 1)
    )
    assert not measure_offset(first, second).trusted


def test_archive_corrects_a_pair_and_leaves_out_one_that_disagrees(make_scene, tmp_path):
    folder = tmp_path / "sar-optical" / "s"
    folder.mkdir(parents=True)
    large = make_scene(300, 300, 3)
    Image.fromarray(large[20:276, 20:276]).save(folder / "good_a.png")
    Image.fromarray(large[20:276, 15:271]).save(folder / "good_b.png")
    Image.fromarray(make_scene(256, 256, 7)).save(folder / "bad_a.png")
    Image.fromarray(make_scene(256, 256, 8)).save(folder / "bad_b.png")
    archive = read_archive(tmp_path)
    assert len(archive.tiles) == 4
    kept = {archive.tiles[pair.first].name.rsplit("/", 1)[1]: pair for pair in archive.pairs}
    assert kept["good_a.png"].shift_xy == pytest.approx((5.0, 0.0), abs=0.6)
    assert len(read_archive(tmp_path, align_pairs=False).pairs) == 2
