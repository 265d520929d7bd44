"""Makes a simulated optical/SAR pair of one landscape, with its truth.

    python sample_data/simulate.py FOLDER [--seed N] [--extent METRES]

FOLDER/optical.tif   the reference: three bands, 5 m, UTM zone 33
FOLDER/sar.tif       the moving image: amplitude, 6 m, UTM zone 32, its geocoding wrong by
                     37 m east, 22 m south and 0.8 degrees
FOLDER/truth.json    what a registration must find (see `truth`)

The landscape (terrain, fields, forest, a river, roads, villages) is drawn once on a fine grid; each sensor then sees it
its own way: sun, shadows and colours for the one, incidence, double bounce, radar shadow and speckle for the other.
Nothing in it is taken from a real image.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import rasterio
from affine import Affine
from rasterio.warp import transform as transform_points
from scipy import ndimage

PIXEL_M = 2.5
"""Pixel of the landscape; finer than either sensor's."""
ORIGIN_M = (343_000.0, 5_612_000.0)
"""Upper left corner of the landscape in LANDSCAPE_CRS, near the edge of two UTM zones."""
LANDSCAPE_CRS, SAR_CRS = "EPSG:32633", "EPSG:32632"
OPTICAL_M, SAR_M = 5.0, 6.0
WRONG_EAST_M, WRONG_NORTH_M, WRONG_TURN_DEG = 37.0, -22.0, 0.8
SUN_DEG, LOOK_DEG = 150.0, 100.0
"""Azimuth the sunlight comes from, and azimuth the radar looks towards, clockwise from north."""

WATER, FOREST, MEADOW, CROP, SOIL, ROAD, TRACK, YARD, ROOF = range(9)
COLOURS = np.array(
    [
        [38, 58, 66], [40, 62, 36], [96, 116, 68], [142, 138, 88], [146, 124, 98],
        [118, 116, 112], [158, 146, 120], [112, 118, 90], [150, 98, 82],
    ],
    np.float32,
)  # fmt: skip
BACKSCATTER_DB = np.array([-21, -8.5, -13, -11, -15, -18, -15.5, -11, -7], np.float32)


@dataclass(frozen=True)
class Landscape:
    """The ground on a fine grid, all (H, W): height above sea level with and without objects (m), surface class, and
    the deviation of brightness (optical) and backscatter (dB) from the class's own."""

    terrain: np.ndarray
    height: np.ndarray
    surface: np.ndarray
    tone: np.ndarray
    roughness_db: np.ndarray


@dataclass(frozen=True)
class Frame:
    """A sensor's pixel grid: its size, CRS, true geotransform and the geotransform the file states."""

    size: int
    crs: str
    true: Affine
    stated: Affine


# ---------------------------------------------------------------------------------------------------- landscape


def make_landscape(rng: np.random.Generator, extent_m: float) -> Landscape:
    """Draw a square landscape: ground cover first, then what people built on it."""
    size = round(extent_m / PIXEL_M)
    terrain = 260 + 45 * noise(rng, size, 1500 / PIXEL_M) + 7 * noise(rng, size, 300 / PIXEL_M)
    surface, tone, rough = fields(rng, size)
    river = river_distance(rng, size)
    terrain -= 45 * np.exp(-((river * PIXEL_M / 420) ** 2))
    paint_forest(rng, surface, tone, rough)
    villages = rng.uniform(0.15, 0.85, (max(3, round((extent_m / 1000) ** 2 / 2.2)), 2)) * size
    roads = road_masks(rng, villages, size)
    paint(surface, tone, rough, river < 38 / PIXEL_M, MEADOW)
    paint(surface, tone, rough, river < 22 / PIXEL_M, WATER)
    paint(surface, tone, rough, roads[1], TRACK)
    objects = np.zeros((size, size), np.float32)
    objects[surface == FOREST] = 14
    objects *= 1 + 0.25 * noise(rng, size, 12 / PIXEL_M)
    paint(surface, tone, rough, roads[0], ROAD)
    objects[(surface == ROAD) | (surface == TRACK)] = 0
    build_villages(rng, villages, surface, tone, rough, objects)
    return Landscape(terrain, terrain + objects, surface, tone, rough)


