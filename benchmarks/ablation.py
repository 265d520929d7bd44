"""What each part of the engine and of the network is worth: equal short runs, each without one of them.

    python benchmarks/ablation.py ARCHIVE --benchmark BENCHMARK --runs FOLDER [--steps 600] [--only NAME ...]

Every run starts from nothing, draws from the same archive with the same seed, and is scored by one pass of its
network over the benchmark (as `benchmarks/peers.py --matcher network-alone` does). So short a training shows what helps
at once, not what helps in the end. Variants that were scored before are kept: results.json in FOLDER grows.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import replace
from pathlib import Path

import torch
from peers import network_alone

from georeg.engine.archive import Archive, read_archive
from georeg.evaluation import evaluate, read_benchmark, scores_json
from georeg.network.config import CONFIGS
from georeg.training.config import Stage, TrainingConfig
from georeg.training.processes import join_processes
from georeg.training.trainer import Limits, Trainer

TINY = CONFIGS["tiny"]
NETWORKS = {
    "without the modality token": replace(TINY, name="without the modality token", modality_token=False),
    "without aggregation": replace(TINY, name="without aggregation", reduction=1),
}
STAGES = {
    "everything": {},
    **{
        f"without {name}": {"families_left_out": (name,)}
        for name in ("tone", "mixing", "sar", "infrared", "structure")
    },
    "without real pairs": {"real_share": 0.0},
    "without appearance": {"appearance": False, "real_share": 0.0},
    "without dynamic sampling": {"dynamic_strength": 0.0},
}


def plan(name: str, steps: int) -> TrainingConfig:
    """The run of one variant."""
    stage = Stage(
        "finetune", steps, batch=8, crop_px=128, learning_rate=1.5e-3, warmup=30, largest_turn_deg=20.0
    )
    network = name if name in NETWORKS else "tiny"
    return TrainingConfig(
        network=network,
        stages=(replace(stage, **STAGES.get(name, {})),),
        ema_decay=0.99,
        validate_every=steps,
        save_minutes=60.0,
        seed=11,
    )


def run(name: str, archive: Archive, folder: Path, steps: int, benchmark: str) -> dict[str, float]:
    """Train one variant and score it."""
    start = time.process_time()
    where = folder / name.replace(" ", "-")
    trainer = Trainer(archive, where, plan(name, steps), join_processes("cpu"))
    trainer.begin()
    if trainer.train(Limits()).reason != "finished":
        raise SystemExit(f"{name}: interrupted, so not scored; delete {where} to run it again")
    scores = evaluate(read_benchmark(benchmark), network_alone(str(where / "weights.safetensors"), 320))
    whole = scores_json(scores)["summary"]["all"]
    return {**whole, "steps": steps, "cpu_s": round(time.process_time() - start)}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("archive")
    parser.add_argument("--manifest")
    parser.add_argument("--benchmark", required=True)
    parser.add_argument("--runs", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--only", action="append", choices=[*STAGES, *NETWORKS])
    args = parser.parse_args()
    CONFIGS.update(NETWORKS)
    torch.set_num_threads(1)
    archive = read_archive(args.archive, manifest=args.manifest)
    results = args.runs / "results.json"
    done = json.loads(results.read_text()) if results.exists() else {}
    for name in args.only or [*STAGES, *NETWORKS]:
        if name not in done:
            done[name] = run(name, archive, args.runs, args.steps, args.benchmark)
            results.write_text(json.dumps(done, indent=1))
        print(name, {k: v for k, v in done[name].items() if not isinstance(v, dict)}, flush=True)


if __name__ == "__main__":
    main()
