"""Random draws of the data engine: reproducible from one CPU generator, on whichever device the images lie.

Parameters (a few numbers a view) are drawn on the CPU and moved; noise fields are drawn on the device itself from a
second generator, so that large random tensors never travel.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


class Draw:
    """Where every random number of the engine comes from."""

    def __init__(self, generator: torch.Generator, device: torch.device | str = "cpu") -> None:
        self.device = torch.device(device)
        self.parameters = generator
        self.fields = generator
        if self.device.type != "cpu":
            self.fields = torch.Generator(self.device)
            self.fields.manual_seed(int(torch.randint(2**31, (1,), generator=generator)))

    def uniform(self, shape: int | tuple[int, ...], low: float = 0.0, high: float = 1.0) -> Tensor:
        """Uniform numbers in [low, high), drawn on the CPU and moved to the device."""
        return (torch.rand(_shape(shape), generator=self.parameters) * (high - low) + low).to(self.device)

    def log_uniform(self, shape: int | tuple[int, ...], low: float, high: float) -> Tensor:
        """Numbers whose logarithm is uniform between log(low) and log(high)."""
        bounds = torch.tensor([low, high], dtype=torch.float64).log().tolist()
        return self.uniform(shape, *bounds).exp()

    def normal(self, shape: int | tuple[int, ...]) -> Tensor:
        """Standard normal numbers, drawn on the CPU and moved to the device."""
        return torch.randn(_shape(shape), generator=self.parameters).to(self.device)

    def integers(self, shape: int | tuple[int, ...], low: int, high: int) -> Tensor:
        """Integers in [low, high)."""
        return torch.randint(low, high, _shape(shape), generator=self.parameters).to(self.device)

    def number(self, low: float = 0.0, high: float = 1.0) -> float:
        """One uniform number as a Python float."""
        return float(torch.rand((), generator=self.parameters)) * (high - low) + low

    def index(self, high: int) -> int:
        """One integer in [0, high)."""
        return int(torch.randint(high, (), generator=self.parameters))

    def chance(self, probability: float) -> bool:
        return self.number() < probability

    def categorical(self, weights: Tensor, count: int) -> Tensor:
        """`count` indices (on the CPU) drawn with probabilities proportional to `weights` (K,), with replacement."""
        return torch.multinomial(weights.double().cpu(), count, replacement=True, generator=self.parameters)

    def noise(self, shape: tuple[int, ...]) -> Tensor:
        """A standard normal field drawn on the device."""
        return torch.randn(shape, generator=self.fields, device=self.device)

    def uniform_field(self, shape: tuple[int, ...]) -> Tensor:
        """A uniform [0, 1) field drawn on the device."""
        return torch.rand(shape, generator=self.fields, device=self.device)

    def state_dict(self) -> dict[str, Any]:
        return {"parameters": self.parameters.get_state(), "fields": self.fields.get_state()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on exactly where another draw stopped (on the same kind of device)."""
        self.parameters.set_state(state["parameters"].cpu())
        if self.fields is not self.parameters and state["fields"].numel() == self.fields.get_state().numel():
            self.fields.set_state(state["fields"].cpu())


def _shape(shape: int | tuple[int, ...]) -> tuple[int, ...]:
    return (shape,) if isinstance(shape, int) else shape
