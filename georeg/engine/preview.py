"""A contact sheet of the data engine: what each look does, and whether the truth holds.

One row a look: the tile | view 0 | view 1 with the look | both as a checkerboard after view 1 was put onto view 0 by
the truth. Where edges run on across the squares, the truth is right.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as nnf
from PIL import Image, ImageDraw
from torch import Tensor

from georeg.engine.archive import Archive
from georeg.engine.batch import MODALITIES, TrainingBatch
from georeg.engine.engine import DataEngine, EngineConfig
from georeg.errors import InputError, ResourceError, UsageError

SQUARE_PX = 24
LABEL_PX = 14


def write_preview(
    archive: Archive,
    path: str | Path,
    config: EngineConfig | None = None,
    *,
    seed: int = 0,
    pairs_per_look: int = 2,
    mixed_rows: int = 12,
    device: torch.device | str = "cpu",
) -> Path:
    """Write the contact sheet as PNG.

    Args:
        archive: the scenes to show.
        path: where the PNG goes, see `check_sheet`; an existing file is replaced.
        config: as for training.
        seed: of the draws.
        pairs_per_look: pairs shown side by side for each look of the bank.
        mixed_rows: further rows as training draws them (real pairs and chains of looks).
        device: where the views are made.

    Returns:
        The path written.
    """
    engine = DataEngine(archive, config, device, torch.Generator().manual_seed(seed))
    strips = [_look_strip(engine, index, pairs_per_look) for index in range(len(engine.bank))]
    batch, tiles = engine.make(engine.sampler.draw(mixed_rows * pairs_per_look, engine.random))
    names = [engine.recipe_names[index] for index in batch.recipe.tolist()]
    cells = [_cell(engine, batch, tiles, row, name) for row, name in enumerate(names)]
    rows = [cells[start : start + pairs_per_look] for start in range(0, len(cells), pairs_per_look)]
    strips += [np.concatenate(row, axis=1) for row in rows]
    path = Path(path)
    try:
        Image.fromarray(np.concatenate(strips, axis=0)).save(path, format="PNG")
    except OSError as error:
        raise ResourceError(
            f"cannot write {path} ({error.strerror or error}): see whether {path.parent} has space left"
        ) from error
    return path


def check_sheet(path: str | Path, overwrite: bool = False) -> None:
    """Refuse a contact sheet that could not be written, or would cost a file, before any work is done.

    Raises:
        UsageError: no name of a PNG, or it exists and `overwrite` is False.
        InputError: the folder is missing or may not be written to.
    """
    path = Path(path)
    if path.suffix.lower() != ".png":
        raise UsageError(f"{path} is no name of a picture for --preview: let it end in .png")
    if path.exists() and not overwrite:
        raise UsageError(f"{path} exists: add --overwrite to replace it, or give another name")
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise InputError(
            f"nothing can be written into {path.parent}: name a folder that exists and takes files"
        )


def _look_strip(engine: DataEngine, look: int, count: int) -> np.ndarray:
    names = engine.recipe_names
    wanted = [index for index, name in enumerate(names) if name.endswith("/plain/turned")]
    singles = [index for index in wanted if names[index].startswith("optical/")] or wanted or [0]
    recipe = torch.tensor([singles[row % len(singles)] for row in range(count)])
    batch, tiles = engine.make(recipe, [[] for _ in range(count)] + [[look] for _ in range(count)])
    title = f"{engine.bank[look].family}: {engine.bank[look].name}"
    return np.concatenate([_cell(engine, batch, tiles, row, title) for row in range(count)], axis=1)


def _cell(engine: DataEngine, batch: TrainingBatch, tiles: list[int], row: int, title: str) -> np.ndarray:
    side = batch.view0.shape[-1]
    tile = engine.archive.tiles[tiles[row]]
    original = nnf.interpolate(tile.pixels.float().mean(0, keepdim=True)[None], (side, side), mode="area")[
        0, 0
    ]
    view0, view1 = batch.view0[row, 0], batch.view1[row, 0]
    board = checkerboard(view0, undo(batch, row))
    panels = [original / 255.0, *(_shown(part) for part in (view0, view1, board))]
    strip = torch.cat([nnf.pad(panel, (2, 2, 2, 2), value=1.0) for panel in panels], dim=1)
    pixels = (strip.clamp(0, 1) * 255).byte().cpu().numpy()
    picture = Image.new("L", (pixels.shape[1], pixels.shape[0] + LABEL_PX), 255)
    picture.paste(Image.fromarray(pixels), (0, LABEL_PX))
    looks = [
        MODALITIES[int(index)] if index >= 0 else "?"
        for index in (batch.modality0[row], batch.modality1[row])
    ]
    ImageDraw.Draw(picture).text((3, 1), f"{title} | {tile.source} | {looks[0]} - {looks[1]}", fill=0)
    return np.asarray(picture)


def undo(batch: TrainingBatch, row: int) -> Tensor:
    """(H, W) view 1 put onto view 0 by the truth, NaN where it is not visible."""
    side = batch.view0.shape[-1]
    flow = batch.flow01[row : row + 1]
    grid = (flow.nan_to_num(-1e4) + 0.5) * (2.0 / side) - 1.0
    back = nnf.grid_sample(
        batch.view1[row : row + 1], grid.clamp(-2, 2), padding_mode="border", align_corners=False
    )
    return torch.where(flow[0, ..., 0].isnan(), torch.nan, back[0, 0])


def checkerboard(first: Tensor, second: Tensor) -> Tensor:
    """Squares of two (H, W) images in turn; the first one where the second is NaN."""
    rows = torch.arange(first.shape[0], device=first.device).view(-1, 1) // SQUARE_PX
    cols = torch.arange(first.shape[1], device=first.device).view(1, -1) // SQUARE_PX
    odd = ((rows + cols) % 2 == 1) & ~second.isnan()
    return torch.where(odd, second, first)


def _shown(view: Tensor) -> Tensor:
    return view / 5.0 + 0.5
