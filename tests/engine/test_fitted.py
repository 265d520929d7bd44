"""Looks fitted to real pairs: a known relation is found, edges stay, offsets are undone."""

from __future__ import annotations

import torch

from georeg.engine.appearance.fitted import FittedBook, describe, fit_book, fit_pair
from georeg.engine.archive import Archive, Tile, TilePair
from georeg.engine.draw import Draw


def _draw(seed=0):
    return Draw(torch.Generator().manual_seed(seed))


def _pair_archive(make_scene, shift=(0, 0)):
    large = torch.from_numpy(make_scene(280, 280, 3))
    optical = large[10:266, 10:266]
    negative = 255 - large[10 - shift[1] : 266 - shift[1], 10 - shift[0] : 266 - shift[0]]
    tiles = (Tile("n", "s", "infrared", negative[None]), Tile("o", "s", "optical", optical[None]))
    return Archive(tiles, (TilePair(0, 1, 1.0, (-float(shift[0]), -float(shift[1]))),))


def test_a_negative_is_explained_and_rendered(make_scene):
    archive = _pair_archive(make_scene)
    weights, explained = fit_pair(archive, archive.pairs[0], "optical", _draw())
    assert explained > 0.9
    look = fit_book(archive, torch.device("cpu")).look("infrared")
    scene = torch.from_numpy(make_scene(96, 96, 8)).float()[None, None] / 255
    rendered = look(scene, _draw())
    assert torch.corrcoef(torch.stack([rendered.flatten(), scene.flatten()]))[0, 1] < -0.6
    assert weights.shape == describe(scene).shape[1:2]


def test_infrared_scenes_can_be_led_to_optical(make_scene):
    archive = _pair_archive(make_scene)
    assert set(fit_book(archive, torch.device("cpu"), "infrared").weights) == {"optical"}
    assert set(fit_book(archive, torch.device("cpu"), "optical").weights) == {"infrared"}
    assert fit_book(archive, torch.device("cpu"), "sar").weights == {}


def test_the_measured_offset_is_undone(make_scene):
    shifted = _pair_archive(make_scene, (6, -4))
    ignored = Archive(shifted.tiles, (TilePair(0, 1, 1.0),))
    explained = [fit_pair(archive, archive.pairs[0], "optical", _draw())[1] for archive in (shifted, ignored)]
    assert explained[0] > 0.95
    assert explained[1] < 0.9


def test_fitted_looks_keep_a_straight_edge_in_place():
    features = describe(torch.rand(1, 1, 32, 32)).shape[1]
    book = FittedBook(
        {name: torch.randn(12, features, generator=_draw(1).parameters) for name in ("sar", "infrared")}
    )
    step = torch.full((4, 1, 96, 96), 0.25)
    step[..., 48:] = torch.tensor([0.5, 0.65, 0.8, 0.95]).view(4, 1, 1, 1)
    step += 0.02 * torch.randn(step.shape, generator=_draw(2).parameters)
    for name in book.weights:
        rendered = torch.cat([book.look(name)(step, _draw(seed)) for seed in range(10)])
        profile = rendered[..., 20:76, :].mean(dim=(1, 2))
        change = (profile[:, 1:] - profile[:, :-1]).square()[:, 35:60]
        noise = change[:, [0, 1, 23, 24]].mean(dim=1, keepdim=True)
        change = (change - 3 * noise).clamp_min(0).sum(dim=0)
        assert abs((change * (torch.arange(35, 60) + 0.5)).sum() / change.sum() - 47.5) < 1.0


def test_an_archive_without_pairs_has_no_fitted_look(make_scene):
    archive = Archive((Tile("o", "s", "optical", torch.from_numpy(make_scene(128, 128, 1))[None]),))
    assert fit_book(archive, torch.device("cpu")).weights == {}
