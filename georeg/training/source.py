"""Where a run's batches come from: the data engine on an archive, set up for a stage of the cascade."""

from __future__ import annotations

from dataclasses import replace

import torch

from georeg.engine.archive import Archive, choose_holdout
from georeg.engine.batch import TrainingBatch
from georeg.engine.engine import DataEngine, EngineConfig
from georeg.training.config import Stage

CANVAS_PX = 512


def engine_config(stage: Stage) -> EngineConfig:
    """What the data engine is to make in this stage."""
    start = EngineConfig()
    rest = 1.0 - stage.far_share
    return replace(
        start,
        view_px=stage.crop_px,
        source_px=max(CANVAS_PX, stage.crop_px),
        real_share=stage.real_share,
        appearance=stage.appearance,
        far_rotation_deg=stage.far_turn_deg,
        geometry=replace(start.geometry, rotation_deg=stage.largest_turn_deg),
        dynamic_strength=stage.dynamic_strength,
        family_weights={
            name: weight
            for name, weight in start.family_weights.items()
            if name not in stage.families_left_out
        },
        bin_weights={"near": 0.4 * rest, "turned": 0.6 * rest, "far": stage.far_share},
    )


def split_archive(archive: Archive, seed: int) -> tuple[Archive, Archive]:
    """(training, validation) by source; an archive of one source is both."""
    holdout = choose_holdout(archive, seed=seed)
    return archive.split(holdout) if holdout else (archive, archive)


def make_engine(archive: Archive, stage: Stage, device: torch.device, seed: int) -> DataEngine:
    return DataEngine(archive, engine_config(stage), device, torch.Generator().manual_seed(seed))


def fixed_batches(
    archive: Archive, stage: Stage, device: torch.device, count: int, seed: int
) -> list[TrainingBatch]:
    """The validation set: the same synthetic and real pairs at every validation of a run, and in every run."""
    engine = make_engine(archive, replace(stage, dynamic_strength=0.0), device, seed)
    return [engine.batch(stage.batch) for _ in range(count)]
