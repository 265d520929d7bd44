"""The sizes of the network, as plain values that travel inside checkpoints and weight files."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any

from georeg.errors import InputError, UsageError

CELL_PX = 8
"""Pixels between neighbouring cells of the coarse grid; cell (r, c) stands at pixel centre (8 c, 8 r)."""

FINE_PX = 2
"""Pixels between neighbouring positions of the fine grid."""


@dataclass(frozen=True)
class NetworkConfig:
    """Shape of a matching network.

    Attributes:
        name: what it is called in files and messages.
        channels: of the backbone at 1/2, 1/4 and 1/8; the last one is the width of the attention.
        blocks: stride-1 blocks at 1/2, 1/4 and 1/8, after the block that halves the grid.
        layers: pairs of (self, cross) attention.
        heads: attention heads.
        reduction: keys and values are this many times sparser along each axis than queries: 1, 2 or 4.
        fine_channels: width of the features at 1/2.
        fine_window: side of the fine stage's templates, odd, in positions of the 1/2 grid.
        modality_token: whether each image is told what kind of image the other one is.
    """

    name: str
    channels: tuple[int, int, int]
    blocks: tuple[int, int, int]
    layers: int
    heads: int
    reduction: int = 2
    fine_channels: int = 24
    fine_window: int = 11
    modality_token: bool = True

    def __post_init__(self) -> None:
        assert self.reduction in (1, 2, 4), self.reduction
        assert self.fine_window % 2 == 1, self.fine_window
        assert self.channels[2] % (4 * self.heads) == 0, (
            "each head needs a multiple of four channels (rotary)"
        )

    @property
    def multiple_px(self) -> int:
        """Height and width of every image given to the network are multiples of this."""
        return CELL_PX * self.reduction

    def to_json(self) -> str:
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> NetworkConfig:
        """The config a file was saved with; raises InputError where the text is not one."""
        try:
            values: dict[str, Any] = json.loads(text)
            values["channels"], values["blocks"] = tuple(values["channels"]), tuple(values["blocks"])
            return cls(**values)
        except (ValueError, TypeError, KeyError) as error:
            raise InputError(f"the weights carry no readable network config: {error}") from error


CONFIGS = {
    "tiny": NetworkConfig("tiny", (24, 48, 96), (0, 2, 2), layers=2, heads=4),
    "small": NetworkConfig("small", (24, 48, 144), (0, 2, 2), layers=3, heads=6),
    "base": NetworkConfig("base", (64, 96, 192), (1, 3, 4), layers=4, heads=8, reduction=4, fine_channels=64),
}


def config_by_name(name: str) -> NetworkConfig:
    """One of CONFIGS; raises UsageError for any other name."""
    if name not in CONFIGS:
        raise UsageError(f"no network config is called {name!r}: choose one of {', '.join(CONFIGS)}")
    return CONFIGS[name]
