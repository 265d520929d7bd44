"""Which matchers do the work of one registration, chosen by the options.

A toolkit says how the global stage guesses (attempts), how a guess is refined (rounds), and who matches tiles.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain

from georeg.matching.deferred import DeferredNetwork, check_device
from georeg.matching.protocol import Matcher
from georeg.matching.structural import StructuralMatcher, StructuralSettings
from georeg.matching.sweep import Hypothesis, SweepSettings, sweep
from georeg.registration.guesses import CLOSER_PX, RANKING_PX, centred, ranked, scale_groups, turns
from georeg.registration.options import MatchOptions
from georeg.scene import FloatArray, Patch, Scene
from georeg.threads import thread_count

LEAST_SEARCH_PX, MOST_SEARCH_PX = 4, 12
SWEEPS = (SweepSettings(long_side_px=128, keep=6), SweepSettings(long_side_px=224, keep=12))
"""The second one costs three times as much and is made where the first found nothing beyond doubt."""
NETWORK_INDEPENDENT_PX = 56.0
"""Nearer matches of the network are wrong alike: their features see the same ground, and more."""
NETWORK_TILES = 2
"""Given to the network together: what a CPU takes at once, and few enough to read the next ones meanwhile."""
ENOUGH_CERTAINTY = 24.0
"""A refined guess of this certainty ends the search: the best of its range of scales, or what the geocoding says."""
UNCOMPARED_CERTAINTY = 36.0
"""The same for one that was compared with no other: right ones reached 40 and more, a wrong one 29."""
UNCONFIRMED_CERTAINTY = 100.0
"""The same where correlation has not confirmed it either: an upright map was placed wrong with 55."""
REFINED_GUESSES = 2
"""So many of the network's ranked guesses are refined at each range of scales."""


@dataclass(frozen=True)
class Round:
    """One refinement of a hypothesis: match after warping by it, keep what agrees to `threshold_px` overview pixels."""

    matcher: Matcher
    threshold_px: float


@dataclass(frozen=True)
class Attempt:
    """Hypotheses to be refined, the more promising ones first, each by the same rounds.

    Attributes:
        enough: certainty of a refined one that ends the search.
    """

    hypotheses: Sequence[Hypothesis]
    rounds: tuple[Round, ...]
    enough: float = ENOUGH_CERTAINTY


@dataclass(frozen=True)
class Wanted:
    """What the global stage looks for.

    Attributes:
        moving, reference: overview windows.
        start: (3, 3) moving px -> reference px by the geocoding; None without one.
        rotations_deg, scales: to be covered, about the start.
    """

    moving: Patch
    reference: Patch
    start: FloatArray | None
    rotations_deg: Sequence[float]
    scales: Sequence[float]

    @property
    def as_they_are(self) -> Hypothesis:
        """Neither turned nor scaled: as geocoded, else the centres on one another."""
        if self.start is None:
            return centred(self.moving, self.reference, 0.0, 1.0)
        return Hypothesis(self.start, 0.0, 1.0, 0.0)


Attempts = Callable[[Wanted], Iterator[Attempt]]
"""The cheaper ones first."""


@dataclass(frozen=True)
class TileStage:
    """How tiles are matched at full detail, and what is usual of such matches.

    Attributes:
        matcher: made from how far the windows may be apart, in tile pixels.
        tile_px: side of a tile.
        independent_px: matches nearer than this to one another see the same ground (tile pixels).
        usual_share: of the matches, the share that agrees with a right answer.
        threads: that match while the next tiles are read; 0 for none beside the reading one.
        at_once: tiles given to the matcher together.
    """

    matcher: Callable[[float], Matcher]
    tile_px: int
    independent_px: float
    usual_share: float
    threads: int = 0
    at_once: int = 1


@dataclass(frozen=True)
class Toolkit:
    """The matchers of one registration.

    Attributes:
        name: "structural", "network" or "hybrid".
        network: loaded when it is first needed; None without one.
        attempts: of the global stage.
        tiles: the stage at full detail.
        second_opinion: another such stage, asked where the first one's answer is not sure; None without one.
    """

    name: str
    network: DeferredNetwork | None
    attempts: Attempts
    tiles: TileStage
    second_opinion: TileStage | None = None

    def tile_stages(self) -> tuple[TileStage, ...]:
        """The stages at full detail, in the order in which they are asked."""
        return (self.tiles,) if self.second_opinion is None else (self.tiles, self.second_opinion)

    def record(self) -> dict[str, str | None]:
        """Matcher, weights and device for registration.json."""
        if self.network is None:
            return {"matcher": self.name, "weights": None, "weights_sha256": None, "device": "cpu"}
        weights, device = self.network.weights, self.network.device
        return {
            "matcher": self.name,
            "weights": weights.name,
            "weights_sha256": weights.sha256,
            "device": device,
        }


