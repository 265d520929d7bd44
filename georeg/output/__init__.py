"""What a registration is written as: rasters, tie points, the HTML report.

The writers are imported when they are used, so that the options of this room cost nothing to look at.
"""

from importlib import import_module
from typing import Any

_HOMES = {
    "check_options": "georeg.output.raster",
    "write_points": "georeg.output.points",
    "write_raster": "georeg.output.raster",
    "write_report": "georeg.output.report",
}
__all__ = ["check_options", "write_points", "write_raster", "write_report"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
