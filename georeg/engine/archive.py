"""An unlabelled archive of scenes as uint8 tiles in memory: found, decoded once, never labelled.

Any folder, text list or tar shard will do. The modality of a file comes from a manifest column, else from a folder's
name, else from a look at its pixels. Two files `<name>_a` and `<name>_b` in one folder `.../<modA>-<modB>/<source>/`
are a pixel-aligned pair. A source (the folder that holds the files) is the unit that validation holds out.
"""

from __future__ import annotations

import os
import zlib
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath

import numpy as np
import torch
from torch import Tensor

from georeg.engine.alignment import measure_offset
from georeg.engine.decode import Pixels, decode_many
from georeg.engine.listing import (
    FileJob,
    list_files,
    modality_from_path,
    open_files,
    pair_key,
    read_manifest,
    thin,
)
from georeg.errors import InputError

OVER_LIMIT = "beyond the memory limit"
SAR_TOLERANCE_PX = 2.5
OTHER_TOLERANCE_PX = 1.0
DOUBTFUL_TOLERANCE_PX = 3.0
LEAST_SHIFT_PX = 1.5


@dataclass(frozen=True)
class Tile:
    """One image of the archive.

    Attributes:
        name: path inside the archive, with #n where one file gave several tiles.
        source: the folder it came from; validation holds out whole sources.
        modality: one of batch.MODALITIES, or "" where unknown.
        pixels: (C, H, W) uint8, C 1 or 3.
        valid: (H, W) bool, None where every pixel is ground.
    """

    name: str
    source: str
    modality: str
    pixels: Tensor
    valid: Tensor | None = None

    @property
    def shape(self) -> tuple[int, int]:
        return self.pixels.shape[-2], self.pixels.shape[-1]


@dataclass(frozen=True)
class TilePair:
    """Two pixel-aligned tiles of different modality, by their index; `tolerance_px` is how far they may disagree.

    `shift_xy` is added to a pixel of `first` to find the same ground in `second` (px, measured at loading).
    """

    first: int
    second: int
    tolerance_px: float
    shift_xy: tuple[float, float] = (0.0, 0.0)


@dataclass(frozen=True)
class Archive:
    """Tiles, the pairs among them, and what was left out: reason -> file names."""

    tiles: tuple[Tile, ...]
    pairs: tuple[TilePair, ...] = ()
    skipped: dict[str, list[str]] = field(default_factory=dict)

    @property
    def sources(self) -> tuple[str, ...]:
        return tuple(sorted({tile.source for tile in self.tiles}))

    def to(self, device: torch.device | str) -> Archive:
        """The same archive with its pixels on `device`."""
        tiles = (
            Tile(
                t.name,
                t.source,
                t.modality,
                t.pixels.to(device),
                None if t.valid is None else t.valid.to(device),
            )
            for t in self.tiles
        )
        return Archive(tuple(tiles), self.pairs, self.skipped)

    def only(self, sources: Sequence[str]) -> Archive:
        """The part of the archive that comes from these sources (pairs kept where both tiles are in it)."""
        wanted = set(sources)
        kept = [index for index, tile in enumerate(self.tiles) if tile.source in wanted]
        place = {old: new for new, old in enumerate(kept)}
        pairs = tuple(
            TilePair(place[p.first], place[p.second], p.tolerance_px, p.shift_xy)
            for p in self.pairs
            if p.first in place and p.second in place
        )
        return Archive(tuple(self.tiles[index] for index in kept), pairs, self.skipped)

    def split(self, holdout: Sequence[str]) -> tuple[Archive, Archive]:
        """(training, validation) archives; `holdout` names the sources of the second.

        Raises:
            InputError: a source that is not there, or nothing left to train on.
        """
        missing = sorted(set(holdout) - set(self.sources))
        if missing:
            raise InputError(
                f"the archive has no source {', '.join(missing)}: it has {', '.join(self.sources)}"
            )
        training = self.only([source for source in self.sources if source not in set(holdout)])
        if not training.tiles:
            raise InputError("holding out these sources leaves no tile to train on: hold out fewer")
        return training, self.only(holdout)

    def summary(self) -> str:
        """People's text: how many tiles of which modality, how many pairs, what was skipped and why."""
        modalities = Counter(tile.modality or "unknown" for tile in self.tiles)
        lines = [
            f"{len(self.tiles)} tiles: " + ", ".join(f"{n} {name}" for name, n in modalities.most_common())
        ]
        kinds = Counter(self.kind_of(pair) for pair in self.pairs)
        if kinds:
            lines.append(
                f"{len(self.pairs)} aligned pairs: " + ", ".join(f"{n} {k}" for k, n in kinds.most_common())
            )
        for reason, names in sorted(self.skipped.items()):
            shown = ", ".join(names[:5]) + (" and more" if len(names) > 5 else "")
            lines.append(f"skipped {len(names)} ({reason}): {shown}")
        return "\n".join(lines)

    def kind_of(self, pair: TilePair) -> str:
        """The pair's two modalities as one name, such as "sar-optical"."""
        return f"{self.tiles[pair.first].modality}-{self.tiles[pair.second].modality}"


