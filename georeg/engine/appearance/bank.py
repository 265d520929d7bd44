"""The list of looks and the drawing of one to three of them for each view."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from georeg.engine.appearance import infrared, mixing, sar, structure, tone
from georeg.engine.appearance.filters import to_unit
from georeg.engine.appearance.fitted import FittedBook
from georeg.engine.appearance.style import StyleBook
from georeg.engine.batch import MODALITIES
from georeg.engine.draw import Draw

Render = Callable[[Tensor, Draw], Tensor]
KEEPS = -2
UNKNOWN = -1
FAMILIES = ("plain", "tone", "mixing", "sar", "infrared", "structure")
"""What a view's main look may be drawn from; the bank's further family "prepare" only goes before others."""


@dataclass(frozen=True)
class Look:
    """One item of the bank.

    Attributes:
        name, family: the family is what dynamic sampling tells apart.
        render: (B, 1, H, W) in 0..1 and the draws -> the same shape, any range.
        modality: index of what the result looks like; KEEPS: what went in; UNKNOWN: like no sensor.
        weight: how often it is drawn within its family.
        last: it ends the chain (noise belongs after tone, not before).
        edge_shift_px: how far an edge may move; the tests hold the item to it.
    """

    name: str
    family: str
    render: Render
    modality: int = KEEPS
    weight: float = 1.0
    last: bool = False
    edge_shift_px: float = 1.0


OPTICAL, SAR, INFRARED, MAP, ELEVATION = range(len(MODALITIES))

BANK: tuple[Look, ...] = (
    Look("gamma", "tone", tone.gamma, weight=1.5),
    Look("monotone curve", "tone", tone.monotone_curve, UNKNOWN),
    Look("free curve", "tone", tone.free_curve, UNKNOWN, weight=1.5),
    Look("cosine", "tone", tone.cosine, UNKNOWN, weight=1.5),
    Look("inversion", "tone", tone.inversion, UNKNOWN),
    Look("posterise", "tone", tone.posterise, UNKNOWN),
    Look("local contrast", "tone", tone.local_contrast),
    Look("illumination", "tone", tone.illumination),
    Look("patchwork", "tone", tone.patchwork, UNKNOWN),
    Look("night", "tone", tone.night, OPTICAL, weight=0.8, last=True),
    Look("random network", "mixing", mixing.random_network, UNKNOWN, weight=2.0),
    Look("statistics swap", "mixing", mixing.statistics_swap, UNKNOWN),
    Look("fourier mix", "mixing", mixing.fourier_mix, UNKNOWN),
    Look("band mix", "mixing", mixing.band_mix, UNKNOWN),
    Look("textured", "mixing", mixing.textured, UNKNOWN),
    Look("sar-like", "sar", sar.sar_like, SAR, weight=2.5, last=True),
    Look("speckled", "sar", sar.speckled, SAR, weight=0.7, last=True),
    Look("multilooked", "sar", sar.multilooked, SAR, weight=1.5, last=True),
    Look("despeckled", "prepare", sar.despeckled, UNKNOWN),
    Look("thermal-like", "infrared", infrared.thermal_like, INFRARED, weight=2.0, last=True),
    Look("near infrared-like", "infrared", infrared.near_infrared_like, INFRARED),
    Look("gradient magnitude", "structure", structure.gradient_magnitude, UNKNOWN),
    Look("deviation", "structure", structure.deviation, UNKNOWN, weight=0.6),
    Look("hillshade", "structure", structure.hillshade, ELEVATION, weight=1.2),
    Look("shaded model", "structure", structure.shaded_model, ELEVATION, weight=0.8),
    Look("smooth height", "structure", structure.smooth_height, ELEVATION, weight=0.6),
    Look("map-like", "structure", structure.map_like, MAP, weight=1.5),
    Look("contours", "structure", structure.contours, MAP, weight=0.6, edge_shift_px=3.0),
    Look("ridges", "structure", structure.ridges, UNKNOWN),
    Look("region means", "structure", structure.region_means, UNKNOWN),
)


FITTED_OPTICAL = "fitted optical"
PREPARED = {
    SAR: ("despeckled", "sar", 0.7),
    INFRARED: (FITTED_OPTICAL, "infrared", 0.5),
    MAP: ("textured", "", 0.6),
    ELEVATION: ("textured", "structure", 0.4),
}
"""Modality of a scene -> the look that goes first, the family that does without it, how often."""


def styled_looks(book: StyleBook) -> tuple[Look, ...]:
    """Looks in the manner of the archive's own SAR, infrared, map and elevation tiles.

    They take over statistics, not the sensor's nature, so they count as no modality; they are dear on a CPU and rare.
    """
    places = {"sar": "sar", "infrared": "infrared", "map": "structure", "elevation": "structure"}
    return tuple(
        Look(f"styled as {name}", family, book.look(name), UNKNOWN, weight=0.4)
        for name, family in places.items()
        if name in book.styles
    )


def fitted_looks(from_optical: FittedBook, from_infrared: FittedBook) -> tuple[Look, ...]:
    """Looks fitted to the archive's real pairs: optical to SAR, infrared, map and elevation, infrared to optical."""
    places = {"sar": ("sar", SAR, 2.5), "infrared": ("infrared", INFRARED, 2.0)}
    places |= {"map": ("structure", UNKNOWN, 0.5), "elevation": ("structure", UNKNOWN, 0.3)}
    looks = [
        Look(f"fitted {name}", family, from_optical.look(name), modality, weight, last=True)
        for name, (family, modality, weight) in places.items()
        if name in from_optical.weights
    ]
    if "optical" in from_infrared.weights:
        looks.append(Look(FITTED_OPTICAL, "prepare", from_infrared.look("optical"), OPTICAL))
    return tuple(looks)


