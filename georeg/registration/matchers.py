"""Which matchers do the work of one registration, chosen by the options.

A toolkit says how the global stage guesses (attempts), how a guess is refined (rounds), and who matches tiles.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from georeg.matching.network import NetworkMatcher
from georeg.matching.protocol import Matcher
from georeg.matching.structural import StructuralMatcher, StructuralSettings
from georeg.matching.sweep import Hypothesis, SweepSettings, sweep
from georeg.network.devices import pick_device
from georeg.registration.guesses import centred, ranked, scale_groups, turns
from georeg.registration.options import MatchOptions
from georeg.scene import Patch, Scene

LEAST_SEARCH_PX, MOST_SEARCH_PX = 4, 12
SWEEPS = (SweepSettings(long_side_px=128, keep=6), SweepSettings(long_side_px=224, keep=12))
"""The second one costs three times as much and is made where the first found nothing beyond doubt."""
REFINED_GUESSES = 2
"""So many of the network's ranked guesses are refined at each range of scales."""


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
class TileStage:
    """How tiles are matched at full detail, and what is usual of such matches.

    Attributes:
        matcher: made from how far the windows may be apart, in tile pixels.
        tile_px: side of a tile.
        independent_px: matches nearer than this to one another see the same ground (tile pixels).
        usual_share: of the matches, the share that agrees with a right answer.
    """

    matcher: Callable[[float], Matcher]
    tile_px: int
    independent_px: float
    usual_share: float


@dataclass(frozen=True)
class Toolkit:
    """The matchers of one registration.

    Attributes:
        name: "structural", "network" or "hybrid".
        weights, weights_sha256: of the network; None without one.
        device: torch's name of the device.
        attempts: of the global stage.
        tiles: the stage at full detail.
    """

    name: str
    weights: str | None
    weights_sha256: str | None
    device: str
    attempts: Attempts
    tiles: TileStage


def make_toolkit(options: MatchOptions, moving: Scene, reference: Scene) -> Toolkit:
    """The matchers that the options ask for; "auto" is what docs/benchmark.md shows to be best.

    Raises:
        UsageError: no such device or weights.
    """
    device = str(pick_device(options.device))
    name = "hybrid" if options.matcher == "auto" else options.matcher
    if name == "structural":
        return Toolkit(name, None, None, device, _structural_attempts(device), _structural_tiles(device))
    given = tuple(scene.modality if scene.modality_given else None for scene in (moving, reference))
    network = NetworkMatcher(options.weights, device, given=(given[0], given[1]))
    weights = network.weights_name, network.weights_sha256
    if name == "network":
        return Toolkit(name, *weights, device, _network_attempts(network), _network_tiles(network))
    return Toolkit(name, *weights, device, _hybrid_attempts(network, device), _structural_tiles(device))


def _structural_attempts(device: str, sweeps: Sequence[SweepSettings] = SWEEPS) -> Attempts:
    rounds = Round(_coarse(22, 28, device), 5.0), Round(_coarse(12, 20, device), 3.5)

    def attempts(
        moving: Patch, reference: Patch, rotations_deg: Sequence[float], scales: Sequence[float]
    ) -> Iterator[Attempt]:
        for settings in sweeps:
            yield Attempt(sweep(moving, reference, rotations_deg, scales, settings, device), rounds)

    return attempts


def _network_attempts(network: Matcher, last: Round | None = None) -> Attempts:
    """The windows as they are; then all turns, range of scales by range of scales, ranked in small images."""
    rounds = Round(network, 6.0), last or Round(network, 4.0)

    def attempts(
        moving: Patch, reference: Patch, rotations_deg: Sequence[float], scales: Sequence[float]
    ) -> Iterator[Attempt]:
        yield Attempt([centred(moving, reference, 0.0, 1.0)], rounds)
        angles = turns(rotations_deg)
        for group in scale_groups(scales):
            if (angles, group) == ([0.0], [1.0]):
                continue
            guesses = [centred(moving, reference, turn, scale) for scale in group for turn in angles]
            yield Attempt(ranked(moving, reference, guesses, network)[:REFINED_GUESSES], rounds)

    return attempts


def _hybrid_attempts(network: Matcher, device: str) -> Attempts:
    """The network's guesses, the last round structural, then the quick structural sweep where these leave doubt.

    The second sweep found nothing in any benchmark that the network had not, and costs hopeless pairs 9 CPU seconds.
    """
    by_network = _network_attempts(network, Round(_coarse(12, 20, device), 3.5))
    by_sweep = _structural_attempts(device, SWEEPS[:1])

    def attempts(
        moving: Patch, reference: Patch, rotations_deg: Sequence[float], scales: Sequence[float]
    ) -> Iterator[Attempt]:
        yield from by_network(moving, reference, rotations_deg, scales)
        yield from by_sweep(moving, reference, rotations_deg, scales)

    return attempts


def _coarse(search_px: int, spacing_px: int, device: str) -> StructuralMatcher:
    settings = StructuralSettings(template_px=64, spacing_px=spacing_px, search_px=search_px, templates=60)
    return StructuralMatcher(settings, device)


def _structural_tiles(device: str) -> TileStage:
    settings = StructuralSettings()

    def matcher(uncertainty_px: float) -> Matcher:
        search = math.ceil(min(max(uncertainty_px, LEAST_SEARCH_PX), MOST_SEARCH_PX))
        return StructuralMatcher(replace(settings, search_px=search), device)

    return TileStage(matcher, tile_px=512, independent_px=settings.template_px, usual_share=1.0)


def _network_tiles(network: Matcher) -> TileStage:
    """Tiles not far larger than the windows of its training; each match of its own cells of 8 px.

    It hands out unsure matches too, because the robust fit sorts them better than a threshold does.
    """
    return TileStage(lambda uncertainty_px: network, tile_px=384, independent_px=24.0, usual_share=0.35)
