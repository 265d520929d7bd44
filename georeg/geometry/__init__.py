"""Transforms, robust fits, model choice (numpy, scipy, OpenCV; no torch, no rasterio)."""
