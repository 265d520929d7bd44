"""Size and speed of the matching networks: parameters, multiply-adds, training and inference rates.

    python benchmarks/network_speed.py [--device cpu] [--threads 2] [--networks tiny base] [--seconds 10]

Random weights and images: speed does not depend on what they hold. Times are of the network alone, without the data
engine, so that a change of the engine does not blur a change of the network.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable

import torch
from torch.utils.flop_counter import FlopCounterMode

from georeg.engine.batch import TrainingBatch
from georeg.network import CONFIGS
from georeg.network.model import MatchingNetwork
from georeg.training.config import default_training
from georeg.training.losses import matching_loss

TILE_PX = 512


def random_batch(size: int, side: int, device: torch.device) -> TrainingBatch:
    """Two copies of random views, moved by 16 pixels against each other."""
    grid = torch.stack(torch.meshgrid(torch.arange(side), torch.arange(side), indexing="xy"), -1).float()
    there = (grid - 16).masked_fill((grid < 16).any(-1, keepdim=True), torch.nan).expand(size, -1, -1, -1)
    back = (
        (grid + 16).masked_fill((grid >= side - 16).any(-1, keepdim=True), torch.nan).expand(size, -1, -1, -1)
    )
    image = torch.randn(size, 1, side, side)
    valid = torch.ones(size, 1, side, side, dtype=torch.bool)
    kind = torch.zeros(size, dtype=torch.int64)
    return TrainingBatch(image, image, valid, valid, there, back, kind, kind, torch.zeros(size), kind).to(
        device
    )


def rate(action: Callable[[], None], items: int, seconds: float, device: torch.device) -> float:
    """Items a second, after two rounds to warm up."""
    for _ in range(2):
        action()
    synchronize(device)
    start, rounds = time.perf_counter(), 0
    while time.perf_counter() - start < seconds:
        action()
        synchronize(device)
        rounds += 1
    return items * rounds / (time.perf_counter() - start)


def synchronize(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def inference(network: MatchingNetwork, batch: TrainingBatch) -> None:
    with torch.inference_mode():
        network.matches(network(batch.view0, batch.view1, batch.valid0, batch.valid1), 0.2)


def training(
    network: MatchingNetwork, batch: TrainingBatch, optimizer: torch.optim.Optimizer, weights: object
) -> None:
    features = network(batch.view0, batch.view1, batch.valid0, batch.valid1)
    loss = matching_loss(network, features, batch, weights)
    optimizer.zero_grad(set_to_none=True)
    loss.total.backward()
    optimizer.step()


def measure(name: str, device: torch.device, seconds: float) -> dict[str, float | str]:
    """One row of the table."""
    torch.manual_seed(0)
    config = default_training(name)
    stage = next(stage for stage in config.stages if stage.name == "finetune")
    network = MatchingNetwork(CONFIGS[name]).to(device, memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(network.parameters(), 1e-4)
    batch = random_batch(stage.batch, stage.crop_px, device)
    trained = rate(lambda: training(network, batch, optimizer, config.loss), stage.batch, seconds, device)
    network.fuse()
    tile = random_batch(1, TILE_PX, device)
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        network(tile.view0, tile.view1, tile.valid0, tile.valid1)
    return {
        "network": name,
        "parameters_M": round(sum(p.numel() for p in MatchingNetwork(CONFIGS[name]).parameters()) / 1e6, 3),
        f"gmac_per_pair_{TILE_PX}": round(counter.get_total_flops() / 2e9, 1),
        f"training_pairs_per_s_{stage.crop_px}": round(trained, 2),
        f"tile_pairs_per_s_{TILE_PX}": round(rate(lambda: inference(network, tile), 1, seconds, device), 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--networks", nargs="+", default=["small"], choices=list(CONFIGS))
    parser.add_argument("--seconds", type=float, default=10.0)
    arguments = parser.parse_args()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    for name in arguments.networks:
        print(json.dumps(measure(name, torch.device(arguments.device), arguments.seconds)), flush=True)


if __name__ == "__main__":
    main()