def make_toolkit(options: MatchOptions, moving: Scene, reference: Scene) -> Toolkit:
    """The matchers that the options ask for; "auto" is what docs/benchmark.md shows to be best.

    Raises:
        UsageError: no such device or weights.
    """
    name = "hybrid" if options.matcher == "auto" else options.matcher
    threads = thread_count(options.num_threads)
    if name == "structural":
        check_device(options.device)
        return Toolkit(name, None, _structural_attempts, _structural_tiles(threads))
    given = tuple(scene.modality if scene.modality_given else None for scene in (moving, reference))
    network = DeferredNetwork(options.weights, options.device, (given[0], given[1]), options.num_threads)
    if name == "network":
        return Toolkit(name, network, _network_attempts(network), _network_tiles(network, threads))
    first, second = _structural_tiles(threads), _network_tiles(network, threads)
    return Toolkit(name, network, _hybrid_attempts(network), first, second)


def _structural_attempts(wanted: Wanted) -> Iterator[Attempt]:
    """The sweep, then a finer one where it leaves doubt."""
    for settings in SWEEPS:
        yield _swept(wanted, settings)


def _swept(wanted: Wanted, settings: SweepSettings) -> Attempt:
    rounds = Round(_coarse(22, 28), 5.0), Round(_coarse(12, 20), 3.5)
    found = sweep(wanted.moving, wanted.reference, wanted.rotations_deg, wanted.scales, settings)
    return Attempt(found, rounds)


def _network_attempts(network: DeferredNetwork, last: Round | None = None) -> Attempts:
    """The windows as they are; all turns, range of scales by range of scales, ranked in small images; then larger ones.

    Ranking takes no exact matches. The closer look leaves out the outermost scales, which its neighbours reach.
    """
    rounds, ranking = (Round(network, 6.0), last or Round(network, 4.0)), network.coarse()

    def attempts(wanted: Wanted) -> Iterator[Attempt]:
        lone = UNCOMPARED_CERTAINTY if last else UNCONFIRMED_CERTAINTY
        yield Attempt([wanted.as_they_are], rounds, lone if wanted.start is None else ENOUGH_CERTAINTY)
        moving, reference, angles = wanted.moving, wanted.reference, turns(wanted.rotations_deg)
        groups = scale_groups(wanted.scales)
        looks = [(group, RANKING_PX) for group in groups] + [(list(chain(*groups[:2])), CLOSER_PX)]
        for scales, side in looks:
            if (angles, scales) == ([0.0], [1.0]):
                continue
            guesses = [centred(moving, reference, turn, scale) for scale in scales for turn in angles]
            yield Attempt(ranked(moving, reference, guesses, ranking, side)[:REFINED_GUESSES], rounds)

    return attempts


def _hybrid_attempts(network: DeferredNetwork) -> Attempts:
    """What the geocoding says, correlated; the network's guesses, the last round correlated; then the quick sweep.

    The first spares good geocodings the network. A second sweep found nothing in any benchmark that the network had
    not, and costs hopeless pairs 9 CPU seconds.
    """
    by_network = _network_attempts(network, Round(_coarse(12, 20), 3.5))

    def attempts(wanted: Wanted) -> Iterator[Attempt]:
        if wanted.start is not None:
            yield Attempt([wanted.as_they_are], (Round(_coarse(12, 20), 3.5),))
        yield from by_network(wanted)
        yield _swept(wanted, SWEEPS[0])

    return attempts


def _coarse(search_px: int, spacing_px: int) -> StructuralMatcher:
    return StructuralMatcher(
        StructuralSettings(template_px=64, spacing_px=spacing_px, search_px=search_px, templates=60)
    )


def _structural_tiles(threads: int) -> TileStage:
    """Tile by tile, as many at once as there are threads; one reads."""
    settings = StructuralSettings()

    def matcher(uncertainty_px: float) -> Matcher:
        search = math.ceil(min(max(uncertainty_px, LEAST_SEARCH_PX), MOST_SEARCH_PX))
        return StructuralMatcher(replace(settings, search_px=search))

    return TileStage(
        matcher,
        tile_px=512,
        independent_px=settings.template_px,
        usual_share=1.0,
        threads=threads - 1,
    )


def _network_tiles(network: Matcher, threads: int) -> TileStage:
    """Tiles not far larger than the windows of its training; each match of its own cells of 8 px.

    It hands out unsure matches too, because the robust fit sorts them better than a threshold does. Its threads are
    PyTorch's, but for one that waits for them.
    """
    return TileStage(
        lambda uncertainty_px: network,
        tile_px=384,
        independent_px=NETWORK_INDEPENDENT_PX,
        usual_share=0.35,
        threads=min(threads - 1, 1),
        at_once=NETWORK_TILES,
    )
