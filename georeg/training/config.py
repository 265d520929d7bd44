"""What one training run is: the network, the cascade of stages, and how often it logs, validates and saves."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

from georeg.errors import UsageError
from georeg.training.losses import LossWeights


@dataclass(frozen=True)
class Stage:
    """One stage of the cascade.

    Attributes:
        name: "pretrain", "finetune" or "highres", or any other.
        steps: optimiser steps.
        batch: pairs a step (in each process).
        crop_px: side of the square views; a multiple of the network's `multiple_px`.
        learning_rate: at its peak, after the warm-up; falls along a cosine to `final_share` of it.
        warmup: steps of linear rise.
        final_share: share of the peak that is left in the end.
        appearance: whether the appearance bank is used; without it the views differ in geometry only.
        real_share: share of batches' pairs taken from real aligned pairs, where the archive has them.
        largest_turn_deg: relative rotations are drawn within this mostly.
        far_share, far_turn_deg: so many pairs at first (dynamic sampling changes it) are turned by up to this.
        dynamic_strength: how much more often recipes of a higher loss are drawn; 0 not at all.
        families_left_out: families of the appearance bank that give no view its main look.
    """

    name: str
    steps: int
    batch: int = 16
    crop_px: int = 192
    learning_rate: float = 1e-3
    warmup: int = 100
    final_share: float = 0.03
    appearance: bool = True
    real_share: float = 0.35
    largest_turn_deg: float = 45.0
    far_share: float = 0.08
    far_turn_deg: float = 90.0
    dynamic_strength: float = 0.5
    families_left_out: tuple[str, ...] = ()


@dataclass(frozen=True)
class TrainingConfig:
    """A whole run.

    Attributes:
        network: a name of `georeg.network.CONFIGS`.
        stages: one after the other.
        weight_decay, clip_norm, ema_decay: of the optimiser and of the averaged weights.
        loss: weights of its parts.
        log_every: steps between log lines.
        validate_every: steps between validations.
        save_minutes: minutes between checkpoints.
        validation_batches: size of the fixed synthetic set.
        seed: of everything drawn.
    """

    network: str = "small"
    stages: tuple[Stage, ...] = ()
    weight_decay: float = 0.02
    clip_norm: float = 1.0
    ema_decay: float = 0.998
    loss: LossWeights = field(default_factory=LossWeights)
    log_every: int = 10
    validate_every: int = 500
    save_minutes: float = 4.0
    validation_batches: int = 4
    seed: int = 0

    @property
    def steps(self) -> int:
        """Steps of all stages."""
        return sum(stage.steps for stage in self.stages)

    def stage_at(self, step: int) -> tuple[int, int]:
        """(index of the stage, steps done in it) after `step` steps of the run; the last stage at the end."""
        for index, stage in enumerate(self.stages):
            if step < stage.steps:
                return index, step
            step -= stage.steps
        return len(self.stages) - 1, self.stages[-1].steps

    def to_json(self) -> str:
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> TrainingConfig:
        """Raises UsageError where a field is unknown or of the wrong kind."""
        try:
            values: dict[str, Any] = json.loads(text)
            values["stages"] = tuple(Stage(**stage) for stage in values.get("stages", ()))
            values["loss"] = LossWeights(**values.get("loss", {}))
            for part in (*values["stages"], values["loss"], config := cls(**values)):
                _check_numbers(part)
            return config
        except (ValueError, TypeError) as error:
            raise UsageError(f"not a training config: {error}") from error

    def only(self, names: tuple[str, ...]) -> TrainingConfig:
        """The run with these stages alone; raises UsageError where one is not in it."""
        known = {stage.name for stage in self.stages}
        missing = sorted(set(names) - known)
        if missing:
            raise UsageError(
                f"no stage is called {', '.join(missing)}: the run has {', '.join(sorted(known))}"
            )
        return replace(self, stages=tuple(stage for stage in self.stages if stage.name in names))


def _check_numbers(part: Stage | LossWeights | TrainingConfig) -> None:
    """Raise TypeError where text, or nothing, stands for a number."""
    for one in fields(part):
        value = getattr(part, one.name)
        if one.type in ("int", "float", "bool") and not isinstance(value, int | float):
            raise TypeError(f"{one.name} is {value!r}, no number")


def default_training(network: str) -> TrainingConfig:
    """The cascade a network is trained with unless a config file says otherwise."""
    if network != "base":
        stages = (
            Stage("pretrain", 1500, appearance=False, real_share=0.0, largest_turn_deg=25.0),
            Stage("finetune", 12000, learning_rate=1.5e-3),
            Stage("highres", 1500, batch=6, crop_px=320, learning_rate=3e-4),
        )
    else:
        stages = (
            Stage(
                "pretrain", 10000, batch=32, crop_px=256, learning_rate=8e-4, appearance=False, real_share=0.0
            ),
            Stage("finetune", 60000, batch=32, crop_px=256, learning_rate=6e-4),
            Stage("highres", 10000, batch=8, crop_px=512, learning_rate=1e-4),
        )
    return TrainingConfig(network=network, stages=stages)
