"""Training of the matching network on unlabelled scenes: `train(archive, run)`."""

from georeg.training.config import Stage, TrainingConfig, default_training
from georeg.training.run import TrainOptions, preview, train
from georeg.training.trainer import Limits, Outcome

__all__ = [
    "Limits",
    "Outcome",
    "Stage",
    "TrainOptions",
    "TrainingConfig",
    "default_training",
    "preview",
    "train",
]
