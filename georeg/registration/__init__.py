"""The main job: register one scene to another."""

from georeg.registration.options import MatchOptions
from georeg.registration.recipe import register

__all__ = ["MatchOptions", "register"]
