"""Makes the README's picture from the sample pair and what `make demo` left.

python docs/make_picture.py
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import rasterio
from PIL import Image, ImageDraw
from rasterio.enums import Resampling
from rasterio.vrt import WarpedVRT
from rasterio.windows import Window

ROOT = Path(__file__).parent.parent
VIEW = Window(90, 250, 240, 190)
SQUARE_PX, ZOOM = 40, 2


def on_grid(path: Path, grid: rasterio.DatasetReader) -> np.ndarray:
    """A SAR image on the optical grid as its geocoding states, stretched to uint8, (H, W, 3)."""
    with rasterio.open(path) as image, WarpedVRT(
        image, crs=grid.crs, transform=grid.transform, width=grid.width, height=grid.height,
        resampling=Resampling.bilinear,
    ) as warped:  # fmt: skip
        pixels = warped.read(1, window=VIEW).astype(float)
    grey = np.clip(np.sqrt(pixels / np.percentile(pixels, 99.8)), 0, 1) * 255
    return np.repeat(grey.astype(np.uint8)[..., None], 3, axis=2)


def checkerboard(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    rows, cols = np.indices(one.shape[:2]) // SQUARE_PX
    mixed = np.where(((rows + cols) % 2 == 0)[..., None], one, other)
    return mixed.repeat(ZOOM, 0).repeat(ZOOM, 1)


def captioned(pixels: np.ndarray, text: str) -> Image.Image:
    image = Image.new("RGB", (pixels.shape[1], pixels.shape[0] + 26), "white")
    image.paste(Image.fromarray(pixels), (0, 26))
    ImageDraw.Draw(image).text((4, 5), text, fill="black", font_size=15)
    return image


def main() -> None:
    with rasterio.open(ROOT / "sample_data" / "optical.tif") as grid:
        optical = grid.read(window=VIEW).transpose(1, 2, 0)
        before = on_grid(ROOT / "sample_data" / "sar.tif", grid)
        after = on_grid(ROOT / "demo" / "sar_registered.tif", grid)
    panels = [
        captioned(checkerboard(optical, before), "optical and SAR as their files place them"),
        captioned(checkerboard(optical, after), "after georeg match"),
    ]
    picture = Image.new("RGB", (2 * panels[0].width + 12, panels[0].height), "white")
    picture.paste(panels[0], (0, 0))
    picture.paste(panels[1], (panels[0].width + 12, 0))
    (ROOT / "docs" / "images").mkdir(exist_ok=True)
    picture.save(ROOT / "docs" / "images" / "demo.jpg", quality=88)


if __name__ == "__main__":
    main()
