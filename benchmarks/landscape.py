"""An endless synthetic landscape with structure at every scale, seen by an optical and by a radar sensor.

Terrain, land cover and soil are fractal (amplitude proportional to wavelength, so the spectrum falls as in real
terrain): a scene has something to show whether it is looked at in full or reduced forty times. Lakes lie in the
hollows, rivers and streams follow level lines, farmland has fields of three sizes whose crops differ from region to
region, roads run through all. Values depend on the place alone, never on the block that is being drawn.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt
from affine import Affine

Floats = npt.NDArray[np.float32]

COARSE = 8
"""Fractal fields are computed at every eighth pixel and interpolated: their finest cell is FINEST_PX."""
FINEST_PX = 40.0
OCTAVE = 2.1
LATTICE = 251
MARGIN = 4
"""Pixels drawn around a block, for the sensor's blur."""
WATER, FOREST, HEATH, TOWN, ROAD, CROPS = 0, 1, 2, 3, 4, 5
FIELDS_PX = ((173.0, 113.0), (71.0, 47.0), (29.0, 19.0))


class Fractal:
    """Smooth noise of many octaves, of about unit variance: `largest_px` is the cell of the coarsest one."""

    def __init__(self, rng: np.random.Generator, largest_px: float) -> None:
        count = int(np.log(largest_px / FINEST_PX) / np.log(OCTAVE)) + 1
        self.cells = largest_px / OCTAVE ** np.arange(count)
        self.weights = self.cells / np.sqrt((self.cells**2).sum()) * 1.5
        self.lattices = [rng.normal(size=(LATTICE, LATTICE)).astype(np.float32) for _ in self.cells]

    def __call__(self, x: npt.NDArray[np.float64], y: npt.NDArray[np.float64]) -> Floats:
        total = np.zeros(x.shape, np.float32)
        for cell, weight, lattice in zip(self.cells, self.weights, self.lattices, strict=True):
            total += np.float32(weight) * _smooth(lattice, x / cell, y / cell)
        return total


def _smooth(lattice: Floats, u: npt.NDArray[np.float64], v: npt.NDArray[np.float64]) -> Floats:
    """Lattice values between the nodes, without a crease at them (Perlin's quintic)."""
    left, top = np.floor(u), np.floor(v)
    s, t = (f * f * f * (f * (f * 6 - 15) + 10) for f in ((u - left).astype("f4"), (v - top).astype("f4")))
    i, j = left.astype(np.int64) % LATTICE, top.astype(np.int64) % LATTICE
    right, down = (i + 1) % LATTICE, (j + 1) % LATTICE
    above = lattice[j, i] * (1 - s) + lattice[j, right] * s
    below = lattice[down, i] * (1 - s) + lattice[down, right] * s
    return above * (1 - t) + below * t


@dataclass(frozen=True)
class View:
    """What lies in a block: (H, W) each; surface kind, soil and grain (unit variance), slopes to east and south."""

    kind: npt.NDArray[np.uint8]
    soil: Floats
    grain: Floats
    east: Floats
    south: Floats


