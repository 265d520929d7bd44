"""The training loop: batches from the data engine, steps, averages, log, validation, checkpoints, clean stops.

A run is a folder: config.json, log.jsonl, curves.png, checkpoint.pt (everything, to resume to the same numbers) and
weights.safetensors (the averaged weights alone, enough to use or to go on from).
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from torch import Tensor, nn

from georeg.engine.archive import Archive
from georeg.engine.batch import TrainingBatch
from georeg.errors import InputError, ResourceError, UsageError
from georeg.network import config_by_name
from georeg.network.devices import halves_pay
from georeg.network.grow import grow_state
from georeg.network.model import MatchingNetwork
from georeg.network.state import fill_network, load_state, save_weights
from georeg.network.weights import find_weights
from georeg.training.checkpoint import WeightAverage, learning_rate, load_checkpoint, save_checkpoint
from georeg.training.config import Stage, TrainingConfig
from georeg.training.journal import Journal, plot
from georeg.training.losses import LossParts, LossWeights, matching_loss
from georeg.training.processes import Processes
from georeg.training.source import engine_config, fixed_batches, make_engine, split_archive
from georeg.training.validation import Validator

CHECKPOINT = "checkpoint.pt"
ATTEMPTS = 5
TEMPERATURE_SHARE = 10.0
Report = Callable[[str, int, int, str], None]


@dataclass(frozen=True)
class Limits:
    """When this slice of the run stops, without changing its schedule; None is no limit."""

    max_steps: int | None = None
    max_minutes: float | None = None


@dataclass
class Outcome:
    """How a slice ended: "finished", "limit" or "interrupted"; steps done in all; the last validation."""

    reason: str
    steps: int
    validation: dict[str, float] = field(default_factory=dict)


def check_new_run(run: Path) -> None:
    """Make the folder of a new run.

    Raises:
        UsageError: it holds a run already.
        InputError: it cannot be made.
    """
    if (run / CHECKPOINT).exists():
        raise UsageError(f"{run} holds a run already: go on with --resume, or choose another folder")
    try:
        run.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{run} cannot be the folder of a run ({error.strerror}): choose another") from error


@contextmanager
def new_run(run: Path) -> Iterator[None]:
    """Make the folder of a new run, and take it away again if the block fails before it has put anything there.

    Raises:
        UsageError, InputError: as `check_new_run`.
    """
    missing = [folder for folder in (run, *run.parents) if not folder.exists()]
    check_new_run(run)
    try:
        yield
    except BaseException:
        with suppress(OSError):  # not empty: what was saved stays
            for folder in missing:
                folder.rmdir()
        raise


class TrainingStep(nn.Module):
    """Network and loss as one module, so that gradients of all parameters are averaged over processes."""

    def __init__(self, network: MatchingNetwork, weights: LossWeights, halves: bool) -> None:
        super().__init__()
        self.network = network
        self.weights = weights
        self.halves = halves

    def forward(self, batch: TrainingBatch, generator: torch.Generator) -> tuple[Tensor, LossParts]:
        device = batch.view0.device
        with torch.autocast(device.type, torch.bfloat16, enabled=self.halves):
            features = self.network(batch.view0, batch.view1, batch.valid0, batch.valid1)
        loss = matching_loss(self.network, features.float(), batch, self.weights, generator)
        return loss.total, loss


class Trainer:
    """One run in one folder.

    Args:
        archive: unlabelled scenes.
        run: the run's folder.
        config: what to do.
        processes: this process and the others.
        report: called with ("train", steps done, steps in all, a line of text).
        external: further validation, called with the file of the averaged weights; gives figures for the log.
    """

    def __init__(
        self,
        archive: Archive,
        run: Path,
        config: TrainingConfig,
        processes: Processes,
        report: Report | None = None,
        external: Callable[[Path], dict[str, float]] | None = None,
    ) -> None:
        if not config.stages:
            raise UsageError("the training config has no stage: give at least one")
        self.run, self.config, self.processes = run, config, processes
        self.device = processes.device
        self.report = report or (lambda stage, done, total, message: None)
        self.training, held_out = split_archive(archive, config.seed)
        torch.manual_seed(config.seed)
        self.network = MatchingNetwork(config_by_name(config.network)).to(self.device)
        self.network = self.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.step_module = processes.wrap(TrainingStep(self.network, config.loss, halves_pay(self.device)))
        self.optimizer = torch.optim.AdamW(parameter_groups(self.network, config.weight_decay), fused=True)
        self.average = WeightAverage(self.network, config.ema_decay)
        self.generator = torch.Generator().manual_seed(config.seed + 7919 * processes.rank)
        self.step = 0
        self.stage_index = 0
        self.engine = make_engine(
            self.training, self.stage, self.device, config.seed + 1 + 104729 * processes.rank
        )
        self.held_out = held_out
        self.validator: Validator | None = None
        self.external = external
        self.journal = Journal(run / "log.jsonl")
        self.last_validation: dict[str, float] = {}

    @property
    def stage(self) -> Stage:
        return self.config.stages[self.stage_index]

    @property
    def checkpoint_path(self) -> Path:
        return self.run / CHECKPOINT

    @property
    def weights_path(self) -> Path:
        return self.run / "weights.safetensors"

    def begin(self, init: str | Path | None = None) -> None:
        """Prepare the folder of a new run, from weights where some are given.

        Raises:
            UsageError: the folder holds a run already.
            InputError: weights of another network, or a folder that takes no files.
            ResourceError: the disk is full.
        """
        check_new_run(self.run)
        if init is not None:
            weights = find_weights(init)
            state = load_state(weights)
            if weights.config != self.network.config:
                state = grow_state(state, weights.config, self.network)
            fill_network(self.network, state, str(weights.path))
            self.average = WeightAverage(self.network, self.config.ema_decay)
        if self.processes.first:
            try:
                (self.run / "config.json").write_text(self.config.to_json() + "\n", encoding="utf-8")
            except OSError as error:
                raise ResourceError(
                    f"cannot write into {self.run} ({error.strerror}): free some space, or choose another folder"
                ) from error
            self.journal.write("note", text=self.training.summary(), init=str(init) if init else None)

    def resume(self) -> None:
        """Go on exactly where the run's checkpoint stopped; raises InputError where it does not fit."""
        saved = load_checkpoint(self.checkpoint_path, self.network.config.to_json(), self.config.to_json())
        if len(saved["processes"]) != self.processes.count:
            raise InputError(
                f"the checkpoint was written by {len(saved['processes'])} processes, this run has "
                f"{self.processes.count}: start as many, or begin a new run with --init"
            )
        self.network.load_state_dict(saved["model"])
        self.average.load_state_dict(saved["average"])
        self.step = saved["step"]
        self.enter_stage(self.config.stage_at(self.step)[0])
        self.optimizer.load_state_dict(saved["optimizer"])
        own = saved["processes"][self.processes.rank]
        self.engine.load_state_dict(own["engine"])
        self.generator.set_state(own["generator"])

    def enter_stage(self, index: int) -> None:
        """Point the engine at another stage of the cascade."""
        self.stage_index = index
        self.engine.configure(engine_config(self.stage))
        self.validator = None

    def save(self) -> None:
        """Write checkpoint and averaged weights; every process takes part, the first one writes."""
        own = {"engine": self.engine.state_dict(), "generator": self.generator.get_state()}
        everyone = self.processes.gather(own)
        if not self.processes.first:
            return
        content = {
            "network": self.network.config.to_json(),
            "training": self.config.to_json(),
            "step": self.step,
            "model": self.network.state_dict(),
            "average": self.average.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "processes": everyone,
        }
        save_checkpoint(self.checkpoint_path, content)
        self.save_averaged()
        plot(self.journal, self.run / "curves.png")

    def save_averaged(self) -> None:
        """Write the averaged weights alone."""
        notes = {"steps": str(self.step), "pairs": str(self.pairs_seen()), "seed": str(self.config.seed)}
        save_weights(self.weights_path, self.average.state, self.network.config, notes)

    def pairs_seen(self) -> int:
        """Pairs trained on so far in this run, over all processes."""
        index, inside = self.config.stage_at(self.step)
        done = sum(stage.steps * stage.batch for stage in self.config.stages[:index])
        return (done + inside * self.config.stages[index].batch) * self.processes.count

    def train(self, limits: Limits | None = None) -> Outcome:
        """Run to the end, a limit or a signal, saving on the way and at the end."""
        limits = limits or Limits()
        started = saved = logged = time.monotonic()
        first = self.step
        with stop_on_signals() as stop:
            while self.step < self.config.steps:
                index, inside = self.config.stage_at(self.step)
                if index != self.stage_index:
                    self.enter_stage(index)
                loss = self.one_step(inside)
                self.step += 1
                now = time.monotonic()
                if self.step % self.config.log_every == 0 and self.processes.first:
                    self.log(loss, now - logged)
                    logged = now
                if self.step % self.config.validate_every == 0:
                    self.validate()
                    logged = time.monotonic()
                ending = self.processes.any(stop.asked or reached(limits, self.step - first, now - started))
                if ending:
                    break
                if self.processes.any(now - saved > 60 * self.config.save_minutes):
                    self.save()
                    saved = logged = time.monotonic()
        self.save()
        finished = self.step >= self.config.steps
        reason = "finished" if finished else "interrupted" if stop.asked else "limit"
        return Outcome(reason, self.step, self.last_validation)

    def one_step(self, inside: int) -> LossParts:
        """Draw a batch, take a gradient step, tell the engine the losses."""
        stage, config = self.stage, self.config
        rate = learning_rate(inside, stage.steps, stage.learning_rate, stage.warmup, stage.final_share)
        for group in self.optimizer.param_groups:
            group["lr"] = rate * group["share"]
        batch = self.next_batch()
        self.step_module.train()
        total, loss = self.step_module(batch, self.generator)
        self.optimizer.zero_grad(set_to_none=True)
        total.backward()
        norm = nn.utils.clip_grad_norm_(self.network.parameters(), config.clip_norm)
        if bool(torch.isfinite(norm)):
            self.optimizer.step()
            self.average.update(self.network)
        self.engine.report_losses(batch.recipe, loss.per_pair)
        return loss

    def next_batch(self) -> TrainingBatch:
        """The engine's next batch whose views are finite; one that is not would spoil the running statistics."""
        for _ in range(ATTEMPTS):
            batch = self.engine.batch(self.stage.batch)
            if bool(torch.isfinite(batch.view0).all() & torch.isfinite(batch.view1).all()):
                return batch
            self.journal.write(
                "note", text="a batch with views that are not finite was left out", step=self.step
            )
        raise InputError(f"{ATTEMPTS} batches in a row held values that are not finite: is a raster damaged?")

    def log(self, loss: LossParts, seconds: float) -> None:
        steps = self.config.log_every
        parts = {name: round(float(value), 5) for name, value in loss.parts.items()}
        rate = steps * self.stage.batch * self.processes.count / max(seconds, 1e-9)
        self.journal.write(
            "train",
            step=self.step,
            stage=self.stage.name,
            learning_rate=self.optimizer.param_groups[0]["lr"],
            pairs_per_s=round(rate, 2),
            **parts,
        )
        text = f"coarse {parts['coarse']:.3f} accuracy {parts['accuracy']:.2f} {rate:.1f} pairs/s"
        self.report("train", self.step, self.config.steps, text)

    def validate(self) -> None:
        """Score the averaged weights on the fixed set, and on the benchmark where there is one."""
        if not self.processes.first:
            return
        if self.validator is None:
            count, seed = self.config.validation_batches, 1_000_003
            batches = fixed_batches(self.held_out, self.stage, self.device, count, seed)
            self.validator = Validator(batches, self.network.config, self.config.loss)
        network = self.validator.prepare(self.average.state, self.device)
        self.last_validation = self.validator.score(network)
        if self.external is not None:
            self.save_averaged()
            self.last_validation |= self.external(self.weights_path)
        recipes: dict[str, Any] = self.engine.sampler.table()
        self.journal.write(
            "validation", step=self.step, stage=self.stage.name, **self.last_validation, recipes=recipes
        )


