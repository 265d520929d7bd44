"""Which recipe the next pairs are drawn from: a prior, moved towards the recipes whose loss is high now."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from georeg.engine.draw import Draw


@dataclass(frozen=True)
class Recipe:
    """What a pair is made of: the source's modality (or pair kind), the main look's family, the geometry bin."""

    kind: str
    family: str
    geometry: str
    prior: float

    @property
    def name(self) -> str:
        return f"{self.kind}/{self.family}/{self.geometry}"


class RecipeSampler:
    """Draws recipes with probability prior x (loss / mean loss) ** strength, kept within a factor of `reach`.

    The losses are running means per recipe, shrunk towards the means of their kind, family and bin while few pairs
    were seen, so that one unlucky batch moves little.
    """

    def __init__(
        self, recipes: Sequence[Recipe], strength: float = 1.0, reach: float = 3.0, memory: float = 0.98
    ):
        self.recipes = tuple(recipes)
        self.strength, self.reach, self.memory = strength, reach, memory
        self.prior = torch.tensor([recipe.prior for recipe in self.recipes], dtype=torch.float64)
        self.prior = self.prior / self.prior.sum()
        self.loss = torch.zeros_like(self.prior)
        self.seen = torch.zeros_like(self.prior)
        self._groups = torch.stack([self._membership(name) for name in ("kind", "family", "geometry")])

    def _membership(self, attribute: str) -> Tensor:
        labels = [getattr(recipe, attribute) for recipe in self.recipes]
        place = {label: index for index, label in enumerate(dict.fromkeys(labels))}
        return torch.tensor([place[label] for label in labels])

    def report(self, recipe: Tensor, loss: Tensor) -> None:
        """Take in the losses (B,) of pairs of recipes (B,); those that are not finite are left out."""
        recipe, loss = recipe.detach().cpu(), loss.detach().double().cpu()
        finite = loss.isfinite()
        for index, value in zip(recipe[finite].tolist(), loss[finite].tolist(), strict=True):
            keep = min(self.memory, float(self.seen[index] / (self.seen[index] + 1.0)))
            self.loss[index] = keep * self.loss[index] + (1.0 - keep) * value
            self.seen[index] += 1.0

    def expected_loss(self) -> Tensor:
        """(R,) the running means, shrunk towards their groups' means by 10 pairs' worth."""
        if not self.seen.any():
            return torch.ones_like(self.loss)
        overall = (self.loss * self.seen).sum() / self.seen.sum()
        ratio = torch.ones_like(self.loss)
        for groups in self._groups:
            size = int(groups.max()) + 1
            total = torch.zeros(size, dtype=torch.float64).index_add_(0, groups, self.loss * self.seen)
            count = torch.zeros(size, dtype=torch.float64).index_add_(0, groups, self.seen)
            mean = (total + 10.0 * overall) / (count + 10.0)
            ratio = ratio * (mean[groups] / overall.clamp_min(1e-12))
        guess = overall * ratio
        return (self.loss * self.seen + 10.0 * guess) / (self.seen + 10.0)

    def probabilities(self) -> Tensor:
        """(R,) the present draw probabilities."""
        expected = self.expected_loss()
        mean = (expected * self.prior).sum().clamp_min(1e-12)
        factor = (expected / mean).clamp_min(1e-6).pow(self.strength).clamp(1.0 / self.reach, self.reach)
        weights = self.prior * factor
        return weights / weights.sum()

    def draw(self, count: int, draw: Draw) -> Tensor:
        """(count,) recipe indices on the CPU."""
        return draw.categorical(self.probabilities(), count)

    def table(self) -> dict[str, dict[str, float]]:
        """For the log: name -> draw probability, running loss, pairs seen."""
        chances = self.probabilities().tolist()
        return {
            recipe.name: {"probability": round(chance, 5), "loss": round(loss, 5), "seen": int(seen)}
            for recipe, chance, loss, seen in zip(
                self.recipes, chances, self.loss.tolist(), self.seen.tolist(), strict=True
            )
        }

    def state_dict(self) -> dict[str, Any]:
        names = [recipe.name for recipe in self.recipes]
        return {"names": names, "loss": self.loss.clone(), "seen": self.seen.clone()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over the running losses; recipes are matched by name, so another archive may be loaded too."""
        place = {name: index for index, name in enumerate(state["names"])}
        for index, recipe in enumerate(self.recipes):
            if recipe.name in place:
                self.loss[index] = state["loss"][place[recipe.name]]
                self.seen[index] = state["seen"][place[recipe.name]]
