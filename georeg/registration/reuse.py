"""Carries a registration over to another image of the same ground."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from georeg.errors import UsageError
from georeg.geometry.pixelmap import PixelMap
from georeg.geometry.transforms import Transform
from georeg.raster import GeocodingPrior
from georeg.result import Registration
from georeg.scene import FloatArray, Scene


@dataclass(frozen=True)
class Chain:
    """A transform after another: `second(first(points))`."""

    first: Transform
    second: Transform

    @property
    def kind(self) -> str:
        return self.second.kind

    def __call__(self, points_xy: FloatArray) -> FloatArray:
        return self.second(self.first(points_xy))

    def inverse(self, points_xy: FloatArray) -> FloatArray:
        return self.first.inverse(self.second.inverse(points_xy))

    def to_json(self) -> dict[str, Any]:
        return {"kind": "chain", "first": self.first.to_json(), "second": self.second.to_json()}


def registration_of(scene: Scene, registration: Registration) -> Registration:
    """The registration as one of `scene`, an image of the ground that was registered.

    An image of the same size is taken to have the same pixels. Another one is laid on the registered image by the
    geocoding of both, which is wrong alike.

    Raises:
        UsageError: the sizes differ and there is no geocoding to go by.
    """
    pixel_map, registered = registration.transform, registration.moving
    assert pixel_map is not None
    if scene.grid.shape == registered.grid.shape:
        return replace(registration, moving=scene)
    onto = GeocodingPrior.between(scene, registered)
    if onto is None:
        raise UsageError(
            f"{scene.name} has {scene.grid.width} x {scene.grid.height} pixels, the registered image "
            f"{registered.grid.width} x {registered.grid.height}: give one of that size, or one with a geotransform."
        )
    prior = onto if pixel_map.prior is None else Chain(onto, pixel_map.prior)
    return replace(registration, moving=scene, transform=PixelMap(pixel_map.correction, prior, scene.grid))
