"""The dynamic data engine: endless training pairs with exact truth from an unlabelled archive, made on the device.

For each pair: a recipe is drawn (by current loss), a tile or a real pair, two random warps, one to three looks for
each view; the views are normalised as at inference. The same generator state gives the same batches.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from georeg.engine.appearance.bank import (
    BANK,
    FAMILIES,
    Look,
    draw_chains,
    fitted_looks,
    render,
    styled_looks,
)
from georeg.engine.appearance.filters import per_image
from georeg.engine.appearance.fitted import fit_book
from georeg.engine.appearance.style import make_style_book
from georeg.engine.archive import Archive
from georeg.engine.batch import MODALITIES, TrainingBatch
from georeg.engine.draw import Draw
from georeg.engine.geometry import (
    Crop,
    GeometryRange,
    ViewPair,
    bilinear,
    crop_for,
    draw_view_pairs,
    half_size,
    inside_view,
)
from georeg.engine.sampling import Recipe, RecipeSampler
from georeg.errors import UsageError
from georeg.network.normalise import zscore

MODALITY_WEIGHTS = {"optical": 0.5, "infrared": 0.17, "sar": 0.15, "map": 0.08, "elevation": 0.06, "": 0.3}
LUMINANCE = (0.299, 0.587, 0.114)
BIN_WEIGHTS = {"near": 0.3, "turned": 0.5, "far": 0.2}
FAMILY_WEIGHTS = {"plain": 0.05, "tone": 0.2, "mixing": 0.12, "sar": 0.28, "infrared": 0.15, "structure": 0.2}


@dataclass(frozen=True)
class EngineConfig:
    """How pairs are made.

    Attributes:
        view_px: side of the views.
        source_px: side of the canvas that tiles are laid on; larger tiles are cropped at random.
        real_share: how many pairs are real aligned ones (while the archive has any).
        appearance: False leaves out the looks (pretraining without appearance change).
        far_rotation_deg: relative rotation of the "far" bin; a curriculum raises it to 180.
        geometry: the range of the "turned" bin; "near" is a third of it.
        fill_share: how many views have their empty area filled from another image (it is valid then, but unmatched).
        clutter_share: how many views have clouds of another image over them.
        chain_lengths: weights of one, two and three looks a view.
        plain_share: how many partners of a view with a look stay as they are.
        learned: whether looks fitted to the archive's pairs and those of the style network join the bank (read when
            the engine is made).
        dynamic_strength: exponent of the loss in the draw; 0 draws by the prior alone.
        bin_weights, family_weights, modality_weights: the prior of the recipes.
    """

    view_px: int = 192
    source_px: int = 512
    real_share: float = 0.35
    appearance: bool = True
    far_rotation_deg: float = 90.0
    geometry: GeometryRange = field(default_factory=GeometryRange)
    fill_share: float = 0.4
    clutter_share: float = 0.12
    chain_lengths: tuple[float, float, float] = (0.7, 0.22, 0.08)
    plain_share: float = 0.5
    learned: bool = True
    dynamic_strength: float = 1.0
    bin_weights: dict[str, float] = field(default_factory=lambda: dict(BIN_WEIGHTS))
    family_weights: dict[str, float] = field(default_factory=lambda: dict(FAMILY_WEIGHTS))
    modality_weights: dict[str, float] = field(default_factory=lambda: dict(MODALITY_WEIGHTS))

    def range_of(self, geometry_bin: str) -> GeometryRange:
        if geometry_bin == "near":
            return self.geometry.scaled(1.0 / 3.0)
        if geometry_bin == "far":
            return replace(
                self.geometry, rotation_deg=self.far_rotation_deg, scale=max(2.0, self.geometry.scale)
            )
        return self.geometry


@dataclass(frozen=True)
class _Drawn:
    """The tiles of a batch: indices into the archive, and how the two sides relate."""

    first: list[int]
    second: list[int]
    tolerance_px: Tensor
    shift: Tensor
    real: list[bool]


@dataclass(frozen=True)
class Window:
    """A part of a tile, px."""

    top: int
    left: int
    height: int
    width: int


class DataEngine:
    """Makes TrainingBatch after TrainingBatch.

    Args:
        archive: the scenes; moved to the device if it is not there yet.
        config: what the pairs are like; may be replaced between batches with `configure` (curricula).
        device: where the pairs are made and delivered.
        generator: a CPU generator; all draws come from it.

    Raises:
        UsageError: a view larger than the canvas.
    """

    def __init__(
        self,
        archive: Archive,
        config: EngineConfig | None = None,
        device: torch.device | str = "cpu",
        generator: torch.Generator | None = None,
    ) -> None:
        self.device = torch.device(device)
        self.archive = archive.to(self.device)
        self.random = Draw(generator or torch.Generator().manual_seed(0), self.device)
        self._pyramids: dict[int, list[Tensor]] = {}
        config = config or EngineConfig()
        self.bank = self._make_bank(config)
        self._members = _by_kind_and_source(self.archive)
        self.configure(config)

    def _make_bank(self, config: EngineConfig) -> tuple[Look, ...]:
        bank = BANK
        if config.appearance and config.learned:
            books = (fit_book(self.archive, self.device, source) for source in ("optical", "infrared"))
            bank += fitted_looks(*books)
            styles = make_style_book(self.archive, self.device)
            bank += () if styles is None else styled_looks(styles)
        return bank

    def configure(self, config: EngineConfig) -> None:
        """Change the config between batches; running losses are kept."""
        if config.view_px > config.source_px:
            raise UsageError(
                f"views of {config.view_px} px do not fit a canvas of {config.source_px} px: raise source_px"
            )
        previous = getattr(self, "sampler", None)
        self.config = config
        self.sampler = RecipeSampler(_recipes(self._members, config), config.dynamic_strength)
        if previous is not None:
            self.sampler.load_state_dict(previous.state_dict())

    @property
    def recipe_names(self) -> tuple[str, ...]:
        return tuple(recipe.name for recipe in self.sampler.recipes)

    def report_losses(self, recipe: Tensor, loss: Tensor) -> None:
        """Tell the engine the losses (B,) of the pairs of recipes (B,): harder recipes are drawn more often."""
        self.sampler.report(recipe, loss)

    def state_dict(self) -> dict[str, Any]:
        return {"draw": self.random.state_dict(), "sampler": self.sampler.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on with the same numbers as the engine that gave `state` (same archive, config and kind of device)."""
        self.random.load_state_dict(state["draw"])
        self.sampler.load_state_dict(state["sampler"])

    @torch.no_grad()
    def batch(self, size: int) -> TrainingBatch:
        """The next `size` pairs."""
        recipe = self.sampler.draw(size, self.random)
        return self.make(recipe)[0]

    @torch.no_grad()
    def make(self, recipe: Tensor, chains: list[list[int]] | None = None) -> tuple[TrainingBatch, list[int]]:
        """One pair for each recipe index (B,), and the indices of the tiles that views 0 show.

        Args:
            chains: looks (indices into the bank) of all views 0, then of all views 1, instead of drawn ones.
        """
        size = len(recipe)
        recipes = [self.sampler.recipes[index] for index in recipe.tolist()]
        drawn = self._draw_tiles(recipes)
        windows = [self._window(index) for index in drawn.first]
        ranges = [self.config.range_of(item.geometry) for item in recipes]
        sizes = torch.tensor([[window.height, window.width] for window in windows])
        views = draw_view_pairs(sizes, ranges, self.config.view_px, self.random)
        image0, valid0 = self._sample(drawn.first, windows, views, 0, torch.zeros_like(drawn.shift))
        image1, valid1 = self._sample(drawn.second, windows, views, 1, drawn.shift)
        before = torch.cat([self._modality(indices) for indices in (drawn.first, drawn.second)])
        images, modality = self._appear(torch.cat([image0, image1]), before, recipes, drawn.real, chains)
        inside, hidden = torch.cat([valid0, valid1]), self._hidden(2 * size)
        ground = inside & ~hidden
        shown, valid = self._finish(images, ground, inside)
        flow01, flow10 = _truth(views, *ground.chunk(2))
        batch = TrainingBatch(
            view0=shown[:size],
            view1=shown[size:],
            valid0=valid[:size],
            valid1=valid[size:],
            flow01=flow01,
            flow10=flow10,
            modality0=modality[:size],
            modality1=modality[size:],
            tolerance_px=(drawn.tolerance_px / views.zoom.amin(dim=1)).float().to(self.device),
            recipe=recipe.to(self.device),
        )
        return batch, drawn.first

    def _draw_tiles(self, recipes: list[Recipe]) -> _Drawn:
        first, second, tolerance, shift, real = [], [], [], [], []
        for recipe in recipes:
            sources = self._members[recipe.kind]
            weights = torch.tensor([len(members) ** 0.5 for members in sources])
            members = sources[int(self.random.categorical(weights, 1))]
            chosen = members[self.random.index(len(members))]
            if recipe.family != "real":
                indices, offset, pixels = (chosen, chosen), (0.0, 0.0), 0.0
            else:
                pair = self.archive.pairs[chosen]
                indices, offset, pixels = (pair.first, pair.second), pair.shift_xy, pair.tolerance_px
                if self.random.chance(0.5):
                    indices, offset = indices[::-1], (-offset[0], -offset[1])
            first.append(indices[0])
            second.append(indices[1])
            tolerance.append(pixels)
            shift.append(offset)
            real.append(recipe.family == "real")
        return _Drawn(first, second, torch.tensor(tolerance), torch.tensor(shift, dtype=torch.float32), real)

    def _window(self, index: int) -> Window:
        """A random part of a tile, no larger than the canvas: all of it, mostly."""
        corner, size = [], []
        for length in self.archive.tiles[index].shape:
            size.append(min(length, self.config.source_px))
            corner.append(self.random.index(length - size[-1] + 1))
        return Window(corner[0], corner[1], size[0], size[1])

    def _sample(
        self, indices: list[int], windows: list[Window], views: ViewPair, side: int, shift: Tensor
    ) -> tuple[Tensor, Tensor]:
        """(B, 1, V, V) grey views about 0..1 of these tiles, and where they show ground."""
        offset = torch.tensor([[window.left, window.top] for window in windows]) + shift
        boxes = views.boxes(side) + offset.repeat(1, 2)
        zooms = views.zoom[:, side].tolist()
        shapes = [self.archive.tiles[index].shape for index in indices]
        crops = [crop_for(*job) for job in zip(boxes, zooms, shapes, strict=True)]
        to_unit = torch.stack([crop.to_unit for crop in crops])
        grid = views.source(side, to_unit @ _translation(offset))
        grey = torch.empty(len(indices), 1, *grid.shape[1:3], device=self.device)
        for row, (index, crop) in enumerate(zip(indices, crops, strict=True)):
            grey[row] = bilinear(self._grey(self._level(index, crop.level), crop), grid[row : row + 1])[0]
        valid = _inside(grid, to_unit, windows, shift).unsqueeze(1)
        for row, (index, crop) in enumerate(zip(indices, crops, strict=True)):
            mask = self.archive.tiles[index].valid
            if mask is not None:
                valid[row] &= self._ground(mask, crop, grid[row : row + 1])[0]
        return _stretched(grey, valid), valid

    def _level(self, index: int, level: int) -> Tensor:
        """(C, H, W) uint8: the tile at a level of its mean pyramid, made when it is first asked for."""
        levels = self._pyramids.setdefault(index, [self.archive.tiles[index].pixels])
        while len(levels) <= level:
            levels.append(half_size(levels[-1]))
        return levels[level]

    def _grey(self, pixels: Tensor, crop: Crop) -> Tensor:
        """(1, 1, h, w) float 0..1: the crop as grey, a colour tile by a random mix of its channels."""
        part = pixels[:, crop.top : crop.bottom, crop.left : crop.right].float()
        weights = self._channel_weights(len(part))
        grey = part[0] * weights[0]
        for channel, weight in zip(part[1:], weights[1:], strict=True):
            grey.add_(channel, alpha=weight)
        return grey[None, None]

    def _channel_weights(self, channels: int) -> list[float]:
        if channels == 1:
            return [1.0 / 255.0]
        kind = self.random.number()
        if kind < 0.4:
            return [weight / 255.0 for weight in LUMINANCE]
        lowest = -0.2 if kind < 0.92 else -0.6  # differences of bands tell materials apart, as indices do
        weights = [self.random.number(lowest, 1.0) for _ in range(channels)]
        return [weight / max(sum(map(abs, weights)), 0.2) / 255.0 for weight in weights]

    def _ground(self, mask: Tensor, crop: Crop, grid: Tensor) -> Tensor:
        """(1, 1, V, V) True where the mask (H, W) says ground all around the sampled place."""
        step = 2**crop.level
        part = mask[crop.top * step : crop.bottom * step, crop.left * step : crop.right * step]
        return bilinear(part.float()[None, None], grid) > 0.99

    def _modality(self, indices: list[int]) -> Tensor:
        names = [self.archive.tiles[index].modality for index in indices]
        return torch.tensor([MODALITIES.index(name) if name else -1 for name in names], device=self.device)

    def _appear(
        self,
        images: Tensor,
        modality: Tensor,
        recipes: list[Recipe],
        real: list[bool],
        chains: list[list[int]] | None,
    ) -> tuple[Tensor, Tensor]:
        if chains is None:
            if not self.config.appearance:
                return images, modality
            families = self._families(recipes, real)
            chains = draw_chains(
                families, self.random, modality.tolist(), self.bank, self.config.chain_lengths
            )
        return render(images, modality, chains, self.random, self.bank)

    def _families(self, recipes: list[Recipe], real: list[bool]) -> list[int]:
        """The main family of every view: first all views 0, then all views 1."""
        plain, tone = FAMILIES.index("plain"), FAMILIES.index("tone")
        weights = torch.tensor([self.config.family_weights.get(name, 0.0) for name in FAMILIES])
        weights[plain] = 0.0
        weights = weights / weights.sum().clamp_min(1e-9) * (1.0 - self.config.plain_share)
        weights[plain] = self.config.plain_share
        sides: tuple[list[int], list[int]] = ([], [])
        for recipe, is_real in zip(recipes, real, strict=True):
            if is_real:
                pair = [tone if self.random.chance(0.3) else plain for _ in range(2)]
            else:
                pair = [FAMILIES.index(recipe.family), int(self.random.categorical(weights, 1))]
                pair = pair[::-1] if self.random.chance(0.5) else pair
            sides[0].append(pair[0])
            sides[1].append(pair[1])
        return sides[0] + sides[1]

    def _hidden(self, count: int) -> Tensor:
        """(B, 1, V, V) True under clouds and other clutter: blobs of a random field, in a share of the views."""
        side, cells = self.config.view_px, 5
        hidden = torch.zeros(count, 1, side, side, dtype=torch.bool, device=self.device)
        chosen = (self.random.uniform(count) < self.config.clutter_share).nonzero()[:, 0]
        if len(chosen):
            field = torch.nn.functional.interpolate(
                self.random.normal((len(chosen), 1, cells, cells)),
                (side, side),
                mode="bicubic",
                align_corners=False,
            )
            hidden[chosen] = field > per_image(self.random.uniform(len(chosen), 0.9, 1.8))
        return hidden

    def _finish(self, images: Tensor, ground: Tensor, inside: Tensor) -> tuple[Tensor, Tensor]:
        """The views normalised, and where they count as valid.

        Where there is no ground a view is empty and invalid, as with a nodata mask; or it is filled from the next
        image of the batch and valid, as where nobody knows of the nodata: then the network must find out by itself.
        Clutter is always filled.
        """
        filled = per_image(self.random.uniform(len(images)) < self.config.fill_share)
        valid = inside | filled
        keep = ground.float()
        return zscore(images * keep + images.roll(1, 0) * (1.0 - keep), valid), valid


