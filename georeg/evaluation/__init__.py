"""Scores registration methods on image pairs with known truth."""

from georeg.evaluation.benchmark import GROUPS, Case, read_benchmark
from georeg.evaluation.metrics import Estimate, Score, summarise, summarise_by_modality
from georeg.evaluation.runner import Estimator, evaluate
from georeg.evaluation.table import score_line, scores_json, table_text
from georeg.evaluation.tracks import geocoded_cases, hard_cases

__all__ = [
    "GROUPS",
    "Case",
    "Estimate",
    "Estimator",
    "Score",
    "evaluate",
    "geocoded_cases",
    "hard_cases",
    "read_benchmark",
    "score_line",
    "scores_json",
    "summarise",
    "summarise_by_modality",
    "table_text",
]
