"""Item 6, the other way: what images become in another sensor, fitted to the archive's own aligned pairs.

For each real pair a ridge regression explains one tile by simple features of the other: brightness at
several scales, texture, bright and dark spots, slopes. A look draws the weights of one real pair and applies them to
another scene, so its pictures vary as the real pairs do. Closed form: nothing is trained, a pair takes milliseconds.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from georeg.engine.appearance.filters import gaussian, gradients, local_deviation, to_unit
from georeg.engine.appearance.sar import detected, speckle
from georeg.engine.archive import Archive, TilePair
from georeg.engine.draw import Draw

FIT_PX = 256
SAMPLES = 6000
RIDGE = 0.02
LEAST_EXPLAINED = 0.06
PAIRS_PER_MODALITY = 64
DECIBEL = 0.2302585


def describe(images: Tensor) -> Tensor:
    """(B, 1, H, W) in 0..1 to features (B, F, H, W), each of zero mean and unit deviation per image."""
    fine, middle, coarse = (gaussian(images, sigma_px) for sigma_px in (0.7, 1.8, 5.0))
    right, down = gradients(middle)
    spots, patches = fine - middle, middle - coarse
    features = [
        fine,
        coarse,
        fine.square(),
        coarse.square(),
        (local_deviation(images, 1.0) + 0.01).log_(),
        (local_deviation(images, 3.0) + 0.01).log_(),
        spots.clamp_min(0.0),
        spots.clamp_max(0.0),
        patches.clamp_min(0.0),
        patches.clamp_max(0.0),
        right,
        down,
    ]
    return standard(torch.cat(features, dim=1))


def standard(features: Tensor) -> Tensor:
    """Zero mean, unit deviation of every channel of every image."""
    centred = features - features.mean(dim=(-2, -1), keepdim=True)
    return centred / (centred.square().mean(dim=(-2, -1), keepdim=True).sqrt() + 1e-4)


@dataclass(frozen=True)
class FittedBook:
    """For each modality the weights (N, F) of N real pairs that lead to it."""

    weights: dict[str, Tensor]

    def look(self, modality: str) -> Callable[[Tensor, Draw], Tensor]:
        """A look for the bank: scenes through the weights of a drawn pair (SAR: with speckle)."""

        def render(images: Tensor, draw: Draw) -> Tensor:
            book = self.weights[modality]
            weights = book[draw.integers(len(images), 0, len(book))]
            weights = weights * (1.0 + 0.3 * draw.normal(tuple(weights.shape)))
            signal = torch.einsum("bf,bfhw->bhw", weights, describe(images)).unsqueeze(1)
            signal = standard(signal).clamp(-4.0, 4.0)
            if modality == "sar":
                power = (signal * (draw.number(3.0, 7.0) * DECIBEL)).exp()
                return detected(power * speckle(images.shape, draw), draw)
            return to_unit(
                signal + draw.number(0.0, 0.1) * draw.noise(tuple(signal.shape)), draw.number(1.8, 2.8)
            )

        return render


def fit_book(archive: Archive, device: torch.device, source: str = "optical", seed: int = 0) -> FittedBook:
    """Fit up to 64 pairs of `source` with each other modality; those that explain too little are left out."""
    draw = Draw(torch.Generator().manual_seed(seed), device)
    found: dict[str, list[Tensor]] = {}
    members: dict[str, list[TilePair]] = {}
    for pair in archive.pairs:
        names = {archive.tiles[pair.first].modality, archive.tiles[pair.second].modality}
        if source in names and len(names) == 2:
            members.setdefault((names - {source}).pop(), []).append(pair)
    for modality, pairs in sorted(members.items()):
        for _ in range(min(len(pairs), PAIRS_PER_MODALITY)):
            weights, explained = fit_pair(archive, pairs[draw.index(len(pairs))], source, draw)
            if explained >= LEAST_EXPLAINED:
                found.setdefault(modality, []).append(weights)
    return FittedBook({modality: torch.stack(weights) for modality, weights in found.items()})


def fit_pair(archive: Archive, pair: TilePair, source: str, draw: Draw) -> tuple[Tensor, float]:
    """Weights (F,) from the tile of modality `source` to the other, and the share of its variance they explain."""
    known, other = _cut_out(archive, pair, source, draw)
    features = describe(to_unit(known))[0].flatten(1).T
    target = standard(gaussian(to_unit(other), 1.0))[0].flatten()
    chosen = draw.integers(min(SAMPLES, len(target)), 0, len(target))
    x, y = features[chosen].double(), target[chosen].double()
    gram = x.T @ x / len(x)
    gram.diagonal().add_(RIDGE)
    weights = torch.linalg.solve(gram, x.T @ y / len(x))
    error = (y - x @ weights).square().mean() / y.square().mean().clamp_min(1e-9)
    return weights.float(), float(1.0 - error)


def _cut_out(archive: Archive, pair: TilePair, source: str, draw: Draw) -> tuple[Tensor, Tensor]:
    """(1, 1, h, w) of both tiles, that of modality `source` first, cut so that their measured offset is undone."""
    shift = [round(value) for value in pair.shift_xy]
    first, second = archive.tiles[pair.first], archive.tiles[pair.second]
    height, width = first.shape
    left, right = max(0, -shift[0]), width - max(0, shift[0])
    top, bottom = max(0, -shift[1]), height - max(0, shift[1])
    rows, cols = min(FIT_PX, bottom - top), min(FIT_PX, right - left)
    top, left = top + draw.index(bottom - top - rows + 1), left + draw.index(right - left - cols + 1)
    here = first.pixels[:, top : top + rows, left : left + cols]
    there = second.pixels[:, top + shift[1] : top + shift[1] + rows, left + shift[0] : left + shift[0] + cols]
    grey = [part.float().mean(dim=0)[None, None] / 255.0 for part in (here, there)]
    return (grey[0], grey[1]) if first.modality == source else (grey[1], grey[0])
