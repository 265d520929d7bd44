"""Validation on a fixed set of pairs the training never sees: losses, and how many matches are right."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from georeg.engine.batch import TrainingBatch
from georeg.network import NetworkConfig
from georeg.network.model import MatchingNetwork
from georeg.training.losses import LossWeights, matching_loss

RIGHT_PX = 3.0
THRESHOLD = 0.2


class Validator:
    """Holds the fixed batches and a second network for the averaged weights."""

    def __init__(self, batches: Sequence[TrainingBatch], config: NetworkConfig, weights: LossWeights) -> None:
        self.batches = batches
        self.weights = weights
        self.network = MatchingNetwork(config)

    def prepare(self, state: Mapping[str, Tensor], device: torch.device) -> MatchingNetwork:
        """The network with these weights, in evaluation mode."""
        self.network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.network.load_state_dict(state)
        return self.network.eval()

    @torch.inference_mode()
    def score(self, network: MatchingNetwork) -> dict[str, float]:
        """Mean losses; "precision": share of matches within 3 px of the truth; "solved": share of pairs with at least
        20 right matches and half of them right."""
        figures: dict[str, list[float]] = defaultdict(list)
        for batch in self.batches:
            features = network(batch.view0, batch.view1, batch.valid0, batch.valid1)
            loss = matching_loss(network, features, batch, self.weights, torch.Generator().manual_seed(0))
            for name, value in loss.parts.items():
                figures[name].append(float(value))
            for index, found in enumerate(network.matches(features, THRESHOLD)):
                right, known = right_matches(batch, index, found[0], found[1])
                figures["precision"].append(right / max(known, 1))
                figures["solved"].append(float(right >= 20 and right >= 0.5 * known))
        return {name: round(sum(values) / len(values), 5) for name, values in figures.items()}


def right_matches(batch: TrainingBatch, index: int, place0: Tensor, place1: Tensor) -> tuple[int, int]:
    """(matches within the tolerance of the truth, matches) of one pair; matches without truth count as wrong."""
    height, width = batch.flow01.shape[1:3]
    limit = torch.tensor([width - 1, height - 1], device=place0.device)
    at = torch.minimum(place0.round().long().clamp(min=0), limit)
    truth = batch.flow01[index, at[:, 1], at[:, 0]] + (place0 - at)
    distance = (truth - place1).norm(dim=-1)
    right = distance < RIGHT_PX + float(batch.tolerance_px[index])
    return int(right.sum()), len(right)
