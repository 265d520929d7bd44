"""Fit the weights of the verdict's probability on registrations that are known to be right or wrong.

    python benchmarks/calibrate.py BENCHMARK [--evidence evidence.jsonl]

Right ones come from registering the benchmark's pairs, upright and on the hard track; wrong ones from registering each
moving image to the reference of another place, and from true pairs that failed. Prints the weights for
`georeg.registration.judge.WEIGHTS` and a table of predicted against observed frequency.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from scipy.optimize import minimize

from georeg.errors import GeoregError
from georeg.evaluation import Case, hard_cases, read_benchmark
from georeg.evaluation.metrics import corner_error_px
from georeg.registration import MatchOptions, register
from georeg.registration.judge import Evidence, features

RIGHT_BELOW_PX = 10.0
RIDGE = 0.05


def gather(benchmark: Path, evidence: Path) -> None:
    """Register right and mismatched pairs and append what the judgement saw, one JSON object a line."""
    with tempfile.TemporaryDirectory() as folder, evidence.open("w") as sink:
        cases = [case for case in read_benchmark(benchmark, "all") if case.truth is not None]
        cases += hard_cases(benchmark, folder)
        for index, case in enumerate(cases):
            stranger = elsewhere(cases, index)
            for reference in {case.reference, stranger.reference}:
                row = observe(case, reference)
                print(case.id, Path(reference).parent.name, row, flush=True)
                sink.write(json.dumps(row) + "\n")


def elsewhere(cases: list[Case], index: int) -> Case:
    """A case of another place: sets that show one place several times share the first two words of their names."""
    place = cases[index].id.split("_")[:2]
    others = [case for case in cases if case.id.split("_")[:2] != place]
    return others[(index * 7 + 3) % len(others)]


def observe(case: Case, reference: str) -> dict[str, Any]:
    """One registration's evidence (None where it had no answer) and whether it is right."""
    try:
        found = register(case.moving, reference, MatchOptions(prior="none", num_threads=1))
    except GeoregError:
        return {"evidence": None, "right": False}
    right = False
    if reference == case.reference and found.transform is not None:
        right = (
            corner_error_px(found.transform.matrix, case.truth, case.moving_size) * case.scale
            < RIGHT_BELOW_PX
        )
    return {"evidence": found.run.get("evidence"), "right": bool(right)}


def fit(rows: list[dict[str, Any]]) -> None:
    """Ridge-regularised logistic regression; prints weights and reliability."""
    rows = [row for row in rows if row["evidence"] is not None]
    design = np.array([list(features(Evidence(**row["evidence"])).values()) for row in rows])
    right = np.array([row["right"] for row in rows], float)
    balance = np.where(right > 0, 0.5 / right.mean(), 0.5 / (1 - right).mean())

    def loss(weights: np.ndarray) -> float:
        logit = design @ weights
        return float(
            (balance * (np.logaddexp(0, logit) - right * logit)).sum() + RIDGE * (weights[1:] ** 2).sum()
        )

    weights = minimize(loss, np.zeros(design.shape[1])).x
    names = list(features(Evidence(**rows[0]["evidence"])))
    print({name: round(float(weight), 2) for name, weight in zip(names, weights, strict=True)})
    predicted = 1 / (1 + np.exp(-design @ weights))
    for low, high in ((0, 0.1), (0.1, 0.5), (0.5, 0.9), (0.9, 0.99), (0.99, 1.01)):
        inside = (predicted >= low) & (predicted < high)
        if inside.any():
            print(f"predicted {low:.2f}..{high:.2f}: {inside.sum()} cases, {right[inside].mean():.2f} right")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("benchmark", type=Path)
    parser.add_argument("--evidence", type=Path, default=Path("evidence.jsonl"))
    arguments = parser.parse_args()
    if not arguments.evidence.exists():
        gather(arguments.benchmark, arguments.evidence)
    rows = [json.loads(line) for line in arguments.evidence.read_text().splitlines()]
    fit(rows)


if __name__ == "__main__":
    main()
