"""The network behind the Matcher protocol: windows of any size in, semi-dense correspondences out.

Here pixel centres counted from 0 become pixel corners, once, by adding a half.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from georeg.errors import ResourceError
from georeg.matching.protocol import Correspondences, PatchPair
from georeg.network.devices import halves_pay, pick_device
from georeg.network.modality import MODALITIES
from georeg.network.model import MatchingNetwork
from georeg.network.normalise import zscore
from georeg.network.state import load_network
from georeg.network.weights import Weights, find_weights
from georeg.scene import Modality, Patch

CENTRE_TO_CORNER = 0.5
THRESHOLD = 0.01
"""Low on purpose: the robust fit sorts matches out far better than a strict threshold does (measured)."""
MOST_MATCHES = 2000
BATCH = {"cpu": 2, "cuda": 16}
"""A CPU gains nothing from larger batches but their memory."""
SMALLEST_PX = 16


_READY: dict[tuple[str, str], MatchingNetwork] = {}
"""The network this process used last; the workers of a batch load it once, not once a pair."""


def ready_network(weights: Weights, device: torch.device) -> MatchingNetwork:
    """The network with these weights, fused, on the device; one is kept from call to call."""
    key = weights.sha256, str(device)
    if key not in _READY:
        _READY.clear()
        _READY[key] = load_network(weights).fuse().to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    return _READY[key]


class NetworkMatcher:
    """Matches windows with the coarse-to-fine network.

    Args:
        weights: a name of the weights register or a .safetensors file; None for the preferred shipped ones; or what
            was found already.
        device: "auto", "cpu", "cuda" or "cuda:N".
        threshold: least confidence of a match, 0..1.
        most: keep at most so many matches of a pair, the most confident ones.
        batch: most pairs given to the network at once, None for a number that suits the device; halved when the
            device's memory runs out.
        given: modalities that the user states, (moving, reference); None in a place lets the network infer it.
        refine: False leaves matches where the coarse stage puts them, good to some two pixels at half the cost.

    Raises:
        UsageError: no such weights or device.
        InputError: damaged weights.
    """

    def __init__(
        self,
        weights: str | Path | Weights | None = None,
        device: str = "auto",
        threshold: float = THRESHOLD,
        most: int = MOST_MATCHES,
        batch: int | None = None,
        given: tuple[Modality | None, Modality | None] = (None, None),
        refine: bool = True,
    ) -> None:
        found = weights if isinstance(weights, Weights) else find_weights(weights)
        self.device = pick_device(device)
        self.halves = halves_pay(self.device)
        self.network = ready_network(found, self.device)
        self.weights_name = found.name
        self.threshold = threshold
        self.most = most
        self.batch = batch or BATCH[self.device.type]
        self.given = given
        self.refine = refine
        self._sha256 = found.sha256

    @property
    def name(self) -> str:
        return "network"

    @property
    def weights_sha256(self) -> str | None:
        return self._sha256

    def match(self, pairs: Sequence[PatchPair]) -> list[Correspondences]:
        """Match each pair, those of equal padded sizes together.

        Raises:
            ResourceError: the device's memory does not suffice for a single pair.
        """
        multiple = self.network.config.multiple_px
        groups: dict[tuple[int, ...], list[int]] = defaultdict(list)
        results = [Correspondences.empty() for _ in pairs]
        for index, pair in enumerate(pairs):
            if usable(pair.moving) and usable(pair.reference):
                groups[padded(pair.moving, multiple) + padded(pair.reference, multiple)].append(index)
        for shape, members in groups.items():
            self.match_group([(i, pairs[i]) for i in members], shape, results)
        return results

    def match_group(
        self, members: list[tuple[int, PatchPair]], shape: tuple[int, ...], results: list[Correspondences]
    ) -> None:
        """Match pairs of one padded shape in batches, smaller ones where memory runs out."""
        start = 0
        while start < len(members):
            part = members[start : start + self.batch]
            try:
                found = self.match_batch([pair for _, pair in part], shape)
            except RuntimeError as error:
                if not out_of_memory(error):
                    raise
                if len(part) == 1:
                    raise ResourceError(
                        f"{self.device} has not memory enough for one pair of {shape[0]} x {shape[1]} px: "
                        "use smaller tiles or --device cpu"
                    ) from error
                torch.cuda.empty_cache()
                self.batch = len(part) // 2
                continue
            for (index, _), correspondences in zip(part, found, strict=True):
                results[index] = correspondences
            start += len(part)

    @torch.inference_mode()
    def match_batch(self, pairs: Sequence[PatchPair], shape: tuple[int, ...]) -> list[Correspondences]:
        """One forward pass over pairs padded to `shape` (rows, cols of moving, rows, cols of reference)."""
        moving, moving_valid = self.stack([pair.moving for pair in pairs], shape[:2])
        reference, reference_valid = self.stack([pair.reference for pair in pairs], shape[2:])
        given = [self.category(modality, len(pairs)) for modality in self.given]
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.halves):
            features = self.network(
                moving, reference, moving_valid, reference_valid, *given, refine=self.refine
            )
        found = self.network.matches(features.float(), self.threshold)
        whole = [inside(to_correspondences(*f), pair) for f, pair in zip(found, pairs, strict=True)]
        return [most_confident(one, self.most) for one in whole]

    def stack(self, patches: Sequence[Patch], shape: tuple[int, ...]) -> tuple[Tensor, Tensor]:
        """(B, 1, H, W) normalised pixels and valid masks on the device, padded with invalid zeros."""
        pixels = np.zeros((len(patches), 1, *shape), np.float32)
        valid = np.zeros((len(patches), 1, *shape), bool)
        for row, patch in enumerate(patches):
            rows, cols = patch.shape
            pixels[row, 0, :rows, :cols] = patch.pixels
            valid[row, 0, :rows, :cols] = patch.valid
        mask = torch.from_numpy(valid).to(self.device)
        return zscore(torch.from_numpy(pixels).to(self.device), mask), mask

    def category(self, modality: Modality | None, count: int) -> Tensor | None:
        if modality is None:
            return None
        return torch.full((count,), MODALITIES.index(modality), device=self.device)


def out_of_memory(error: RuntimeError) -> bool:
    """Whether CUDA's or the CPU's allocator gave up."""
    return isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error)


def usable(patch: Patch) -> bool:
    """Whether a window is large enough and shows anything."""
    return min(patch.shape) >= SMALLEST_PX and bool(patch.valid.any())


def padded(patch: Patch, multiple: int) -> tuple[int, int]:
    """The window's shape, each side rounded up to a multiple."""
    rows, cols = patch.shape
    return -(-rows // multiple) * multiple, -(-cols // multiple) * multiple


def to_correspondences(moving: Tensor, reference: Tensor, confidence: Tensor) -> Correspondences:
    """From the network's pixel centres to pixel corners."""
    return Correspondences(
        moving.double().cpu().numpy() + CENTRE_TO_CORNER,
        reference.double().cpu().numpy() + CENTRE_TO_CORNER,
        confidence.double().cpu().numpy(),
    )


def inside(found: Correspondences, pair: PatchPair) -> Correspondences:
    """Without the matches that ended outside the windows (in the padding)."""
    keep = np.ones(len(found), bool)
    for points, patch in ((found.moving_xy, pair.moving), (found.reference_xy, pair.reference)):
        rows, cols = patch.shape
        keep &= ((points >= 0) & (points <= [cols, rows])).all(axis=1)
    return found[keep]


def most_confident(found: Correspondences, most: int) -> Correspondences:
    """At most so many matches, the most confident ones, in their old order."""
    if len(found) <= most:
        return found
    kept = np.argpartition(-found.confidence, most - 1)[:most]
    return found[np.sort(kept)]
