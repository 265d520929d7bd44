"""Which matchers do the work of one registration, chosen by the options.

A toolkit says how the global stage guesses (attempts), how a guess is refined (rounds), and who matches tiles.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from georeg.matching.network import NetworkMatcher
from georeg.matching.protocol import Matcher
from georeg.matching.structural import StructuralMatcher, StructuralSettings
from georeg.matching.sweep import Hypothesis, SweepSettings, sweep
from georeg.network.devices import pick_device
from georeg.registration.options import MatchOptions
from georeg.scene import FloatArray, Patch, Scene

LEAST_SEARCH_PX, MOST_SEARCH_PX = 4, 12
SWEEPS = (SweepSettings(long_side_px=128, keep=6), SweepSettings(long_side_px=224, keep=12))
"""The second one costs three times as much and is made where the first found nothing beyond doubt."""
TURN_DEG = 45.0
"""The network matches across turns of half this."""
NETWORK_SCALE = 1.6
"""And across scales up to this."""


@dataclass(frozen=True)
class Round:
    """One refinement of a hypothesis: match after warping by it, keep what agrees to `threshold_px` overview pixels."""

    matcher: Matcher
    threshold_px: float


@dataclass(frozen=True)
class Attempt:
    """Hypotheses to be refined, the more promising ones first, each by the same rounds."""

    hypotheses: Sequence[Hypothesis]
    rounds: tuple[Round, ...]


Attempts = Callable[[Patch, Patch, Sequence[float], Sequence[float]], Iterator[Attempt]]
"""attempts(moving, reference, rotations_deg, scales), the cheaper ones first."""


@dataclass(frozen=True)
class Toolkit:
    """The matchers of one registration.

    Attributes:
        name: "structural", "network" or "hybrid".
        weights, weights_sha256: of the network; None without one.
        device: torch's name of the device.
        attempts: of the global stage.
        detail: makes the tile stage's matcher from how far the windows may be apart, in tile pixels.
    """

    name: str
    weights: str | None
    weights_sha256: str | None
    device: str
    attempts: Attempts
    detail: Callable[[float], Matcher]


def make_toolkit(options: MatchOptions, moving: Scene, reference: Scene) -> Toolkit:
    """The matchers that the options ask for; "auto" is what docs/benchmark.md shows to be best.

    Raises:
        UsageError: no such device or weights.
    """
    device = str(pick_device(options.device))
    name = "hybrid" if options.matcher == "auto" else options.matcher
    if name == "structural":
        return Toolkit(name, None, None, device, _structural_attempts(device), _structural_detail(device))
    given = tuple(scene.modality if scene.modality_given else None for scene in (moving, reference))
    network = NetworkMatcher(options.weights, device, given=(given[0], given[1]))
    weights = network.weights_name, network.weights_sha256
    if name == "network":
        return Toolkit(name, *weights, device, _network_attempts(network), lambda uncertainty_px: network)
    return Toolkit(name, *weights, device, _hybrid_attempts(network, device), _structural_detail(device))


def _structural_attempts(device: str) -> Attempts:
    rounds = Round(_coarse(22, 28, device), 5.0), Round(_coarse(12, 20, device), 3.5)

    def attempts(
        moving: Patch, reference: Patch, rotations_deg: Sequence[float], scales: Sequence[float]
    ) -> Iterator[Attempt]:
        for settings in SWEEPS:
            yield Attempt(sweep(moving, reference, rotations_deg, scales, settings, device), rounds)

    return attempts


def _network_attempts(network: Matcher, last: Round | None = None) -> Attempts:
    rounds = Round(network, 6.0), last or Round(network, 4.0)

    def attempts(
        moving: Patch, reference: Patch, rotations_deg: Sequence[float], scales: Sequence[float]
    ) -> Iterator[Attempt]:
        for group in scale_groups(scales):
            yield Attempt(
                [centred(moving, reference, t, s) for s in group for t in turns(rotations_deg)], rounds
            )

    return attempts


def _hybrid_attempts(network: Matcher, device: str) -> Attempts:
    """The network's guesses, the last round structural, then the structural sweeps where these leave doubt."""
    by_network = _network_attempts(network, Round(_coarse(12, 20, device), 3.5))
    by_sweep = _structural_attempts(device)

    def attempts(
        moving: Patch, reference: Patch, rotations_deg: Sequence[float], scales: Sequence[float]
    ) -> Iterator[Attempt]:
        yield from by_network(moving, reference, rotations_deg, scales)
        yield from by_sweep(moving, reference, rotations_deg, scales)

    return attempts


def turns(rotations_deg: Sequence[float]) -> list[float]:
    """Turns TURN_DEG apart that cover the wanted rotations, the smallest first."""
    wanted = {round(r / TURN_DEG) * TURN_DEG % 360 for r in rotations_deg}
    return sorted(wanted, key=lambda r: min(r, 360 - r))


def scale_groups(scales: Sequence[float]) -> list[list[float]]:
    """Scales NETWORK_SCALE apart that cover the wanted ones: first 1 alone, then the others."""
    low, high = min(scales), max(scales)
    steps = range(-4, 5)
    others = [NETWORK_SCALE**n for n in steps if n and low / 1.3 <= NETWORK_SCALE**n <= high * 1.3]
    return [[1.0], others] if others else [[1.0]]


def centred(moving: Patch, reference: Patch, rotation_deg: float, scale: float) -> Hypothesis:
    """The moving window turned and scaled about its centre, the centre on the reference's centre."""
    c, s = scale * np.cos(np.radians(rotation_deg)), scale * np.sin(np.radians(rotation_deg))
    matrix: FloatArray = np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])
    centre = np.array([moving.shape[1], moving.shape[0]]) / 2
    matrix[:2, 2] = np.array([reference.shape[1], reference.shape[0]]) / 2 - matrix[:2, :2] @ centre
    return Hypothesis(matrix, rotation_deg, scale, 0.0)


def _coarse(search_px: int, spacing_px: int, device: str) -> StructuralMatcher:
    settings = StructuralSettings(template_px=64, spacing_px=spacing_px, search_px=search_px, templates=60)
    return StructuralMatcher(settings, device)


def _structural_detail(device: str) -> Callable[[float], Matcher]:
    def detail(uncertainty_px: float) -> Matcher:
        search = math.ceil(min(max(uncertainty_px, LEAST_SEARCH_PX), MOST_SEARCH_PX))
        return StructuralMatcher(StructuralSettings(search_px=search), device)

    return detail