class Ground:
    """The landscape of a seed."""

    def __init__(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        names = {"height": 9000, "cover": 6000, "soil": 7000, "town": 2500, "river": 8000, "stream": 900}
        self.fields = {name: Fractal(rng, largest) for name, largest in names.items()}
        self.turns = rng.uniform(0, np.pi, len(FIELDS_PX))
        self.parcels = rng.integers(0, 6, (len(FIELDS_PX), 257, 263), dtype=np.uint8)
        self.crops = np.stack([rng.choice(6, 6, p=rng.dirichlet(np.full(6, 0.6))) for _ in range(8)])
        self.pebbles = rng.normal(size=(509, 509)).astype(np.float32)

    def look(self, place: Affine, col: int, row: int, shape: tuple[int, int]) -> View:
        """The block of `shape` whose first pixel is (col, row); `place` maps pixels to the ground."""
        coarse = shape[0] // COARSE + 4, shape[1] // COARSE + 4
        at = _places(place, col - COARSE, row - COARSE, coarse, COARSE)
        found = {name: field(*at) for name, field in self.fields.items()}
        steep = {f"{name} slope": _steepness(found[name]) for name in ("river", "stream")}
        south, east = np.gradient(found["height"], COARSE)
        fine = {name: _finer(value, shape) for name, value in (found | steep).items()}
        x, y = (v.astype(np.float32) for v in _places(place, col, row, shape, 1))
        return View(
            self._kinds(x, y, fine),
            fine["soil"],
            self._grain(x, y),
            _finer(east, shape),
            _finer(south, shape),
        )

    def _kinds(self, x: Floats, y: Floats, fine: dict[str, Floats]) -> npt.NDArray[np.uint8]:
        region = np.clip(fine["soil"] * 2 + 4, 0, 7).astype(np.intp)
        kind, plot = np.zeros(x.shape, np.uint8), np.zeros(x.shape, np.uint8)
        for size, (long, short) in enumerate(FIELDS_PX):
            here = (region % len(FIELDS_PX)) == size
            c, s = np.cos(self.turns[size]), np.sin(self.turns[size])
            u, v = (c * x[here] + s * y[here]) / long, (c * y[here] - s * x[here]) / short
            i, j = np.floor(v).astype(np.int32) % 257, np.floor(u).astype(np.int32) % 263
            plot[here] = self.parcels[size, i, j]
            kind[here] = CROPS + self.crops[region[here], plot[here]]
        kind[fine["cover"] > 0.35] = HEATH
        kind[(fine["cover"] > 0.6) & (plot > 0)] = FOREST  # the rest are clearings
        kind[fine["town"] > 1.5] = TOWN
        bend = 40 * fine["cover"]
        roads = (np.abs(_cycle(x + bend, 1900) - 950) < 3) | (np.abs(_cycle(y - bend, 1300) - 650) < 3)
        kind[roads | (np.abs(_cycle(x + y + 2 * bend, 570) - 285) < 1.5)] = ROAD
        river, stream = (
            np.abs(fine[name]) < w * fine[f"{name} slope"] for name, w in (("river", 12), ("stream", 2.5))
        )
        kind[(fine["height"] < -1.1) | river | stream] = WATER
        return kind

    def _grain(self, x: Floats, y: Floats) -> Floats:
        """Detail of a few pixels."""
        total = np.zeros(x.shape, np.float32)
        for cell in (3.7, 9.1):
            at = [_cycle(v / np.float32(cell), 508) for v in (x, y)]
            total += cv2.remap(self.pebbles, at[0], at[1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP)
        return total


def _places(
    place: Affine, col: int, row: int, shape: tuple[int, int], step: int
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Ground coordinates of every step-th pixel's centre."""
    cols, rows = np.arange(shape[1]) * step + col + 0.5, (np.arange(shape[0]) * step + row + 0.5)[:, None]
    return place.a * cols + place.b * rows + place.c, place.d * cols + place.e * rows + place.f


def _finer(values: Floats, shape: tuple[int, int]) -> Floats:
    """From every COARSE-th pixel, with one more around, to every pixel."""
    matrix = np.array([[1 / COARSE, 0, 1], [0, 1 / COARSE, 1]])
    return cv2.warpAffine(values, matrix, shape[::-1], flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP)


def _steepness(field: Floats) -> Floats:
    """Change a pixel; the field over it is, to first order, the distance from its zero line."""
    down, across = np.gradient(field, COARSE)
    return np.hypot(down, across)


def _cycle(values: Floats, length: float) -> Floats:
    """Values modulo a length (NumPy's own is ten times as slow)."""
    return values - np.float32(length) * np.floor(values * np.float32(1 / length))


Sensor = Callable[[View, np.random.Generator, int], Floats]


def optical(view: View, rng: np.random.Generator, day: int) -> Floats:
    """Reflectance with shading from the north-west, blur and a little noise; another day has other crops and gain."""
    tones = np.array([350, 620, 1100, 1900, 1500, 900, 1250, 1600, 2000, 2450, 2900], np.float32)
    tones[CROPS:] *= 1 + 0.15 * day * np.array([1, -1, 0.5, -0.5, 1, 0], np.float32)
    light = 1 + 12 * (view.east + view.south) + 0.10 * view.soil + 0.05 * view.grain
    image = tones[view.kind] * light.clip(0.3, 2) * (1 + 0.1 * day)
    return _blurred(image) + 12 * rng.standard_normal(image.shape, np.float32)


def radar(view: View, rng: np.random.Generator, day: int) -> Floats:
    """Amplitude of a radar that looks from the east: slopes facing it are bright; four-look speckle."""
    power = np.array([0.05, 1.6, 0.5, 3.5, 0.15, 1.5, 0.4, 1.0, 0.6, 2.0, 0.3], np.float32)[view.kind]
    power = power * np.exp(25 * view.east + 0.12 * view.soil + 0.05 * view.grain)
    return 900 * np.sqrt(_blurred(power) * rng.standard_gamma(4, power.shape, np.float32) / 4)


def _blurred(image: Floats) -> Floats:
    """A sensor's point spread."""
    return cv2.GaussianBlur(image, (0, 0), 0.7)


def draw(
    ground: Ground, sensor: Sensor, place: Affine, col: int, row: int, shape: tuple[int, int], day: int
) -> Floats:
    """One block as a sensor sees it, (H, W)."""
    wider = shape[0] + 2 * MARGIN, shape[1] + 2 * MARGIN
    view = ground.look(place, col - MARGIN, row - MARGIN, wider)
    image = sensor(view, np.random.default_rng((day, row, col)), day)
    return image[MARGIN:-MARGIN, MARGIN:-MARGIN]
