"""Which matchers do the work of one registration, chosen by the options."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from georeg.matching.protocol import Matcher
from georeg.matching.structural import StructuralMatcher, StructuralSettings
from georeg.network.devices import pick_device
from georeg.registration.options import MatchOptions
from georeg.scene import Scene

LEAST_SEARCH_PX, MOST_SEARCH_PX = 5, 32


@dataclass(frozen=True)
class Toolkit:
    """The matchers of one registration.

    Attributes:
        name: "structural", "network" or "hybrid".
        weights, weights_sha256: of the network; None without one.
        device: torch's name of the device.
        detail: makes the tile stage's matcher from how far the windows may be apart, in tile pixels.
    """

    name: str
    weights: str | None
    weights_sha256: str | None
    device: str
    detail: Callable[[float], Matcher]


def make_toolkit(options: MatchOptions, moving: Scene, reference: Scene) -> Toolkit:
    """The matchers that the options ask for."""
    device = str(pick_device(options.device))
    return Toolkit(
        "structural", None, None, device, lambda uncertainty_px: _structural(uncertainty_px, device)
    )


def _structural(uncertainty_px: float, device: str) -> StructuralMatcher:
    search = int(min(max(uncertainty_px, LEAST_SEARCH_PX), MOST_SEARCH_PX))
    return StructuralMatcher(StructuralSettings(search_px=search), device)