def _translation(offset: Tensor) -> Tensor:
    """(B, 3, 3) that add (B, 2)."""
    matrix = torch.eye(3, dtype=torch.float64).repeat(len(offset), 1, 1)
    matrix[:, :2, 2] = offset
    return matrix


def _inside(grid: Tensor, to_unit: Tensor, windows: list[Window], shift: Tensor) -> Tensor:
    """(B, V, V) True where a grid of crop coordinates lies inside its window of the tile."""
    near = torch.tensor([[w.left, w.top] for w in windows], dtype=torch.float64)
    far = torch.tensor([[w.left + w.width - 1, w.top + w.height - 1] for w in windows], dtype=torch.float64)
    scale, offset = torch.diagonal(to_unit, dim1=1, dim2=2)[:, :2], to_unit[:, :2, 2]
    low, high = (((edge * scale) + offset).float().to(grid.device) for edge in (near, far))
    low, high = low.view(-1, 2, 1, 1) - 1e-5, high.view(-1, 2, 1, 1) + 1e-5
    x, y = grid[..., 0], grid[..., 1]
    return (x >= low[:, 0]) & (x <= high[:, 0]) & (y >= low[:, 1]) & (y <= high[:, 1])


def _stretched(views: Tensor, valid: Tensor) -> Tensor:
    """Views to about 0..1 by the mean and deviation of their valid pixels; the rest gets the mean."""
    return (zscore(views, valid) / 4.6 + 0.5).clamp_(0.0, 1.0)


