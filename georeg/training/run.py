"""One call that trains: read the archive, join the other processes, begin or resume the run, train a slice."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from georeg.engine.archive import Archive, read_archive
from georeg.engine.preview import check_sheet, write_preview
from georeg.errors import InputError, UsageError
from georeg.network import config_by_name
from georeg.network.weights import find_weights
from georeg.training.config import TrainingConfig, default_training
from georeg.training.processes import join_processes
from georeg.training.source import engine_config
from georeg.training.trainer import Limits, Outcome, Report, Trainer, new_run

Benchmark = Callable[[Path], dict[str, float]]


@dataclass(frozen=True)
class TrainOptions:
    """What a user can ask of a slice of training.

    Attributes:
        network: name of its shape; None takes the config file's, or that of `init`, or "small".
        config: JSON file of a TrainingConfig; None takes the network's default cascade.
        stages: only these stages of it.
        init: weights to begin with, a name or file.
        resume: go on with the run in the folder; its own config is used.
        manifest: CSV with columns path and modality.
        max_steps, max_minutes: end of this slice.
        device: auto, cpu, cuda or cuda:N.
        num_threads: CPU threads; 0 leaves PyTorch's choice.
        seed: of every draw; None takes the config's.
    """

    network: str | None = None
    config: str | Path | None = None
    stages: tuple[str, ...] = ()
    init: str | Path | None = None
    resume: bool = False
    manifest: str | Path | None = None
    max_steps: int | None = None
    max_minutes: float | None = None
    device: str = "auto"
    num_threads: int = 0
    seed: int | None = None


def train(
    archive: str | Path | Sequence[str | Path],
    run: str | Path,
    options: TrainOptions | None = None,
    report: Report | None = None,
    note: Callable[[str], None] | None = None,
    external: Benchmark | None = None,
) -> Outcome:
    """Train the matcher on unlabelled scenes, or go on training.

    Args:
        archive: folder, tar shard, text list, or several of them.
        run: folder of the run.
        options: the rest.
        report: progress callback ("train", done, total, text).
        note: called with lines for people, such as what the archive holds.
        external: further validation, called with the file of the averaged weights.

    Raises:
        UsageError, InputError, ResourceError: with the cause and what to do.
    """
    options, run = options or TrainOptions(), Path(run)
    if options.resume and options.init:
        raise UsageError(
            "--resume goes on with the run's own weights and --init begins a new run: give one of them"
        )
    if options.num_threads:
        torch.set_num_threads(options.num_threads)
    config = run_config(run, options)
    config_by_name(config.network)
    with nullcontext() if options.resume else new_run(run):
        processes = join_processes(options.device)
        try:
            scenes = read_archive(archive, manifest=options.manifest)
            if note and processes.first:
                note(scenes.summary())
            trainer = Trainer(scenes, run, config, processes, report, external)
            if options.resume:
                trainer.resume()
            else:
                trainer.begin(options.init)
            return trainer.train(Limits(options.max_steps, options.max_minutes))
        finally:
            processes.close()


def run_config(run: Path, options: TrainOptions) -> TrainingConfig:
    """The run's own config when resuming, else the file's or the default, narrowed by the options."""
    if options.resume:
        if not (run / "config.json").exists():
            raise InputError(
                f"{run} holds no run to resume: check the path, or leave --resume out to begin one"
            )
        return read_config(run / "config.json")
    if options.config is not None:
        config = read_config(Path(options.config))
        if options.network not in (None, config.network):
            raise UsageError(f"{options.config} is for network {config.network!r}, not {options.network!r}")
    else:
        config = default_training(options.network or network_of(options.init))
    if options.stages:
        config = config.only(options.stages)
    return config if options.seed is None else replace(config, seed=options.seed)


def network_of(init: str | Path | None) -> str:
    """The network that these weights belong to; without any, the one that is shipped."""
    return find_weights(init).config.name if init is not None else "small"


def read_config(path: Path) -> TrainingConfig:
    """The config in a file; raises InputError where there is none, UsageError where it is no config."""
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise InputError(f"cannot read {path} ({error.strerror}): check the path") from error
    try:
        return TrainingConfig.from_json(text)
    except UsageError as error:
        raise UsageError(f"{path} is {error}; RUN/config.json of any run is an example") from error


def preview(
    archive: str | Path | Sequence[str | Path],
    sheet: str | Path,
    options: TrainOptions | None = None,
    overwrite: bool = False,
) -> tuple[Archive, Path]:
    """Write a contact sheet of what the engine would make of the archive in the run's last stage.

    Returns:
        The archive and the picture's path.

    Raises:
        UsageError: the picture exists and `overwrite` is False; no PNG.
        InputError: it cannot be written there; no usable image.
    """
    options = options or TrainOptions()
    check_sheet(sheet, overwrite)
    scenes = read_archive(archive, manifest=options.manifest)
    stages = [stage for stage in run_config(Path(), options).stages if stage.appearance]
    if not stages:
        raise UsageError("no stage of this config changes appearance: there is nothing to preview")
    return scenes, write_preview(scenes, sheet, engine_config(stages[0]), seed=options.seed or 0)