def draw_chains(
    families: list[int],
    draw: Draw,
    modality: list[int] | None = None,
    bank: tuple[Look, ...] = BANK,
    lengths: tuple[float, float, float] = (0.7, 0.22, 0.08),
) -> list[list[int]]:
    """Indices into the bank for each view: its family's look, tone or mixing before or after it.

    A scene of a sensor in PREPARED (by `modality`, one index a view) is prepared first: SAR is despeckled, maps and
    height models get texture, where they are to look like another sensor.
    """
    counts = (1 + draw.categorical(torch.tensor(lengths), len(families))).tolist()
    chains: list[list[int]] = []
    for view, (family, length) in enumerate(zip(families, counts, strict=True)):
        if FAMILIES[family] == "plain":
            chains.append([])
            continue
        main = _one_of(FAMILIES[family], draw, bank)
        extra = [_one_of("tone" if draw.chance(0.7) else "mixing", draw, bank) for _ in range(length - 1)]
        extra = [index for index in extra if not bank[index].last]
        before = bank[main].last or draw.chance(0.5)
        chain = [*extra, main] if before else [main, *extra]
        if modality is not None and modality[view] in PREPARED:
            name, family_kept, chance = PREPARED[modality[view]]
            if FAMILIES[family] != family_kept and draw.chance(chance):
                chain = [*(i for i, look in enumerate(bank) if look.name == name), *chain]
        chains.append(chain)
    return chains


def _one_of(family: str, draw: Draw, bank: tuple[Look, ...]) -> int:
    weights = torch.tensor([look.weight if look.family == family else 0.0 for look in bank])
    return int(draw.categorical(weights, 1))


def render(
    images: Tensor, modality: Tensor, chains: list[list[int]], draw: Draw, bank: tuple[Look, ...] = BANK
) -> tuple[Tensor, Tensor]:
    """Run every view through its chain; views that share a look at the same place share the call.

    Args:
        images: (B, 1, H, W) in 0..1.
        modality: (B,) int64 of the originals.
        chains: indices into the bank, one list a view.

    Returns:
        images in 0..1, and (B,) int64 modality of what they look like now.
    """
    images, modality = images.clone(), modality.clone()
    for step in range(max((len(chain) for chain in chains), default=0)):
        for index in sorted({chain[step] for chain in chains if len(chain) > step}):
            views = [i for i, chain in enumerate(chains) if len(chain) > step and chain[step] == index]
            chosen = torch.tensor(views, device=images.device)
            images[chosen] = _clipped(bank[index].render(images[chosen], draw))
            if bank[index].modality != KEEPS:
                modality[chosen] = bank[index].modality
    return images, modality


def _clipped(images: Tensor) -> Tensor:
    """Bring views that left 0..1 back by their own mean and deviation, and clip the others: looks may rely on 0..1."""
    low, high = images.flatten(1).aminmax(dim=1)
    out = ((low < -0.01) | (high > 1.01)).nonzero()[:, 0]
    if len(out):
        images[out] = to_unit(images[out])
    return images.clamp_(0.0, 1.0)