def choose_holdout(archive: Archive, fraction: float = 0.05, seed: int = 0) -> tuple[str, ...]:
    """Sources for validation: of each modality about `fraction` of the tiles, from at most one source in eight.

    Variety is worth more to training than to validation, so few sources go. The order follows a hash of the source's
    name: a growing archive keeps its validation sources. The only source of a modality or of a kind of pair stays.
    """
    counts = Counter(tile.source for tile in archive.tiles)
    groups: dict[str, set[str]] = defaultdict(set)
    for tile in archive.tiles:
        groups[tile.modality].add(tile.source)
    for pair in archive.pairs:
        groups[archive.kind_of(pair)].add(archive.tiles[pair.first].source)
    chosen: set[str] = set()
    for name in sorted(groups):
        sources = sorted(groups[name], key=lambda source: zlib.crc32(f"{seed}/{source}".encode()))
        budget = fraction * sum(counts[source] for source in sources)
        room = max(1, len(sources) // 8)
        for source in sources:
            taken = chosen & groups[name]
            fits = counts[source] <= budget - sum(counts[other] for other in taken) and len(taken) < room
            if fits and all(group - chosen - {source} for group in groups.values()):
                chosen.add(source)
    return tuple(sorted(chosen))


def read_archive(
    location: str | Path | Sequence[str | Path],
    *,
    manifest: str | Path | None = None,
    tile_px: int = 512,
    max_tiles_per_file: int = 64,
    min_px: int = 96,
    limit: int | None = None,
    max_gigabytes: float = 16.0,
    threads: int | None = None,
    align_pairs: bool = True,
) -> Archive:
    """Read every usable image under `location` into memory.

    Args:
        location: a folder (walked; tar shards in it are read), one tar, a text list with one path a line, or several.
        manifest: CSV with columns `path` and `modality`; else `manifest.csv` beside or in the location, if any.
        tile_px: larger images are cut into tiles of at most this side.
        max_tiles_per_file: at most so many tiles of one file, evenly spread.
        min_px: images with a smaller side are skipped.
        limit: read about this many files only, evenly spread over the archive (for trials).
        max_gigabytes: of pixels in memory; beyond it a random half of the files is given up, again and again.
        threads: decoding threads; None for one a core, 16 at most.
        align_pairs: measure how far the tiles of each pair are apart and correct it; SAR pairs that neither agree nor
            can be corrected are left out (their tiles stay).

    Raises:
        InputError: nothing there, or no usable image; the message counts the reasons.
    """
    places = [location] if isinstance(location, str | Path) else list(location)
    roots = [Path(place) for place in places]
    for root in roots:
        if not root.exists():
            raise InputError(f"{root} does not exist: check the path")
    threads = threads or min(16, os.cpu_count() or 1)
    modalities = read_manifest(manifest, roots)
    hoard = _Hoard(max_gigabytes * 1e9)
    jobs = hoard.admit(thin(list_files(roots), limit))
    for name, outcome in decode_many(open_files(jobs), tile_px, max_tiles_per_file, min_px, threads):
        if isinstance(outcome, str):
            hoard.skipped[outcome].append(name)
        else:
            hoard.add(_named_tiles(name, outcome, modalities))
    tiles, skipped = hoard.tiles, hoard.skipped
    if not tiles:
        counts = (
            ", ".join(f"{len(names)} {reason}" for reason, names in skipped.items()) or "no image file found"
        )
        raise InputError(
            f"no usable image in {', '.join(map(str, roots))} ({counts}): give a folder of rasters"
        )
    pairs = _find_pairs(tiles)
    if align_pairs:
        pairs, unfit = _align(pairs, tiles, threads)
        if unfit:
            skipped["pair whose tiles do not agree"] = unfit
    return Archive(tuple(tiles), pairs, dict(skipped))


class _Hoard:
    """Tiles within a limit of memory: whenever it is reached a random half of the files is given up, pairs as one.

    Which half follows a hash of the name, so that the same files stay whatever order they come in.
    """

    def __init__(self, limit_bytes: float) -> None:
        self.limit_bytes = limit_bytes
        self.share = 1.0
        self.tiles: list[Tile] = []
        self.skipped: dict[str, list[str]] = defaultdict(list)
        self._bytes = 0

    def admit(self, jobs: Sequence[FileJob]) -> Iterator[FileJob]:
        """The files that may still be read, asked for as reading goes on."""
        for job in jobs:
            if self._stays(job.name):
                yield job
            else:
                self.skipped[OVER_LIMIT].append(job.name)

    def add(self, tiles: Sequence[Tile]) -> None:
        self.tiles += tiles
        self._bytes += sum(tile.pixels.numel() for tile in tiles)
        self._sift(tiles)
        while self._bytes > self.limit_bytes and self.share > 1e-6:
            self.share /= 2.0
            self._sift(self.tiles)

    def _sift(self, candidates: Sequence[Tile]) -> None:
        out = {tile.name for tile in candidates if not self._stays(tile.name)}
        if out:
            self.tiles = [tile for tile in self.tiles if tile.name not in out]
            self._bytes = sum(tile.pixels.numel() for tile in self.tiles)
            self.skipped[OVER_LIMIT] += sorted({name.split("#")[0] for name in out})

    def _stays(self, name: str) -> bool:
        file = name.split("#")[0]
        return zlib.crc32((pair_key(file) or file).encode()) < self.share * 2**32


def _align(
    pairs: Sequence[TilePair], tiles: Sequence[Tile], threads: int
) -> tuple[tuple[TilePair, ...], list[str]]:
    """The pairs with their measured offsets, and the first tile's name of those that are left out."""
    with ThreadPoolExecutor(threads) as pool:
        aligned = list(zip(pairs, pool.map(lambda pair: _aligned(pair, tiles), pairs), strict=True))
    unfit = [tiles[old.first].name for old, new in aligned if new is None]
    return tuple(new for _, new in aligned if new is not None), unfit


def _aligned(pair: TilePair, tiles: Sequence[Tile]) -> TilePair | None:
    """The pair with its measured offset; None where SAR and its partner disagree beyond correction."""
    first, second = tiles[pair.first], tiles[pair.second]
    offset = measure_offset(first.pixels, second.pixels)
    if offset.trusted and offset.length_px >= LEAST_SHIFT_PX:
        return replace(pair, shift_xy=(offset.x_px, offset.y_px))
    if not offset.doubtful:
        return pair
    if "sar" in (first.modality, second.modality):
        return None
    return replace(pair, tolerance_px=DOUBTFUL_TOLERANCE_PX)


def _named_tiles(name: str, outcome: list[Pixels], modalities: dict[str, str]) -> list[Tile]:
    modality = modalities.get(name) or modality_from_path(name)
    tiles = []
    for index, (pixels, valid) in enumerate(outcome):
        pixels = _drop_grey_copies(pixels)
        guessed = modality or ("optical" if pixels.shape[-1] == 3 else "")
        tensor = torch.from_numpy(np.moveaxis(pixels, -1, 0).copy())
        ground = None if valid is None or valid.all() else torch.from_numpy(valid.copy())
        label = name if len(outcome) == 1 else f"{name}#{index}"
        tiles.append(Tile(label, _source_of(name), guessed, tensor, ground))
    return tiles


def _drop_grey_copies(pixels: np.ndarray) -> np.ndarray:
    """One channel where the colour says next to nothing (grey images stored as RGB)."""
    if pixels.shape[-1] < 3:
        return pixels[..., :1]
    sample = pixels[::4, ::4, :3].astype(np.int16)
    spread = (sample.max(axis=-1) - sample.min(axis=-1)).mean()
    return pixels[..., 1:2] if spread < 3.0 else pixels[..., :3]


def _source_of(name: str) -> str:
    parent = PurePosixPath(name).parent.name
    return parent or PurePosixPath(name).stem


def _find_pairs(tiles: Sequence[Tile]) -> tuple[TilePair, ...]:
    halves: dict[str, dict[str, int]] = defaultdict(dict)
    for index, tile in enumerate(tiles):
        key = pair_key(tile.name)
        if key:
            halves[key][PurePosixPath(tile.name.split("#")[0]).stem[-1]] = index
    pairs = []
    for both in halves.values():
        if len(both) == 2 and tiles[both["a"]].shape == tiles[both["b"]].shape:
            sar = "sar" in (tiles[both["a"]].modality, tiles[both["b"]].modality)
            pairs.append(TilePair(both["a"], both["b"], SAR_TOLERANCE_PX if sar else OTHER_TOLERANCE_PX))
    return tuple(pairs)
