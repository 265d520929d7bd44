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
from georeg.network.coarse import similarity, steps
from georeg.network.config import CELL_PX, FINE_PX
from georeg.network.fine import FINE_PER_CELL, REACH, SHIFTS, FineMatcher, expected_offset, refined_shift
from georeg.network.model import MatchingNetwork, PairFeatures

FINE_TOLERANCE_PX = 0.6
NEVER = -1e9


@dataclass(frozen=True)
class LossWeights:
    """How much each part counts; `focusing` is the power of (1 - p) in the focal weighting of the coarse loss.

    `fine_matches` true matches of each pair are drawn for the fine losses.
    """

    coarse: float = 1.0
    fine: float = 0.5
    sub_pixel: float = 0.3
    modality: float = 0.05
    focusing: float = 1.0
    fine_matches: int = 64


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
    place = point.round().long()[..., None, :] + steps(1, point.device)
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
    """Cross-entropy of the shift and distance of the mean shift from the truth, at `count` true matches of each pair.

    Parts: "fine" and "sub_pixel" are trained, the latter about the true shift; "fine_px" is the mean distance in pixels
    where the answer is looked for as in use.
    """
    assert features.fine0 is not None
    assert features.fine1 is not None
    image, cell, centre1 = draw_matches(batch, features, count, generator)
    maps = (features.fine0, features.fine1)
    columns = features.shape0[1]
    centre0 = torch.stack([cell % columns, cell // columns], -1) * FINE_PER_CELL
    truth = flow_at(batch.flow01, image, (centre0 * FINE_PX)[:, None])[:, 0] / FINE_PX
    within = ((truth - centre1).abs() <= REACH).all(-1)
    image, centre0, centre1, truth = (t[within] for t in (image, centre0, centre1, truth))
    if len(image) == 0:
        heads = torch.stack([parameter.sum() for parameter in fine.parameters()])
        nothing = (features.fine0.sum() + features.fine1.sum() + heads.sum()) * 0
        return {"fine": nothing, "sub_pixel": nothing, "fine_px": nothing}
    scores = fine.scores(maps, image, centre0, centre1)
    shift = truth - centre1 + REACH
    nearest = shift.round().long()
    offset, _ = expected_offset(scores, nearest)
    distance = torch.sqrt((nearest + offset - shift).square().sum(-1) + 1e-4)
    found, _ = refined_shift(scores.detach())
    return {
        "fine": shift_loss(scores, shift),
        "sub_pixel": FINE_PX * distance.mean(),
        "fine_px": FINE_PX * (found - shift).norm(dim=1).mean(),
    }


def shift_loss(scores: Tensor, shift: Tensor) -> Tensor:
    """Mean cross-entropy of scores (M, SHIFTS²), the truth (M, 2) shared bilinearly by the four shifts about it."""
    every = torch.arange(SHIFTS, device=scores.device)
    along = (1 - (every - shift[..., None]).abs()).clamp(min=0)
    target = (along[:, 1, :, None] * along[:, 0, None, :]).flatten(1)
    return -(target * scores.log_softmax(1)).sum(1).mean()


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
