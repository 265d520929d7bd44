"""Every look keeps edges in place, is finite, repeats under a seed and varies with it."""

from __future__ import annotations

import pytest
import torch

from georeg.engine.appearance import filters, sar
from georeg.engine.appearance.bank import BANK, FAMILIES, KEEPS, draw_chains, render
from georeg.engine.batch import MODALITIES
from georeg.engine.draw import Draw

SIDE = 96
EDGE = 47.5


def _draw(seed=0):
    return Draw(torch.Generator().manual_seed(seed))


def _scene(count=6):
    random = torch.Generator().manual_seed(1)
    blocks = torch.rand(count, 1, 12, 12, generator=random).repeat_interleave(8, 2).repeat_interleave(8, 3)
    return (blocks + 0.03 * torch.randn(blocks.shape, generator=random)).clamp(0, 1)


def _steps(count):
    """Vertical steps between columns 47 and 48, random heights either way, light noise."""
    random = torch.Generator().manual_seed(2)
    sides = torch.rand(count, 2, 1, 1, generator=random)
    sides[:, 1] = (sides[:, 0] + 0.25 + 0.5 * torch.rand(count, 1, 1, generator=random)) % 1.0
    image = sides.repeat_interleave(SIDE // 2, 1).transpose(1, 3).expand(-1, 1, SIDE, -1)
    return (image + 0.01 * torch.randn(count, 1, SIDE, SIDE, generator=random)).clamp(0, 1)


@pytest.mark.parametrize("look", BANK, ids=lambda look: look.name)
def test_look_keeps_a_straight_edge_in_place(look):
    rendered = torch.cat([filters.to_unit(look.render(_steps(4), _draw(seed))) for seed in range(16)])
    profile = rendered.mean(dim=(1, 2))
    change = (profile[:, 1:] - profile[:, :-1]).square()[:, 35:60]
    noise = change[:, [0, 1, 2, 22, 23, 24]].mean(dim=1, keepdim=True)
    change = (change - 3 * noise).clamp_min(0).sum(dim=0)
    place = (change * (torch.arange(35, 60) + 0.5)).sum() / change.sum()
    assert change.sum() > 1e-3, "the edge is gone"
    assert abs(place - EDGE) < look.edge_shift_px
    within_six_px = change[6:19].sum() / change.sum()
    assert within_six_px > (0.75 if look.edge_shift_px <= 1 else 0.5)


@pytest.mark.parametrize("look", BANK, ids=lambda look: look.name)
def test_look_is_finite_repeats_and_varies(look):
    scene = _scene()
    before = scene.clone()
    first, again, other = (look.render(scene, _draw(seed)) for seed in (1, 1, 2))
    assert torch.equal(scene, before), "the input was changed in place"
    assert first.shape == scene.shape
    assert first.isfinite().all()
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert first.std() > 0.01


@pytest.mark.parametrize("look", BANK, ids=lambda look: look.name)
def test_look_survives_a_constant_and_a_single_image(look):
    assert look.render(torch.full((1, 1, 64, 64), 0.5), _draw()).isfinite().all()
    assert look.render(_scene(1)[..., :61, :67], _draw()).shape == (1, 1, 61, 67)


def test_bank_families_and_modalities_are_known():
    assert {look.family for look in BANK} == set(FAMILIES) - {"plain"} | {"prepare"}
    assert all(KEEPS <= look.modality < len(MODALITIES) for look in BANK)
    assert len({look.name for look in BANK}) == len(BANK)


def test_chains_have_one_to_three_looks_and_plain_has_none():
    chains = draw_chains([FAMILIES.index("sar")] * 60 + [FAMILIES.index("plain")] * 3, _draw())
    assert {len(chain) for chain in chains[:60]} == {1, 2, 3}
    assert chains[60:] == [[], [], []]
    assert all(BANK[chain[-1]].family == "sar" for chain in chains[:60]), "speckle comes last"


def test_render_sets_the_modality_and_leaves_plain_views_alone():
    sar_like = next(index for index, look in enumerate(BANK) if look.name == "sar-like")
    scene = _scene(2)
    images, modality = render(scene, torch.tensor([0, 0]), [[sar_like], []], _draw())
    assert modality.tolist() == [MODALITIES.index("sar"), MODALITIES.index("optical")]
    assert torch.equal(images[1], scene[1])
    assert not torch.equal(images[0], scene[0])


def test_speckle_is_multiplicative_of_unit_mean():
    noise = sar.speckle((64, 1, 64, 64), _draw())
    assert noise.min() >= 0
    assert abs(noise.mean() - 1) < 0.12
    assert 0.2 < noise.std() < 1.2


def test_gaussian_keeps_mean_and_symmetry():
    spot = torch.zeros(1, 1, 65, 65)
    spot[..., 32, 32] = 1.0
    for sigma in (0.5, 1.5):
        blurred = filters.gaussian(spot, sigma)
        assert abs(blurred.sum() - 1) < 1e-4
        assert torch.allclose(blurred, blurred.flip(-1), atol=1e-6)
        assert torch.allclose(blurred, blurred.transpose(-1, -2), atol=1e-6)
    even = torch.zeros(1, 1, 64, 64)
    even[..., 31:33, 31:33] = 0.25
    wide = filters.gaussian(even, 8.0)
    rows = torch.arange(64.0)
    assert abs((wide.sum(-1)[0, 0] * rows).sum() - 31.5) < 1e-3


def test_look_up_is_linear_between_knots():
    values = torch.tensor([0.0, 0.25, 0.5, 1.0]).view(1, 1, 1, 4)
    assert torch.allclose(
        filters.look_up(values, torch.tensor([[0.0, 1.0, 0.0]])).flatten(),
        torch.tensor([0.0, 0.5, 1.0, 0.0]),
        atol=3e-3,
    )


def test_guided_filter_takes_the_edges_of_the_guide():
    guide = _steps(1)
    blurred = filters.gaussian(1.0 - guide, 3.0)

    def contrast(image):
        return (image[..., 48:51].mean() - image[..., 45:48].mean()).abs()

    assert contrast(filters.guided(blurred, guide, 3.0, 1e-4)) > 1.3 * contrast(blurred)


def test_every_look_may_follow_every_other():
    scene = _scene(2)
    for first in range(len(BANK)):
        chains = [[first, second] for second in range(len(BANK))]
        images, _ = render(
            scene[:1, :, :40, :40].repeat(len(chains), 1, 1, 1),
            torch.zeros(len(chains)),
            chains,
            _draw(first),
        )
        assert images.isfinite().all()
        assert images.min() >= 0
        assert images.max() <= 1