def reached(limits: Limits, steps: int, seconds: float) -> bool:
    """Whether this slice has done its share."""
    by_steps = limits.max_steps is not None and steps >= limits.max_steps
    return by_steps or (limits.max_minutes is not None and seconds >= 60 * limits.max_minutes)


def parameter_groups(network: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Weight decay on kernels and matrices, none on biases and norms; temperatures learn ten times as fast."""
    parameters = list(network.parameters())
    return [
        {"params": [p for p in parameters if p.dim() > 1], "weight_decay": weight_decay, "share": 1.0},
        {"params": [p for p in parameters if p.dim() == 1], "weight_decay": 0.0, "share": 1.0},
        {"params": [p for p in parameters if p.dim() == 0], "weight_decay": 0.0, "share": TEMPERATURE_SHARE},
    ]


@dataclass
class StopFlag:
    """Set by the first SIGTERM or SIGINT; a second SIGINT interrupts at once."""

    asked: bool = False


@contextmanager
def stop_on_signals() -> Iterator[StopFlag]:
    """Turn SIGTERM and SIGINT into a flag while the block runs (in the main thread; elsewhere do nothing)."""
    flag = StopFlag()

    def ask(number: int, frame: FrameType | None) -> None:
        if flag.asked and number == signal.SIGINT:
            raise KeyboardInterrupt
        flag.asked = True

    try:
        before = {number: signal.signal(number, ask) for number in (signal.SIGTERM, signal.SIGINT)}
    except ValueError:
        before = {}
    try:
        yield flag
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
