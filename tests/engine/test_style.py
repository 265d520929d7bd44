"""The style network: statistics move, edges stay, training lowers its losses, bad weights are refused."""

from __future__ import annotations

import pytest
import torch

from georeg.engine.appearance.style import (
    StyleNetwork,
    load_style_network,
    make_style_book,
    restyled,
    save_style_network,
    statistics,
    train_style,
)
from georeg.engine.draw import Draw
from georeg.errors import InputError


def _draw(seed=0):
    return Draw(torch.Generator().manual_seed(seed))


def test_restyled_features_have_the_statistics_asked_for():
    torch.manual_seed(0)
    own, other = torch.randn(2, 8, 12, 12), 3.0 + 2.0 * torch.randn(2, 8, 12, 12)
    assert torch.allclose(statistics(restyled(own, statistics(other))), statistics(other), atol=1e-2)


def test_training_lowers_the_reconstruction_loss_and_repeats(small_archive):
    losses: list[dict[str, float]] = []
    first = train_style(small_archive, steps=24, batch=1, report=lambda _, parts: losses.append(parts))
    assert losses[-1]["reconstruction"] < 0.8 * losses[0]["reconstruction"]
    assert {"content", "style"} <= set(losses[-1])
    assert all(torch.isfinite(parameter).all() for parameter in first.parameters())
    again = train_style(small_archive, steps=3, batch=1)
    twice = train_style(small_archive, steps=3, batch=1)
    assert torch.equal(again.encoder[0].weight, twice.encoder[0].weight)


@pytest.mark.parametrize("modality", ["sar", "infrared"])
def test_styled_look_keeps_a_straight_edge_in_place(small_archive, modality):
    book = make_style_book(small_archive, torch.device("cpu"))
    step = torch.full((4, 1, 96, 96), 0.25)
    step[..., 48:] = torch.tensor([0.5, 0.65, 0.8, 0.95]).view(4, 1, 1, 1)
    step += 0.01 * torch.randn(step.shape, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        rendered = torch.cat([book.look(modality)(step, _draw(seed)) for seed in range(6)])
    profile = rendered[..., 20:76, :].mean(dim=(1, 2))
    change = (profile[:, 1:] - profile[:, :-1]).square().sum(dim=0)[35:60]
    place = (change * (torch.arange(35, 60) + 0.5)).sum() / change.sum()
    assert abs(place - 47.5) < 1.0


def test_book_has_the_modalities_of_the_archive(small_archive, tmp_path):
    save_style_network(StyleNetwork(), tmp_path / "style.safetensors")
    book = make_style_book(small_archive, torch.device("cpu"), tmp_path / "style.safetensors")
    assert set(book.styles) == {"optical", "infrared", "sar"}
    with torch.no_grad():
        result = book.look("sar")(torch.rand(2, 1, 61, 67), _draw())
    assert result.shape == (2, 1, 61, 67)
    assert result.isfinite().all()
    assert make_style_book(small_archive, torch.device("cpu"), tmp_path / "nowhere") is None


def test_weights_that_do_not_fit_are_refused(tmp_path):
    (tmp_path / "bad.safetensors").write_bytes(b"nonsense")
    with pytest.raises(InputError, match="does not hold a style network"):
        load_style_network(tmp_path / "bad.safetensors")
