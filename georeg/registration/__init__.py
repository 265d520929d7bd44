"""The main job: register one scene to another.

`register` is imported when it is used, so that the options of this room cost nothing to look at.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from georeg.registration.options import MatchOptions
    from georeg.registration.recipe import register

_HOMES = {"MatchOptions": "georeg.registration.options", "register": "georeg.registration.recipe"}
__all__ = ["MatchOptions", "register"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
