"""What can be chosen, as georeg's word and as people's words; the first of each is the default."""

from __future__ import annotations

MODALITIES = {
    "auto": "Automatic",
    "optical": "Optical",
    "sar": "Radar (SAR)",
    "infrared": "Infrared, thermal",
    "map": "Map",
    "elevation": "Elevation model",
}
TRANSFORMS = {
    "auto": "Automatic",
    "shift": "Shift only",
    "similarity": "Shift, rotation, scale",
    "affine": "Affine",
    "homography": "Perspective",
    "polynomial2": "Polynomial, 2nd order",
    "polynomial3": "Polynomial, 3rd order",
    "tps": "Thin-plate spline",
}
MATCHERS = {
    "auto": "Automatic",
    "network": "Neural network",
    "structural": "Structural (no network)",
    "hybrid": "Both",
}
PRIORS = {
    "auto": "Use it where it fits",
    "geocoding": "Trust it",
    "none": "Ignore it, search everywhere",
}
OUTPUT_MODES = {
    "resample": "Resampled image",
    "georeference": "Original pixels, new position",
    "vrt": "Virtual raster (.vrt)",
}
GRIDS = {
    "reference": "Pixel grid of the reference",
    "moving": "Pixel size of the moving image",
}
RESAMPLINGS = {
    "bilinear": "Bilinear",
    "nearest": "Nearest neighbour",
    "cubic": "Cubic",
    "lanczos": "Lanczos",
}
