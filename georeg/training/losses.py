"""What the network is trained with: coarse, fine, sub-pixel and modality losses from the exact flow of a batch.

Coordinates count pixel centres from 0, as everywhere in network code. Truth that is itself uncertain
(`TrainingBatch.tolerance_px`) widens what the coarse loss accepts and leaves the fine stage alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from georeg.engine.batch import TrainingBatch
from georeg.network.coarse import similarity
from georeg.network.config import CELL_PX, FINE_PX
from georeg.network.fine import FINE_PER_CELL, FineMatcher, gather_places
from georeg.network.model import MatchingNetwork, PairFeatures

FINE_TOLERANCE_PX = 0.6
NEVER = -1e9


@dataclass(frozen=True)
class LossWeights:
    """How much each part counts; `focusing` is the power of (1 - p) in the focal weighting of the coarse loss.

    `fine_matches` true matches of each pair are drawn for the fine losses.
    """

    coarse: float = 1.0
    fine: float = 0.3
    sub_pixel: float = 0.3
    modality: float = 0.05
    focusing: float = 1.0
    fine_matches: int = 48


@dataclass(frozen=True)
class LossParts:
    """The weighted sum, its parts as scalars, and the coarse loss of each pair (B,) for dynamic sampling."""

    total: Tensor
    parts: dict[str, Tensor]
    per_pair: Tensor


def matching_loss(
    network: MatchingNetwork,
    features: PairFeatures,
    batch: TrainingBatch,
    weights: LossWeights,
    generator: torch.Generator | None = None,
) -> LossParts:
    """The loss of one batch.

    Args:
        network: for the heads of its fine stage.
        features: of the batch's views.
        batch: views and truth.
        weights: of the parts.
        generator: CPU generator that draws the matches for the fine stage.
    """
    scores = similarity(features.coarse0, features.coarse1, features.cells0, features.cells1)
    row = direction_loss(
        scores, batch.flow01, features.cells0, features, batch.tolerance_px, weights.focusing, 0
    )
    column = direction_loss(
        scores.transpose(1, 2),
        batch.flow10,
        features.cells1,
        features,
        batch.tolerance_px,
        weights.focusing,
        1,
    )
    per_pair = (row.loss + column.loss) / 2
    parts = {"coarse": weighted_mean(per_pair, row.count + column.count)}
    parts["accuracy"] = (row.hits + column.hits).sum() / (row.count + column.count).sum().clamp(min=1)
    parts |= fine_losses(network.fine, features, batch, weights.fine_matches, generator)
    if features.modality0 is not None and features.modality1 is not None:
        parts |= modality_loss(features.modality0, features.modality1, batch)
    total = (
        weights.coarse * parts["coarse"]
        + weights.fine * parts["fine"]
        + weights.sub_pixel * parts["sub_pixel"]
    )
    if "modality" in parts:
        total = total + weights.modality * parts["modality"]
    return LossParts(total, {name: value.detach() for name, value in parts.items()}, per_pair.detach())


def weighted_mean(values: Tensor, weight: Tensor) -> Tensor:
    """Mean of the pairs that have any truth at all."""
    has = (weight > 0).to(values.dtype)
    return (values * has).sum() / has.sum().clamp(min=1)


@dataclass(frozen=True)
class DirectionLoss:
    """Per pair (B,): mean loss over its cells with truth, how many there are, and how many are matched rightly."""

    loss: Tensor
    count: Tensor
    hits: Tensor


def direction_loss(
    scores: Tensor,
    flow: Tensor,
    cells: Tensor,
    features: PairFeatures,
    tolerance_px: Tensor,
    focusing: float,
    source: int,
) -> DirectionLoss:
    """Negative log-likelihood of the true cell of every row of `scores` (B, N, M), weighted by (1 - p)^focusing.

    A true point lies among four cells and is spread over them by bilinear weights, so that the expectation over
    the cells is the point itself. With a tolerance, all cells within half a cell plus the tolerance count as right.
    """
    shape = features.shape1 if source == 0 else features.shape0
    target_cells = features.cells1 if source == 0 else features.cells0
    point = flow[:, ::CELL_PX, ::CELL_PX].flatten(1, 2) / CELL_PX
    known = torch.isfinite(point).all(-1) & cells
    point = torch.where(known[..., None], point, torch.zeros_like(point))
    near, distance, inside = cells_about(point, shape)
    inside = inside & target_cells.gather(1, near.flatten(1)).view(near.shape)
    known = known & inside[..., 4]
    log_p = scores.log_softmax(-1)
    near_log_p = log_p.gather(-1, near)
    bilinear = (1 - distance).clamp(min=0).prod(-1) * inside
    bilinear = bilinear / bilinear.sum(-1, keepdim=True).clamp(min=1e-6)
    reach = (0.5 + tolerance_px / CELL_PX)[:, None, None]
    accepted = (distance <= reach[..., None]).all(-1) & inside
    accepted_log_p = near_log_p.masked_fill(~accepted, NEVER).logsumexp(-1)
    exact = tolerance_px[:, None] <= FINE_TOLERANCE_PX
    loss = torch.where(exact, -(bilinear * near_log_p).sum(-1), -accepted_log_p)
    mass = (near_log_p.detach().exp() * inside).sum(-1)
    focal = (1 - mass.clamp(0, 1)) ** focusing
    hit = (scores.detach().argmax(-1)[..., None] == near).logical_and(accepted | (bilinear > 0.2)).any(-1)
    count = known.sum(1)
    weight = known / count.clamp(min=1)[:, None]
    return DirectionLoss((loss * focal * weight).sum(1), count, (hit & known).sum(1))


def cells_about(point: Tensor, shape: tuple[int, int]) -> tuple[Tensor, Tensor, Tensor]:
    """The 3x3 cells about points (B, N, 2) x, y in cells.

    Returns:
        flat indices (B, N, 9), kept on the grid; distance (B, N, 9, 2) of cell and point along each axis, in cells;
        whether the cell lies on the grid (B, N, 9). The nearest cell is number 4.
    """
    step = torch.arange(-1, 2, device=point.device)
    dy, dx = (t.flatten() for t in torch.meshgrid(step, step, indexing="ij"))
    place = point.round().long()[..., None, :] + torch.stack([dx, dy], -1)
    limit = torch.tensor([shape[1], shape[0]], device=point.device)
    inside = ((place >= 0) & (place < limit)).all(-1)
    kept = torch.minimum(place.clamp(min=0), limit - 1)
    return kept[..., 1] * shape[1] + kept[..., 0], (place - point[..., None, :]).abs(), inside


def fine_losses(
    fine: FineMatcher,
    features: PairFeatures,
    batch: TrainingBatch,
    count: int,
    generator: torch.Generator | None,
) -> dict[str, Tensor]:
    """Dual-softmax likelihood in the fine windows and sub-pixel residual, at `count` true matches of each pair."""
    image, cell, centre1 = draw_matches(batch, features, count, generator)
    maps = (features.fine0, features.fine1)
    if len(image) == 0:
        heads = torch.stack([parameter.sum() for parameter in fine.parameters()])
        nothing = (features.fine0.sum() + features.fine1.sum() + heads.sum()) * 0
        return {"fine": nothing, "sub_pixel": nothing, "fine_px": nothing}
    columns = features.shape0[1]
    centre0 = torch.stack([cell % columns, cell // columns], -1) * FINE_PER_CELL
    places0 = fine.windows(centre0, (maps[0].shape[1], maps[0].shape[2]))
    places1 = fine.windows(centre1, (maps[1].shape[1], maps[1].shape[2]))
    scores = fine.scores(gather_places(maps[0], image, places0), gather_places(maps[1], image, places1))
    target = flow_at(batch.flow01, image, places0 * FINE_PX) / FINE_PX
    place, known = place_in_window(target, places1, fine.side)
    log_p = scores.log_softmax(2).gather(2, place[..., None]) + scores.log_softmax(1).gather(
        2, place[..., None]
    )
    log_p = log_p[..., 0]
    loss = (-log_p * known).sum() / known.sum().clamp(min=1)
    chosen = log_p.detach().masked_fill(~known, NEVER).argmax(1)
    row = torch.arange(len(image), device=image.device)
    place0, place1 = places0[row, chosen], places1[row, place[row, chosen]]
    residual = sub_pixel_residual(fine, maps, batch, image, place0, place1)
    usable = known.any(1) & residual.isfinite()
    residual = torch.where(usable, residual, torch.zeros_like(residual))
    mean = residual.sum() / usable.sum().clamp(min=1)
    return {"fine": loss, "sub_pixel": mean, "fine_px": mean}


def draw_matches(
    batch: TrainingBatch, features: PairFeatures, count: int, generator: torch.Generator | None
) -> tuple[Tensor, Tensor, Tensor]:
    """Up to `count` cells of view 0 with truth in each pair whose truth is exact.

    Returns:
        image (M,), cell (M,), and where the coarse stage would look in view 1: (M, 2) x, y on the fine grid, the truth
        rounded and moved by up to one position, as a coarse stage would miss it.
    """
    flow = batch.flow01[:, ::CELL_PX, ::CELL_PX].flatten(1, 2)
    known = (
        torch.isfinite(flow).all(-1) & features.cells0 & (batch.tolerance_px <= FINE_TOLERANCE_PX)[:, None]
    )
    order = torch.rand(known.shape, generator=generator).to(known.device).masked_fill(~known, -1.0)
    best, cell = order.topk(min(count, order.shape[1]), dim=1)
    image, column = (best >= 0).nonzero(as_tuple=True)
    cell = cell[image, column]
    jitter = torch.randint(-1, 2, (len(cell), 2), generator=generator).to(cell.device)
    return image, cell, (flow[image, cell] / FINE_PX).round().long() + jitter


def flow_at(flow: Tensor, image: Tensor, place: Tensor) -> Tensor:
    """Flow (B, H, W, 2) at whole pixels (M, K, 2) x, y of images (M,): (M, K, 2)."""
    return flow[image[:, None], place[..., 1], place[..., 0]]


def place_in_window(target: Tensor, places: Tensor, side: int) -> tuple[Tensor, Tensor]:
    """Which position of the window is nearest to each target, and whether the target lies in it.

    Args:
        target: (M, K, 2) on the fine grid, NaN where unknown.
        places: (M, side², 2) the window.
    """
    relative = target - places[:, :1]
    known = torch.isfinite(relative).all(-1)
    index = torch.where(known[..., None], relative, torch.zeros_like(relative)).round().long()
    known = known & ((index >= 0) & (index < side)).all(-1)
    index = index.clamp(0, side - 1)
    return index[..., 1] * side + index[..., 0], known


def sub_pixel_residual(
    fine: FineMatcher,
    maps: tuple[Tensor, Tensor],
    batch: TrainingBatch,
    image: Tensor,
    place0: Tensor,
    place1: Tensor,
) -> Tensor:
    """Distance in pixels (M,) between where the refined point of view 0 truly goes and the refined point of view 1."""
    offset = fine.sub_pixel(maps, image, place0, place1)
    height, width = batch.flow01.shape[1:3]
    point0 = FINE_PX * (place0 + offset[:, :2])
    corner = torch.minimum(
        point0.detach().floor().long().clamp(min=0),
        torch.tensor([width - 2, height - 2], device=image.device),
    )
    shift = point0 - corner
    base = flow_at(batch.flow01, image, corner[:, None])[:, 0]
    along_x = (
        flow_at(batch.flow01, image, (corner + torch.tensor([1, 0], device=image.device))[:, None])[:, 0]
        - base
    )
    along_y = (
        flow_at(batch.flow01, image, (corner + torch.tensor([0, 1], device=image.device))[:, None])[:, 0]
        - base
    )
    finite = (base + along_x + along_y).isfinite().all(-1, keepdim=True)
    base, along_x, along_y = (torch.where(finite, t, torch.zeros_like(t)) for t in (base, along_x, along_y))
    truth = base + shift[:, :1] * along_x + shift[:, 1:] * along_y
    residual = truth - FINE_PX * (place1 + offset[:, 2:])
    distance = torch.sqrt((residual**2).sum(-1) + 1e-4)
    return torch.where(finite[:, 0], distance, torch.full_like(distance, torch.nan))


def modality_loss(logits0: Tensor, logits1: Tensor, batch: TrainingBatch) -> dict[str, Tensor]:
    """Cross-entropy of the inferred categories and how often they are right, over views of known category."""
    logits = torch.cat([logits0, logits1]).float()
    labels = torch.cat([batch.modality0, batch.modality1])
    known = labels >= 0
    if not bool(known.any()):
        return {"modality": logits.sum() * 0, "modality_accuracy": torch.zeros(())}
    right = (logits.argmax(-1) == labels) & known
    loss = F.cross_entropy(logits, labels, ignore_index=-1)
    return {"modality": loss, "modality_accuracy": right.sum() / known.sum()}
