"""Batches keep their contract, repeat under a seed, resume to the same numbers and follow the losses."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from georeg.engine.archive import Archive, Tile, TilePair
from georeg.engine.batch import TrainingBatch
from georeg.engine.engine import DataEngine, EngineConfig
from georeg.errors import UsageError

SMALL = EngineConfig(view_px=64, source_px=256)


def _engine(archive, seed=0, config=SMALL):
    return DataEngine(archive, config, "cpu", torch.Generator().manual_seed(seed))


def _same(first: TrainingBatch, second: TrainingBatch) -> bool:
    return all(
        torch.equal(a.nan_to_num(-7), b.nan_to_num(-7))
        for a, b in zip(vars(first).values(), vars(second).values(), strict=True)
    )


def test_batch_keeps_its_contract(small_archive):
    batch = _engine(small_archive).batch(12)
    assert batch.view0.shape == batch.view1.shape == (12, 1, 64, 64)
    assert batch.valid0.dtype == batch.valid1.dtype == torch.bool
    assert batch.flow01.shape == batch.flow10.shape == (12, 64, 64, 2)
    for flow, valid in ((batch.flow01, batch.valid0), (batch.flow10, batch.valid1)):
        seen = ~flow.isnan().any(-1)
        assert not (seen & ~valid[:, 0]).any()
        assert flow[seen].min() >= 0
        assert flow[seen].max() <= 63
        assert (seen.float().mean((1, 2)) > 0.05).all()
    assert batch.view0.isfinite().all()
    assert batch.modality0.min() >= -1
    assert batch.modality0.max() < 5


def test_views_are_normalised_over_what_they_show(small_archive):
    config = EngineConfig(view_px=64, source_px=256, fill_share=0.0)
    batch = _engine(small_archive, config=config).batch(12)
    for view, valid in ((batch.view0, batch.valid0), (batch.view1, batch.valid1)):
        assert (view[~valid] == 0).all()
        for image, mask in zip(view, valid, strict=True):
            assert image[mask].mean().abs() < 1e-3
            assert (image[mask].std(correction=0) - 1).abs() < 1e-2


def test_flow_joins_equal_pixels_where_no_look_is_applied(small_archive):
    config = EngineConfig(view_px=64, source_px=256, appearance=False, real_share=0.0)
    batch = _engine(small_archive, config=config).batch(8)
    grid = (batch.flow01.nan_to_num(0) + 0.5) * (2 / 64) - 1
    there = torch.nn.functional.grid_sample(batch.view1, grid, align_corners=False)
    for row in range(8):
        seen = ~batch.flow01[row].isnan().any(-1)
        pair = torch.stack([batch.view0[row, 0][seen], there[row, 0][seen]])
        assert torch.corrcoef(pair)[0, 1] > 0.85


def test_truth_covers_both_directions(small_archive):
    batch = _engine(small_archive).batch(8)
    seen = ~batch.flow01.isnan().any(-1)
    row, y, x = (part[::97] for part in seen.nonzero().unbind(1))
    there = batch.flow01[row, y, x].round().long()
    back = batch.flow10[row, there[:, 1], there[:, 0]]
    known = ~back.isnan().any(-1)
    assert known.float().mean() > 0.9
    assert (back - torch.stack([x, y], -1))[known].abs().max() < 2.5


def test_the_same_seed_gives_the_same_batches_and_another_seed_others(small_archive):
    first, again, other = (_engine(small_archive, seed).batch(6) for seed in (3, 3, 4))
    assert _same(first, again)
    assert not _same(first, other)


def test_resumed_engine_goes_on_with_the_same_numbers(small_archive):
    engine = _engine(small_archive)
    batch = engine.batch(6)
    engine.report_losses(batch.recipe, torch.linspace(0.5, 2.0, 6))
    state = engine.state_dict()
    resumed = _engine(small_archive, seed=99)
    expected = engine.batch(6)
    resumed.load_state_dict(state)
    assert _same(resumed.batch(6), expected)


def test_recipes_with_high_loss_are_drawn_more_often(small_archive):
    engine = _engine(small_archive)
    before = engine.sampler.probabilities()
    names = engine.recipe_names
    hard = [index for index, name in enumerate(names) if "/sar/" in name]
    for index in range(len(names)):
        losses = torch.full((40,), 4.0 if index in hard else 1.0)
        engine.report_losses(torch.full((40,), index), losses)
    after = engine.sampler.probabilities()
    assert after[hard].sum() > 1.5 * before[hard].sum()
    assert after.min() > 0
    assert engine.sampler.table()[names[0]]["seen"] == 40


def test_losses_that_are_not_finite_are_left_out(small_archive):
    engine = _engine(small_archive)
    engine.report_losses(torch.tensor([0, 0]), torch.tensor([torch.nan, 1.0]))
    assert engine.sampler.seen[0] == 1


def test_real_pairs_carry_their_tolerance(small_archive):
    batch = _engine(small_archive, config=EngineConfig(view_px=64, source_px=256, real_share=1.0)).batch(6)
    assert (batch.tolerance_px > 0.5).all()
    synthetic = _engine(small_archive, config=EngineConfig(view_px=64, source_px=256, real_share=0.0)).batch(
        6
    )
    assert (synthetic.tolerance_px == 0).all()


def test_views_larger_than_the_canvas_are_refused(small_archive):
    with pytest.raises(UsageError, match="raise source_px"):
        _engine(small_archive, config=EngineConfig(view_px=640))


def test_ground_masks_travel_with_the_warp(make_scene):
    """Where the tile's own mask says nodata no view is valid and no flow leads there."""
    pixels = torch.from_numpy(make_scene(256, 256, 1))[None].clone()
    pixels[:, :, :128] = 0
    mask = torch.ones(256, 256, dtype=torch.bool)
    mask[:, :128] = False
    archive = Archive((Tile("a", "a", "optical", pixels, mask),))
    config = EngineConfig(view_px=64, source_px=256, appearance=False, fill_share=0.0, clutter_share=0.0)
    batch = _engine(archive, config=config).batch(24)
    share = batch.valid0.float().mean((1, 2, 3))
    assert share.min() < 0.7, "some views show the masked half"
    views = torch.cat([batch.view0, batch.view1])
    valid = torch.cat([batch.valid0, batch.valid1])
    low = torch.where(valid, views, torch.inf).amin((1, 2, 3))
    assert (low > -6).all(), "no black nodata pixel among the valid ones"
    there = batch.flow01.nan_to_num(0).round().long()
    seen = ~batch.flow01.isnan().any(-1)
    place = (there[..., 1] * 64 + there[..., 0]).flatten(1)
    assert batch.valid1.flatten(1).gather(1, place).view_as(seen)[seen].all()


