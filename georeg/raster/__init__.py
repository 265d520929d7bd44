"""Everything that touches rasterio for reading: scenes, windows, normalisation, geocoding."""

from georeg.raster.geocoding import Geocoding, GeocodingPrior
from georeg.raster.normalise import normalise
from georeg.raster.reader import SceneReader
from georeg.raster.resample import resample_window
from georeg.raster.scenes import open_scene

__all__ = ["Geocoding", "GeocodingPrior", "SceneReader", "normalise", "open_scene", "resample_window"]
