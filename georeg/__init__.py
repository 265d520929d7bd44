"""Register remote-sensing images from different sensors to one another.

    import georeg
    registration = georeg.register("sar.tif", "optical.tif")
    registration.quality.verdict, registration.transform.matrix

Importing this package is cheap: what needs torch, rasterio or OpenCV is imported when it is first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from georeg.errors import GeoregError as GeoregError
    from georeg.output.options import OutputOptions as OutputOptions
    from georeg.raster import open_scene as open_scene
    from georeg.registration import register as register
    from georeg.registration.deliver import apply_registration as apply_registration
    from georeg.registration.deliver import deliver as deliver
    from georeg.registration.destinations import Destinations as Destinations
    from georeg.registration.options import MatchOptions as MatchOptions
    from georeg.registration.stored import read_registration as read_registration
    from georeg.result import Registration as Registration
    from georeg.scene import Modality as Modality

_HOMES = {
    "Destinations": "georeg.registration.destinations",
    "GeoregError": "georeg.errors",
    "MatchOptions": "georeg.registration.options",
    "Modality": "georeg.scene",
    "OutputOptions": "georeg.output.options",
    "Registration": "georeg.result",
    "apply_registration": "georeg.registration.deliver",
    "deliver": "georeg.registration.deliver",
    "open_scene": "georeg.raster",
    "read_registration": "georeg.registration.stored",
    "register": "georeg.registration",
}

__all__ = ["__version__", *sorted(_HOMES)]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("georeg")
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'georeg' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