def test_clutter_and_unknown_fill_are_valid_but_unmatched(small_archive):
    config = EngineConfig(view_px=64, source_px=256, fill_share=1.0, clutter_share=1.0)
    batch = _engine(small_archive, config=config).batch(8)
    assert batch.valid0.all()
    assert batch.flow01.isnan().any(-1).flatten(1).any(1).all()


@pytest.mark.parametrize("swapped", [False, True])
def test_the_offset_of_a_real_pair_is_undone(make_scene, swapped):
    large = torch.from_numpy(make_scene(300, 300, 3))
    first, second = large[20:276, 20:276], large[17:273, 26:282]
    shift = (-6.0, 3.0)
    if swapped:
        first, second, shift = second, first, (6.0, -3.0)
    tiles = (Tile("a", "s", "sar", first[None]), Tile("b", "s", "optical", second[None]))
    config = EngineConfig(
        view_px=64, source_px=256, real_share=1.0, appearance=False, clutter_share=0.0, fill_share=0.0
    )

    def agreement(offset):
        engine = _engine(Archive(tiles, (TilePair(0, 1, 0.0, offset),)), config=config)
        batch = engine.batch(8)
        grid = (batch.flow01.nan_to_num(0) + 0.5) * (2 / 64) - 1
        there = torch.nn.functional.grid_sample(batch.view1, grid, align_corners=False)
        seen = ~batch.flow01.isnan().any(-1)
        return torch.corrcoef(torch.stack([batch.view0[:, 0][seen], there[:, 0][seen]]))[0, 1]

    assert agreement(shift) > 0.9
    assert agreement(shift) > agreement((0.0, 0.0)) + 0.1


def test_the_engine_imports_without_the_heavy_wheels():
    """Training machines may have torch, numpy, Pillow and safetensors only."""
    heavy = "{'rasterio', 'cv2', 'scipy', 'shapely', 'pyogrio', 'click'}"
    code = f"import sys, georeg.engine.engine, georeg.engine.preview; print({heavy} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