def _truth(views: ViewPair, valid0: Tensor, valid1: Tensor) -> tuple[Tensor, Tensor]:
    """Flows (B, V, V, 2) both ways, NaN where the other view does not show the place."""
    flow01, flow10 = views.flows()
    return _masked(flow01, valid0, valid1), _masked(flow10, valid1, valid0)


def _masked(flow: Tensor, here: Tensor, there: Tensor) -> Tensor:
    side = flow.shape[1]
    visible = here[:, 0] & inside_view(flow, side)
    inner = flow.clamp(0, side - 1).round_()
    place = inner[..., 1].mul(side).add_(inner[..., 0]).long()
    visible &= there.flatten(1).gather(1, place.flatten(1)).view_as(visible)
    # 0 / 0 is NaN: several times faster than a masked fill
    seen = visible.float().unsqueeze(-1)
    return flow.mul_(seen).div_(seen)


def _by_kind_and_source(archive: Archive) -> dict[str, list[list[int]]]:
    """Kind of recipe -> for each source the indices of its tiles (or of its pairs, for the pair kinds)."""
    groups: dict[str, dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
    for index, tile in enumerate(archive.tiles):
        groups[tile.modality][tile.source].append(index)
    for index, pair in enumerate(archive.pairs):
        groups[archive.kind_of(pair)][archive.tiles[pair.first].source].append(index)
    return {kind: list(sources.values()) for kind, sources in groups.items()}


def _recipes(members: dict[str, list[list[int]]], config: EngineConfig) -> list[Recipe]:
    pair_counts = Counter({kind: sum(map(len, members[kind])) for kind in members if "-" in kind})
    singles = {kind: config.modality_weights.get(kind, 0.0) for kind in members if "-" not in kind}
    real_share = config.real_share if pair_counts else 0.0
    recipes = []
    for geometry, bin_weight in config.bin_weights.items():
        for kind, weight in singles.items():
            share = (1.0 - real_share) * weight / max(sum(singles.values()), 1e-9) * bin_weight
            families = config.family_weights if config.appearance else {"plain": 1.0}
            total = sum(families.values())
            recipes += [
                Recipe(kind, name, geometry, share * value / total) for name, value in families.items()
            ]
        roots = {kind: count**0.5 for kind, count in pair_counts.items()}
        for kind, root in roots.items():
            recipes.append(
                Recipe(kind, "real", geometry, real_share * root / sum(roots.values()) * bin_weight)
            )
    return [recipe for recipe in recipes if recipe.prior > 0]
