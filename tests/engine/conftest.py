"""Small synthetic scenes: no file of any archive is needed."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from georeg.engine.archive import Archive, Tile, TilePair


def scene(height: int, width: int, seed: int = 0) -> np.ndarray:
    """(H, W) uint8: fields with straight borders, a few discs and a slow ramp."""
    random = np.random.default_rng(seed)
    rows, cols = np.mgrid[:height, :width]
    image = 60.0 + 40.0 * rows / height
    for _ in range(25):
        y, x, h, w = random.integers(0, height), random.integers(0, width), *random.integers(12, 90, 2)
        image[y : y + h, x : x + w] = random.uniform(20, 235)
    for _ in range(8):
        y, x, r = random.integers(0, height), random.integers(0, width), random.integers(6, 25)
        image[(rows - y) ** 2 + (cols - x) ** 2 < r * r] = random.uniform(20, 235)
    return np.clip(image + random.normal(0, 2, image.shape), 0, 255).astype(np.uint8)


def tile(seed: int, modality: str = "optical", source: str = "here", size: int = 256) -> Tile:
    return Tile(f"{source}/{seed}.png", source, modality, torch.from_numpy(scene(size, size, seed))[None])


@pytest.fixture(scope="session")
def make_scene():
    """The function (height, width, seed) -> (H, W) uint8."""
    return scene


@pytest.fixture(scope="session")
def small_archive() -> Archive:
    """Three optical tiles, one infrared tile and one SAR-optical pair."""
    tiles = [tile(seed) for seed in range(3)] + [tile(3, "infrared", "thermal")]
    tiles += [tile(4, "sar", "twins"), tile(4, "optical", "twins")]
    return Archive(tuple(tiles), (TilePair(4, 5, 2.5),))


@pytest.fixture
def folder(tmp_path):
    """An archive on disk: two sources, one pair, and four files that are of no use."""
    for name, seed in (("optical/a/1", 1), ("optical/a/2", 2), ("thermal/b/3", 3)):
        _save(tmp_path / "unpaired" / f"{name}.png", scene(160, 200, seed))
    _save(tmp_path / "paired/sar-optical/c/x_a.png", scene(160, 160, 5))
    _save(tmp_path / "paired/sar-optical/c/x_b.png", scene(160, 160, 5))
    _save(tmp_path / "unpaired/optical/a/tiny.png", scene(20, 20))
    _save(tmp_path / "unpaired/optical/a/constant.png", np.full((160, 160), 7, np.uint8))
    _save(tmp_path / "unpaired/optical/a/empty.png", np.zeros((160, 160, 4), np.uint8))
    (tmp_path / "unpaired/optical/a/broken.png").write_bytes(b"\x89PNG\r\n\x1a\n and no more")
    (tmp_path / "unpaired/notes.txt").write_text("not an image")
    return tmp_path


def _save(path, pixels):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