def noise(rng: np.random.Generator, size: int, wavelength_px: float) -> np.ndarray:
    """Smooth random field (size, size), zero mean, unit deviation, with two finer octaves."""
    total = np.zeros((size, size), np.float32)
    for octave in range(3):
        cells = max(4, round(size / wavelength_px * 2**octave) + 3)
        coarse = rng.normal(size=(cells, cells)).astype(np.float32)
        total += cv2.resize(coarse, (size, size), interpolation=cv2.INTER_CUBIC) * 0.5**octave
    return (total - total.mean()) / total.std()


def fields(rng: np.random.Generator, size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Parcels: a turned plane cut in two again and again; class, tone and roughness of each."""
    surface = np.full((size, size), MEADOW, np.uint8)
    tone, rough = np.zeros((2, size, size), np.float32)
    turn = rng.uniform(0, np.pi)
    half = size * 0.75
    stack = [(-half, -half, half, half)]
    while stack:
        x0, y0, x1, y1 = stack.pop()
        wide, tall = x1 - x0, y1 - y0
        if max(wide, tall) > rng.uniform(110, 520) / PIXEL_M or min(wide, tall) > 260 / PIXEL_M:
            cut = rng.uniform(0.35, 0.65)
            if wide > tall:
                stack += [(x0, y0, x0 + cut * wide, y1), (x0 + cut * wide, y0, x1, y1)]
            else:
                stack += [(x0, y0, x1, y0 + cut * tall), (x0, y0 + cut * tall, x1, y1)]
            continue
        corners = turned(np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1]]), turn) + size / 2
        kind = rng.choice([MEADOW, CROP, CROP, SOIL])
        for layer, value in ((surface, int(kind)), (tone, rng.normal(0, 0.13)), (rough, rng.normal(0, 2.4))):
            fill(layer, corners, value)
    return surface, tone + furrows(size, turn), rough


def furrows(size: int, turn: float) -> np.ndarray:
    """Faint parallel lines as machines leave them."""
    y, x = np.mgrid[:size, :size].astype(np.float32)
    across = x * np.cos(turn) + y * np.sin(turn)
    return 0.02 * np.sin(across * 2 * np.pi * PIXEL_M / 24)


def turned(points_xy: np.ndarray, angle_rad: float) -> np.ndarray:
    c, s = np.cos(angle_rad), np.sin(angle_rad)
    return points_xy @ np.array([[c, s], [-s, c]])


def fill(layer: np.ndarray, corners_xy: np.ndarray, value: float) -> None:
    cv2.fillPoly(layer, [np.round(corners_xy * 16).astype(np.int32)], value, shift=4)


def paint(surface: np.ndarray, tone: np.ndarray, rough: np.ndarray, where: np.ndarray, kind: int) -> None:
    """Give a region another surface and take the field's own tone away."""
    surface[where] = kind
    tone[where] *= 0.2
    rough[where] *= 0.2


def paint_forest(rng: np.random.Generator, surface: np.ndarray, tone: np.ndarray, rough: np.ndarray) -> None:
    size = len(surface)
    where = noise(rng, size, 900 / PIXEL_M) + 0.25 * noise(rng, size, 120 / PIXEL_M) > 0.85
    paint(surface, tone, rough, where, FOREST)
    tone[where] += 0.16 * noise(rng, size, 14 / PIXEL_M)[where]


def river_distance(rng: np.random.Generator, size: int) -> np.ndarray:
    """Distance to a meandering line from the left to the right edge, in pixels."""
    along = np.linspace(-0.05, 1.05, 60)
    phases, swings = rng.uniform(0, 2 * np.pi, 3), np.array([0.09, 0.045, 0.02])
    across = 0.5 + rng.uniform(-0.12, 0.12)
    across = across + sum(
        a * np.sin(2 * np.pi * f * along + p) for a, f, p in zip(swings, (1.1, 2.7, 5.3), phases, strict=True)
    )
    line = np.column_stack([along, across]) * size
    return distance_to([line], size, 1)


def distance_to(lines: list[np.ndarray], size: int, width: int) -> np.ndarray:
    canvas = np.full((size, size), 255, np.uint8)
    cv2.polylines(canvas, [np.round(line).astype(np.int32) for line in lines], False, 0, width)
    return cv2.distanceTransform(canvas, cv2.DIST_L2, 5)


def road_masks(rng: np.random.Generator, villages: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Paved roads from village to village and out of the scene, and field tracks off them."""
    order = np.argsort(villages[:, 0])
    ends = np.array([[-10, rng.uniform(0, size)], [size + 10, rng.uniform(0, size)]])
    stops = np.vstack([ends[:1], villages[order], ends[1:]])
    paved = [bend(rng, a, b) for a, b in pairwise(stops)]
    paved.append(
        bend(
            rng, np.array([rng.uniform(0.2, 0.8) * size, -10]), np.array([rng.uniform(0.2, 0.8) * size, size])
        )
    )
    tracks = []
    for _ in range(round(size * PIXEL_M / 260)):
        line = paved[rng.integers(len(paved))]
        start = line[rng.integers(len(line))]
        tracks.append(
            bend(
                rng,
                start,
                start + turned(np.array([[rng.uniform(400, 900) / PIXEL_M, 0]]), rng.uniform(0, 7))[0],
            )
        )
    return distance_to(paved, size, 1) < 6 / PIXEL_M, distance_to(tracks, size, 1) < 3.2 / PIXEL_M


def bend(rng: np.random.Generator, start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """A gently bent line of 40 points."""
    along = np.linspace(0, 1, 40)[:, None]
    normal = np.array([-(end - start)[1], (end - start)[0]])
    return start + along * (end - start) + np.sin(np.pi * along) * normal * rng.normal(0, 0.12)


def build_villages(
    rng: np.random.Generator,
    villages: np.ndarray,
    surface: np.ndarray,
    tone: np.ndarray,
    rough: np.ndarray,
    objects: np.ndarray,
) -> None:
    """Streets in a turned grid, with houses along them; now and then a hall."""
    for centre in villages:
        turn, rows, step = rng.uniform(0, np.pi), rng.integers(4, 8), 46 / PIXEL_M
        places = (
            np.stack(np.meshgrid(np.arange(rows), np.arange(rows)), -1).reshape(-1, 2) - rows / 2
        ) * step
        yards = np.zeros(surface.shape, np.uint8)
        fill(
            yards,
            turned(np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * (rows * step / 2), turn) + centre,
            1,
        )
        paint(surface, tone, rough, (yards > 0) & ~np.isin(surface, (WATER, ROAD)), YARD)
        objects[(yards > 0)] = 0
        for offset in places + step / 2:
            if rng.uniform() < 0.85:
                house(rng, turned(offset[None], turn)[0] + centre, turn, surface, tone, objects)


def house(
    rng: np.random.Generator,
    at: np.ndarray,
    turn: float,
    surface: np.ndarray,
    tone: np.ndarray,
    objects: np.ndarray,
) -> None:
    hall = rng.uniform() < 0.12
    long, wide = (
        (rng.uniform(34, 44), rng.uniform(20, 30)) if hall else (rng.uniform(16, 26), rng.uniform(10, 16))
    )
    box = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * np.array([long, wide]) / PIXEL_M / 2
    corners = turned(box, turn + rng.choice([0, np.pi / 2])) + at
    mask = np.zeros(surface.shape, np.uint8)
    fill(mask, corners, 1)
    if (surface[mask > 0] == WATER).any():
        return
    fill(surface, corners, ROOF)
    fill(tone, corners, rng.normal(0.2 if hall else 0, 0.2))
    fill(objects, corners, rng.uniform(8, 13) if hall else rng.uniform(5, 9))


# ---------------------------------------------------------------------------------------------------- sensors


def optical_view(land: Landscape, rng: np.random.Generator) -> np.ndarray:
    """Colours under the sun, (H, W, 3) float32 in 0..255 on the landscape's grid."""
    size = len(land.surface)
    colours = COLOURS[land.surface] * (1 + land.tone + 0.04 * noise(rng, size, 8 / PIXEL_M))[..., None]
    light = 0.9 + 1.5 * slope_towards(ndimage.gaussian_filter(land.terrain, 2), SUN_DEG)
    colours *= np.clip(light, 0.45, 1.35)[..., None]
    colours[shadow(land.height, SUN_DEG + 180, 1.15)] *= 0.45
    return colours + 12


def sar_view(land: Landscape, rng: np.random.Generator) -> np.ndarray:
    """Backscatter without speckle, (H, W) float32 in linear power on the landscape's grid."""
    size = len(land.surface)
    level_db = BACKSCATTER_DB[land.surface] + land.roughness_db + 0.7 * noise(rng, size, 30 / PIXEL_M)
    facing = slope_towards(ndimage.gaussian_filter(land.terrain, 3), LOOK_DEG + 180)
    power = 10 ** ((level_db + 13 * np.clip(facing, -0.35, 0.4)) / 10)
    walls = np.clip(slope_towards(land.height, LOOK_DEG + 180) - facing, 0, 3)
    bounce = np.where(ndimage.maximum_filter(land.surface == ROOF, 3), 1.5 * walls, 0.09 * walls)
    power += shifted_towards_radar(ndimage.gaussian_filter(bounce, 0.6), 3.0)
    power[shadow(land.height, LOOK_DEG, 1.2)] *= 0.12
    return power.astype(np.float32)


def towards(azimuth_deg: float) -> np.ndarray:
    """Unit step (x right, y down) towards an azimuth."""
    return np.array([np.sin(np.radians(azimuth_deg)), -np.cos(np.radians(azimuth_deg))])


def slope_towards(height: np.ndarray, azimuth_deg: float) -> np.ndarray:
    """How steeply the ground falls towards an azimuth (rise over run); positive where it faces there."""
    rise_y, rise_x = np.gradient(height, PIXEL_M)
    x, y = towards(azimuth_deg)
    return -(rise_x * x + rise_y * y)


def shadow(height: np.ndarray, away_deg: float, run_per_rise: float) -> np.ndarray:
    """(H, W) bool: hidden behind something higher, for rays that travel towards `away_deg`."""
    hidden = np.zeros(height.shape, bool)
    for step in range(1, round(30 * run_per_rise / PIXEL_M) + 1):
        x, y = towards(away_deg) * step
        blocker = moved(height, x, y)
        hidden |= blocker - step * PIXEL_M / run_per_rise > height + 0.8
    return hidden


def shifted_towards_radar(image: np.ndarray, by_m: float) -> np.ndarray:
    x, y = towards(LOOK_DEG + 180) * by_m / PIXEL_M
    return moved(image.astype(np.float32), x, y)


def moved(image: np.ndarray, x: float, y: float) -> np.ndarray:
    matrix = np.array([[1, 0, x], [0, 1, y]], np.float64)
    return cv2.warpAffine(
        image.astype(np.float32), matrix, image.shape[::-1], borderMode=cv2.BORDER_REPLICATE
    )


def speckled(power: np.ndarray, rng: np.random.Generator, looks: float) -> np.ndarray:
    """Multiply by gamma speckle that is correlated over neighbouring pixels."""
    field = rng.normal(size=(2, round(looks), *power.shape)).astype(np.float32)
    field = ndimage.gaussian_filter(field, (0, 0, 0.55, 0.55))
    intensity = (field**2).sum((0, 1))
    return power * intensity / intensity.mean()


# ---------------------------------------------------------------------------------------------------- files


def frames(extent_m: float) -> tuple[Frame, Frame]:
    """The optical frame (true geocoding) and the SAR frame (wrong geocoding), both well inside the landscape."""
    margin = 0.04 * extent_m
    size = int((extent_m - 2 * margin) / OPTICAL_M) // 16 * 16
    place = Affine(OPTICAL_M, 0, ORIGIN_M[0] + margin, 0, -OPTICAL_M, ORIGIN_M[1] - margin)
    optical = Frame(size, LANDSCAPE_CRS, place, place)
    centre = extent_m / 2
    [east], [north] = transform_points(LANDSCAPE_CRS, SAR_CRS, [ORIGIN_M[0] + centre], [ORIGIN_M[1] - centre])
    size = int(0.86 * extent_m / SAR_M) // 16 * 16
    half = round(size * SAR_M / 2)
    true = Affine(SAR_M, 0, round(east) - half, 0, -SAR_M, round(north) + half)
    wrong = Affine.translation(WRONG_EAST_M, WRONG_NORTH_M) @ Affine.rotation(
        WRONG_TURN_DEG, (round(east), round(north))
    )
    return optical, Frame(size, SAR_CRS, true, wrong @ true)


def landscape_xy(frame: Frame, points_xy: np.ndarray) -> np.ndarray:
    """Where (N, 2) pixels of a frame truly lie, in pixels of the landscape (corner-based)."""
    xs, ys = frame.true @ points_xy.T
    xs, ys = transform_points(frame.crs, LANDSCAPE_CRS, xs, ys)
    return np.column_stack([np.asarray(xs) - ORIGIN_M[0], ORIGIN_M[1] - np.asarray(ys)]) / PIXEL_M


def seen_through(frame: Frame, image: np.ndarray, pixel_m: float) -> np.ndarray:
    """Resample an image of the landscape into a frame, low-pass filtered as the sensor's pixel does."""
    steps = np.arange(frame.size) + 0.5
    points = np.stack(np.meshgrid(steps, steps), -1).reshape(-1, 2)
    at = (landscape_xy(frame, points) - 0.5).astype(np.float32).reshape(frame.size, frame.size, 2)
    soft = cv2.GaussianBlur(image.astype(np.float32), (0, 0), 0.42 * pixel_m / PIXEL_M)
    return cv2.remap(soft, at[..., 0], at[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)


def simulate(folder: str | Path, seed: int = 20, extent_m: float = 4700.0, looks: float = 3) -> Path:
    """Write optical.tif, sar.tif and truth.json.

    Args:
        folder: made if it is not there.
        seed: of every random draw.
        extent_m: side of the landscape; the images are a little smaller (0.92 and 0.86 of it).
        looks: of the SAR image; fewer are noisier.

    Returns:
        The folder.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    land = make_landscape(rng, extent_m)
    optical, sar = frames(extent_m)
    colours = seen_through(optical, optical_view(land, rng), OPTICAL_M)
    colours += rng.normal(0, 1.2, (optical.size, optical.size, 1))
    pixels = np.clip(colours, 1, 255).astype(np.uint8).transpose(2, 0, 1)
    write(folder / "optical.tif", optical, pixels, ("red", "green", "blue"))
    power = speckled(seen_through(sar, sar_view(land, rng), SAR_M), rng, looks)
    amplitude = np.clip(np.sqrt(power) * 900, 1, 65535).astype(np.uint16)
    amplitude[outside_swath(sar.size)] = 0
    write(folder / "sar.tif", sar, amplitude[None], ("VV amplitude",), nodata=0)
    (folder / "truth.json").write_text(json.dumps(truth(optical, sar, seed), indent=1) + "\n")
    return folder


def outside_swath(size: int) -> np.ndarray:
    """A thin wedge at the left edge where the swath ends."""
    y, x = np.mgrid[:size, :size]
    return x < 0.05 * (size - y)


def write(path: Path, frame: Frame, pixels: np.ndarray, names: tuple[str, ...], **more: float) -> None:
    profile = {
        "driver": "GTiff",
        "count": len(pixels),
        "dtype": pixels.dtype,
        "crs": frame.crs,
        "transform": frame.stated,
    }
    profile |= {
        "compress": "deflate",
        "predictor": 2,
        "zlevel": 9,
        "tiled": True,
        "blockxsize": 256,
        "blockysize": 256,
    }
    with rasterio.open(path, "w", width=frame.size, height=frame.size, **profile, **more) as sink:
        sink.write(pixels)
        sink.descriptions = names


def truth(optical: Frame, sar: Frame, seed: int) -> dict[str, object]:
    """Point pairs (corner-based pixels) that show the same ground, and by how much sar.tif's geocoding is wrong."""
    steps = np.linspace(0, sar.size, 9)
    moving = np.stack(np.meshgrid(steps, steps), -1).reshape(-1, 2)
    reference = (landscape_xy(sar, moving)) * PIXEL_M
    reference = (reference - [optical.true.c - ORIGIN_M[0], ORIGIN_M[1] - optical.true.f]) / OPTICAL_M
    matrix, _ = cv2.findHomography(moving, reference)
    return {
        "moving": "sar.tif",
        "reference": "optical.tif",
        "seed": seed,
        "direction": "moving_px_to_reference_px",
        "pixels": "corner-based: the first pixel's centre is (0.5, 0.5)",
        "matrix": (matrix / matrix[2, 2]).tolist(),
        "moving_xy": np.round(moving, 4).tolist(),
        "reference_xy": np.round(reference, 4).tolist(),
        "geocoding_error": {"east_m": WRONG_EAST_M, "north_m": WRONG_NORTH_M, "rotation_deg": WRONG_TURN_DEG},
        "reference_pixel_m": OPTICAL_M,
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder")
    parser.add_argument("--seed", type=int, default=20)
    parser.add_argument("--extent", type=float, default=4700.0)
    args = parser.parse_args()
    simulate(args.folder, args.seed, args.extent)


if __name__ == "__main__":
    main()
