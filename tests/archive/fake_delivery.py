"""A registration that costs nothing, for tests of what surrounds it; imported by worker processes too.

The moving file's text says what shall happen: words separated by spaces, e.g. "pass slow=0.2".
"""

import os
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import rasterio
from rasterio.transform import from_origin

from georeg.archive.work import Unit, run_unit
from georeg.errors import InputError, NotRegistrableError, ResourceError
from georeg.geometry.pixelmap import PixelMap
from georeg.geometry.transforms import MatrixTransform
from georeg.result import Quality, Registration, Tie
from georeg.scene import Grid, Scene

WGS84 = (
    'GEOGCS["WGS 84",DATUM["WGS_1984",SPHEROID["WGS 84",6378137,298.257223563]],PRIMEM["Greenwich",0],'
    'UNIT["degree",0.0174532925199433],AUTHORITY["EPSG","4326"]]'
)


class Here:
    """An executor in this very process, for tests that need no other."""

    def __init__(self, width: int = 3) -> None:
        self.width, self.waiting, self.seen = width, [], []

    @property
    def room(self) -> int:
        return self.width - len(self.waiting)

    def submit(self, unit: Unit) -> None:
        assert self.room
        self.waiting.append(unit)
        self.seen.append(unit.job.name)

    def results(self):
        unit = self.waiting.pop(0)
        yield unit, run_unit(unit)

    def close(self) -> None:
        self.waiting.clear()


class RefusedError(NotRegistrableError):
    def __init__(self, message, registration):
        super().__init__(message)
        self.registration = registration


def deliver(moving, reference, targets, match, output):
    """As `georeg.registration.deliver.deliver`, by the words in the moving file."""
    if not Path(moving).exists():
        raise InputError(f"{moving} is not there: check the path.")
    words = Path(moving).read_text().split()
    act(words, Path(moving))
    registration = registration_of(moving, reference, "fail" if "fail" in words else "pass", match)
    for what, path in targets.wanted:
        if what == "raster" and "fail" in words:
            continue
        time.sleep(setting(words, "write"))
        if what == "raster":
            write_raster(path)
        else:
            Path(path).write_text(f"{what} of {Path(moving).name}, {match.transform}\n")
    if "fail" in words:
        raise RefusedError("7 matches found, 20 needed: try --moving-modality sar.", registration)
    return registration


def deliver_on(moving, reference, targets, match, output):
    """As `deliver`; the record's matcher is the device."""
    time.sleep(0.3)  # long enough for every worker to get its share
    registration = deliver(moving, reference, targets, match, output)
    return replace(registration, run=registration.run | {"matcher": match.device})


def act(words, moving):
    """Do the harm that is asked for."""
    time.sleep(setting(words, "slow"))
    attempts = moving.with_suffix(".attempts")
    with open(attempts, "a") as file:
        file.write("x")
    tried = attempts.stat().st_size
    if tried <= setting(words, "crash"):
        os._exit(9)
    if tried <= setting(words, "memory"):
        raise ResourceError("Memory ran out.")
    if "bug" in words:
        raise ValueError("something nobody thought of")


def write_raster(path):
    profile = {"driver": "GTiff", "width": 4, "height": 3, "count": 1, "dtype": "uint8", "crs": "EPSG:4326"}
    with rasterio.open(path, "w", transform=from_origin(10, 50, 0.01, 0.01), **profile) as dataset:
        dataset.write(np.arange(12, dtype=np.uint8).reshape(1, 3, 4))


def setting(words, name):
    return next((float(word.partition("=")[2]) for word in words if word.startswith(name + "=")), 0.0)


def registration_of(moving, reference, verdict, match):
    grid = Grid(100, 80, (0.01, 0.0, 10.0, 0.0, -0.01, 50.0), WGS84)
    scenes = [
        Scene(path, grid, 1, "uint8", geocoding="geotransform", gsd_m=900.0) for path in (moving, reference)
    ]
    none = np.zeros((0, 2))
    tie = Tie(none, none, np.zeros(0), np.zeros(0, bool), np.zeros(0, bool), none)
    reasons = () if verdict == "pass" else ("7 matches found, 20 needed.",)
    quality = Quality(verdict, reasons, 0.98, 0.4, 0.5, 0.8, 720.0, 0.9, 120, 100)
    matrix = np.array([[1, 0, 3.0], [0, 1, 2.0], [0, 0, 1]])
    run = {"version": "0.1.0", "matcher": "fake", "seed": match.seed, "threads": match.num_threads}
    transform = PixelMap(MatrixTransform("shift", matrix), None, grid)
    return Registration(scenes[0], scenes[1], transform, tie, quality, (), run)
