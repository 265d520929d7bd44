"""The network matcher, loaded when it is first asked to match.

Most pairs with a good geocoding never ask for it, and PyTorch takes a second and 200 MB to import.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from georeg.matching.protocol import Correspondences, PatchPair
from georeg.network.weights import Weights, find_weights
from georeg.scene import Modality

if TYPE_CHECKING:
    from georeg.matching.network import NetworkMatcher


class DeferredNetwork:
    """As `georeg.matching.network.NetworkMatcher`; weights and device are looked up at once, and loaded later.

    Args:
        weights, device, given, refine: of `NetworkMatcher`.
        num_threads: of the CPU, for PyTorch; 0 for one per core.

    Raises:
        UsageError: no such weights or device.
        InputError: damaged weights.
    """

    name = "network"

    def __init__(
        self,
        weights: str | Path | Weights | None,
        device: str,
        given: tuple[Modality | None, Modality | None],
        num_threads: int,
        refine: bool = True,
    ) -> None:
        check_device(device)
        self.weights = weights if isinstance(weights, Weights) else find_weights(weights)
        self._options = device, given, num_threads, refine

    def coarse(self) -> DeferredNetwork:
        """The same without its fine stage."""
        device, given, num_threads, _ = self._options
        return DeferredNetwork(self.weights, device, given, num_threads, refine=False)

    @property
    def weights_sha256(self) -> str | None:
        return self.weights.sha256

    @property
    def device(self) -> str:
        """Where it matches; "cpu" as long as it has not matched."""
        return str(self._loaded.device) if "_loaded" in self.__dict__ else "cpu"

    def match(self, pairs: Sequence[PatchPair]) -> list[Correspondences]:
        """Match each pair.

        Raises:
            InputError: the weights' tensors are damaged.
            ResourceError: the device's memory does not suffice for a single pair.
        """
        return self._loaded.match(pairs)

    @cached_property
    def _loaded(self) -> NetworkMatcher:
        from georeg.matching.network import NetworkMatcher
        from georeg.network.devices import use_threads

        device, given, num_threads, refine = self._options
        use_threads(num_threads)
        return NetworkMatcher(self.weights, device, given=given, refine=refine)


def check_device(name: str) -> None:
    """Refuse a device that is not there; "auto" and "cpu" always are.

    Raises:
        UsageError: no such device.
    """
    if name in ("auto", "cpu"):
        return
    from georeg.network.devices import pick_device

    pick_device(name)
