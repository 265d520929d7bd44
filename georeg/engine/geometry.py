"""Two views of one tile through random warps that are known exactly.

A view pixel maps to a source pixel by `source = H @ wave(view)`: H a homography (rotation, scale, anisotropy, shear,
perspective, translation) and `wave` a smooth warp made of shear waves, each of which has an exact inverse, so that
the truth between two views holds to rounding and needs no iteration. Coordinates count pixel centres from 0 (x, y).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as nnf
from torch import Tensor

from georeg.engine.draw import Draw

OVERLAP_GRID = 12
SHRINK_ROUNDS = 6
MIN_DIVISOR = 1e-3
LEVELS = 4


@dataclass(frozen=True)
class GeometryRange:
    """How far the two views may differ; every number is a largest value, drawn uniformly below it unless said.

    Attributes:
        rotation_deg: relative rotation, within plus and minus.
        scale: relative scale is log-uniform within 1/scale..scale.
        anisotropy: relative stretch of one axis against the other.
        shear_deg: shear angle.
        perspective: change of the projective divisor from the view's centre to its edge.
        shift: offset of the views' centres, as a share of the view's side.
        wave_px: amplitude of the smooth warp (view px); wave_share: how many pairs have one.
        zoom: source pixels per view pixel (before the relative scale), log-uniform.
        min_overlap: the smallest share of the better-covered view that the other one shows.
        upright_share: how many pairs keep the tile's own orientation (the rest is turned and mirrored as a whole).
    """

    rotation_deg: float = 45.0
    scale: float = 1.6
    anisotropy: float = 0.12
    shear_deg: float = 6.0
    perspective: float = 0.08
    shift: float = 0.35
    wave_px: float = 2.5
    wave_share: float = 0.25
    zoom: tuple[float, float] = (0.8, 2.2)
    min_overlap: float = 0.45
    upright_share: float = 0.4

    def scaled(self, share: float) -> GeometryRange:
        """The same range with every difference between the views multiplied by `share` (1 is unchanged)."""
        return replace(
            self,
            rotation_deg=self.rotation_deg * share,
            scale=self.scale**share,
            anisotropy=self.anisotropy * share,
            shear_deg=self.shear_deg * share,
            perspective=self.perspective * share,
            shift=self.shift * min(1.0, 0.5 + 0.5 * share),
        )


@dataclass(frozen=True)
class ShearWaves:
    """x += a(y); y += b(x); x += c(y), each a sine; the inverse undoes them in reverse order.

    amplitude, frequency (cycles over the view), phase: (B, 3).
    """

    amplitude: Tensor
    frequency: Tensor
    phase: Tensor
    side_px: int

    def _offset(self, layer: int, along: Tensor) -> Tensor:
        shape = (-1,) + (1,) * (along.dim() - 1)
        turn = 2 * torch.pi * self.frequency[:, layer] / self.side_px
        angle = turn.view(shape) * along + self.phase[:, layer].view(shape)
        return self.amplitude[:, layer].view(shape) * angle.sin()

    def forward(self, points: Tensor) -> Tensor:
        x, y = points.unbind(-1)
        x = x + self._offset(0, y)
        y = y + self._offset(1, x)
        x = x + self._offset(2, y)
        return torch.stack([x, y], dim=-1)

    def inverse(self, points: Tensor) -> Tensor:
        x, y = points.unbind(-1)
        x = x - self._offset(2, y)
        y = y - self._offset(1, x)
        x = x - self._offset(0, y)
        return torch.stack([x, y], dim=-1)


@dataclass(frozen=True)
class ViewPair:
    """The geometry of a batch of view pairs.

    Attributes:
        to_source0, to_source1: (B, 3, 3) float64 on the CPU, (bent) view pixel -> source pixel.
        waves: the smooth warp of view 1 (view 0 has none), on the device; `wavy` (W,) the pairs that have one.
        size_px: the side of both views.
        zoom: (B, 2) on the CPU, source pixels per view pixel of both views, for antialiasing.
    """

    to_source0: Tensor
    to_source1: Tensor
    waves: ShearWaves
    wavy: Tensor
    size_px: int
    zoom: Tensor

    def source(self, side: int, then: Tensor | None = None) -> Tensor:
        """(B, V, V, 2) source pixel of every pixel of view `side`, `then` mapped on by (B, 3, 3) matrices."""
        matrix = self.to_source1 if side else self.to_source0
        matrix = matrix if then is None else then @ matrix
        return self._bent(matrix) if side else map_grid(matrix, self.size_px, self.device)

    def flows(self) -> tuple[Tensor, Tensor]:
        """(B, V, V, 2) twice: for each pixel of view 0 its place in view 1, and the other way; inside it or not."""
        flow01 = map_grid(torch.linalg.solve(self.to_source1, self.to_source0), self.size_px, self.device)
        if len(self.wavy):
            flow01[self.wavy] = self.waves.inverse(flow01[self.wavy])
        return flow01, self._bent(torch.linalg.solve(self.to_source0, self.to_source1))

    def boxes(self, side: int) -> Tensor:
        """(B, 4) left, top, right, bottom of the source area that view `side` shows."""
        reach = float(self.waves.amplitude.abs().sum(dim=-1).max()) if side and len(self.wavy) else 0.0
        low, high = -reach, self.size_px - 1.0 + reach
        corners = torch.tensor([[low, low], [high, low], [low, high], [high, high]], dtype=torch.float64)
        matrix = self.to_source1 if side else self.to_source0
        seen = project(matrix, corners.expand(len(matrix), -1, -1))
        return torch.cat([seen.amin(dim=1), seen.amax(dim=1)], dim=1)

    @property
    def device(self) -> torch.device:
        return self.wavy.device

    def _bent(self, matrix: Tensor) -> Tensor:
        points = map_grid(matrix, self.size_px, self.device)
        if len(self.wavy):
            grid = map_grid(torch.eye(3, dtype=matrix.dtype)[None], self.size_px, self.device)
            bent = self.waves.forward(grid.expand(len(self.wavy), -1, -1, -1))
            points[self.wavy] = project(matrix[self.wavy.cpu()].to(self.device), bent)
        return points


def map_grid(matrix: Tensor, size_px: int, device: torch.device) -> Tensor:
    """(B, V, V, 2) float32: every pixel centre of a view through homographies (B, 3, 3).

    Each of the three products is a sum of a row and a column, so that a grid costs a sixth of loose points.
    """
    h = (matrix / matrix[:, 2:, 2:]).float().to(device)
    axis = torch.arange(size_px, dtype=torch.float32, device=device)
    along = h[:, :, :1] * axis
    down = h[:, :, 1:2] * axis + h[:, :, 2:]
    u, v, w = ((along[:, i].unsqueeze(1) + down[:, i].unsqueeze(2)) for i in range(3))
    inverse = w.clamp_min(MIN_DIVISOR).reciprocal_()
    points = torch.empty(*u.shape, 2, device=device)
    points[..., 0] = u.mul_(inverse)
    points[..., 1] = v.mul_(inverse)
    return points


def project(matrix: Tensor, points: Tensor) -> Tensor:
    """Points (B, ..., 2) through homographies (B, 3, 3); at the horizon and beyond they land far away."""
    shape = (-1,) + (1,) * (points.dim() - 2)
    h = (matrix / matrix[:, 2:, 2:]).to(points.dtype)
    x, y = points[..., 0], points[..., 1]
    rows = [_row(h[:, i], x, y, shape) for i in range(3)]
    return torch.stack(rows[:2], dim=-1) / rows[2].clamp_min(MIN_DIVISOR).unsqueeze(-1)


def _row(row: Tensor, x: Tensor, y: Tensor, shape: tuple[int, ...]) -> Tensor:
    return row[:, 0].view(shape) * x + row[:, 1].view(shape) * y + row[:, 2].view(shape)


def draw_view_pairs(sizes: Tensor, ranges: list[GeometryRange], size_px: int, draw: Draw) -> ViewPair:
    """Random view pairs, one for each source tile.

    Args:
        sizes: (B, 2) (height, width) of the source tiles in px.
        ranges: one range a pair.
        size_px: the side of the views.
        draw: the random draws; parameters are drawn on the CPU.
    """
    cpu = Draw(draw.parameters, "cpu")
    sizes = sizes.cpu().double()
    numbers = _draw_parameters(ranges, sizes, size_px, cpu)
    matrices = _matrices(numbers, sizes, size_px)
    for _ in range(SHRINK_ROUNDS):
        poor = ~_overlap_enough(*matrices, sizes, size_px, numbers["min_overlap"])
        if not poor.any():
            break
        _calm(numbers, poor, sizes, size_px)
        matrices = _matrices(numbers, sizes, size_px)
    scale = numbers["scale"].sqrt()
    waves, wavy = _draw_waves(ranges, size_px, cpu, draw.device)
    zoom = torch.stack([numbers["zoom"] / scale, numbers["zoom"] * scale], dim=-1)
    return ViewPair(*matrices, waves, wavy, size_px, zoom)


def _draw_parameters(
    ranges: list[GeometryRange], sizes: Tensor, size_px: int, draw: Draw
) -> dict[str, Tensor]:
    def limit(name: str) -> Tensor:
        return torch.tensor([getattr(item, name) for item in ranges], dtype=torch.float64)

    def signed(name: str, *shape: int) -> Tensor:
        bound = limit(name).view(-1, *(1 for _ in shape))
        return bound * draw.uniform((len(ranges), *shape), -1.0, 1.0).double()

    count = len(ranges)
    upright = draw.uniform(count).double() < limit("upright_share")
    low, high = torch.tensor([item.zoom for item in ranges], dtype=torch.float64).log().unbind(-1)
    largest = sizes.min(dim=-1).values / size_px * 1.1
    numbers = {
        "rotation": signed("rotation_deg").deg2rad(),
        "scale": (limit("scale").log() * draw.uniform(count, -1.0, 1.0).double()).exp(),
        "anisotropy": signed("anisotropy", 2),
        "shear": signed("shear_deg", 2).deg2rad(),
        "perspective": signed("perspective", 2, 2),
        "shift": signed("shift", 2),
        "zoom": (low + (high - low) * draw.uniform(count).double()).exp(),
        "centre": draw.uniform((count, 2), -1.0, 1.0).double(),
        "mirror": torch.where(draw.uniform(count).double() < 0.5, -1.0, 1.0).double(),
        "min_overlap": limit("min_overlap"),
    }
    numbers["common_rotation"] = _common_rotation(count, upright, draw)
    numbers["mirror"] = torch.where(upright, torch.ones_like(numbers["mirror"]), numbers["mirror"])
    numbers["zoom"] = torch.minimum(numbers["zoom"], largest / numbers["scale"].log().abs().mul(0.5).exp())
    return numbers


def _common_rotation(count: int, upright: Tensor, draw: Draw) -> Tensor:
    """(B,) radians both views are turned by: some 10 degrees around a quarter turn, where tiles fill the views best.

    One in six is turned by any angle; the upright ones stay near no turn.
    """
    quarter = draw.integers(count, 0, 4).double() * (torch.pi / 2)
    jitter = 0.18 * draw.uniform(count, -1.0, 1.0).double()
    anywhere = draw.uniform(count, -torch.pi, torch.pi).double()
    turned = torch.where(draw.uniform(count) < 1.0 / 6.0, anywhere, quarter + jitter)
    return torch.where(upright, jitter, turned)


def _calm(numbers: dict[str, Tensor], poor: Tensor, sizes: Tensor, size_px: int) -> None:
    """Pull the pairs that overlap too little towards the tile's centre and towards one another."""
    for name, factor in (("shift", 0.5), ("centre", 0.5), ("perspective", 0.7)):
        numbers[name][poor] *= factor
    fits = sizes.min(dim=-1).values / size_px
    numbers["zoom"][poor] = torch.minimum(numbers["zoom"] * 0.9, fits)[poor]


def _matrices(numbers: dict[str, Tensor], sizes: Tensor, size_px: int) -> tuple[Tensor, Tensor]:
    """(B, 3, 3) view -> source of both views."""
    half = size_px / 2.0
    room = (sizes.flip(-1) / 2.0 - 0.6 * half * numbers["zoom"].unsqueeze(-1)).clamp_min(0.0)
    middle = (sizes.flip(-1) - 1.0) / 2.0 + numbers["centre"] * room
    matrices = []
    for side, sign in ((0, -0.5), (1, 0.5)):
        zoom = numbers["zoom"] * numbers["scale"] ** sign
        angle = numbers["common_rotation"] + sign * numbers["rotation"]
        linear = _linear(numbers, side, angle)
        offset = sign * 2.0 * numbers["shift"] * half * zoom.unsqueeze(-1)
        matrix = torch.zeros(len(sizes), 3, 3, dtype=torch.float64)
        matrix[:, :2, :2] = linear * (half * zoom).view(-1, 1, 1)
        matrix[:, :2, 2] = middle + offset
        matrix[:, 2, 2] = 1.0
        lens = torch.eye(3, dtype=torch.float64).repeat(len(sizes), 1, 1)
        lens[:, 2, :2] = numbers["perspective"][:, side]
        matrices.append(matrix @ lens @ _to_unit(size_px))
    return matrices[0], matrices[1]


def _linear(numbers: dict[str, Tensor], side: int, angle: Tensor) -> Tensor:
    cos, sin = angle.cos(), angle.sin()
    rotation = torch.stack([torch.stack([cos, -sin], -1), torch.stack([sin, cos], -1)], dim=-2)
    stretch = (0.5 * numbers["anisotropy"][:, side]).exp()
    shape = torch.zeros_like(rotation)
    shape[:, 0, 0] = stretch * numbers["mirror"]
    shape[:, 1, 1] = 1.0 / stretch
    shape[:, 0, 1] = (0.5 * numbers["shear"][:, side]).tan()
    return rotation @ shape


def _to_unit(size_px: int) -> Tensor:
    half = size_px / 2.0
    middle = (size_px - 1.0) / 2.0
    return torch.tensor(
        [[1 / half, 0.0, -middle / half], [0.0, 1 / half, -middle / half], [0.0, 0.0, 1.0]],
        dtype=torch.float64,
    )


def _overlap_enough(first: Tensor, second: Tensor, sizes: Tensor, size_px: int, floor: Tensor) -> Tensor:
    """(B,) True where the better-covered view shows at least `floor` of the other, and the other at least a third of
    it."""
    axis = (torch.arange(OVERLAP_GRID, dtype=torch.float64) + 0.5) / OVERLAP_GRID * size_px - 0.5
    rows, cols = torch.meshgrid(axis, axis, indexing="ij")
    grid = torch.stack([cols, rows], dim=-1).expand(len(first), -1, -1, -1)
    shares = []
    for here, there in ((first, second), (second, first)):
        source = project(here, grid)
        target = project(torch.linalg.solve(there, here), grid)
        inside = inside_tile(source, sizes) & inside_view(target, size_px)
        shares.append(inside.double().mean(dim=(1, 2)))
    best, worst = torch.maximum(*shares), torch.minimum(*shares)
    return (best >= floor) & (worst >= floor / 3.0)


def inside_view(points: Tensor, size_px: int) -> Tensor:
    """True where a point lies between the outermost pixel centres of a view."""
    x, y = points[..., 0], points[..., 1]
    return (x >= 0) & (x <= size_px - 1) & (y >= 0) & (y <= size_px - 1)


def inside_tile(points: Tensor, sizes: Tensor) -> Tensor:
    """True where a source point (B, ..., 2) lies between the outermost pixel centres of its tile (B, 2) (h, w)."""
    bottom, right = (sizes - 1).to(points).view(-1, 2, *(1 for _ in range(points.dim() - 2))).unbind(1)
    x, y = points[..., 0], points[..., 1]
    return (x >= 0) & (x <= right) & (y >= 0) & (y <= bottom)


def _draw_waves(
    ranges: list[GeometryRange], size_px: int, draw: Draw, device: torch.device
) -> tuple[ShearWaves, Tensor]:
    count = len(ranges)
    share = torch.tensor([item.wave_share for item in ranges])
    bound = torch.tensor([item.wave_px for item in ranges]).view(-1, 1)
    wavy = (draw.uniform(count) < share).nonzero()[:, 0]
    amplitude = bound * draw.uniform((count, 3), -1.0, 1.0)
    frequency = draw.uniform((count, 3), 0.3, 1.5)
    phase = draw.uniform((count, 3), 0.0, 2 * torch.pi)
    amplitude, frequency, phase = (part[wavy].to(device) for part in (amplitude, frequency, phase))
    return ShearWaves(amplitude, frequency, phase, size_px), wavy.to(device)


def pyramid_level(zoom: float) -> int:
    """Which level of a 2x mean pyramid a view reads: the full image below 1.4 source pixels a view pixel."""
    level = 0
    while level < LEVELS - 1 and zoom >= 1.4 * 2**level:
        level += 1
    return level


def half_size(pixels: Tensor) -> Tensor:
    """The next level of a pyramid: (C, H, W) uint8 -> (C, H // 2, W // 2) uint8, means of 2x2 pixels, rounded.

    Its pixel x lies at 2 x + 0.5 of the finer level.
    """
    height, width = pixels.shape[-2] // 2 * 2, pixels.shape[-1] // 2 * 2
    fine = pixels[..., :height, :width].to(torch.int16)
    total = fine[..., ::2, ::2] + fine[..., 1::2, ::2] + fine[..., ::2, 1::2] + fine[..., 1::2, 1::2]
    return ((total + 2) // 4).to(torch.uint8)


@dataclass(frozen=True)
class Crop:
    """The part of one pyramid level that a view needs: columns left..right, rows top..bottom of that level."""

    level: int
    left: int
    top: int
    right: int
    bottom: int

    @property
    def to_unit(self) -> Tensor:
        """(3, 3) source pixel (of the full level) -> -1..1 over the crop, as grid_sample has it."""
        step = 2.0**self.level
        matrix = torch.eye(3, dtype=torch.float64)
        for axis, (low, high) in enumerate(((self.left, self.right), (self.top, self.bottom))):
            scale = 2.0 / (high - low)
            matrix[axis, axis] = scale / step
            matrix[axis, 2] = scale * (0.5 / step - low) - 1.0
        return matrix


def crop_for(box: Tensor, zoom: float, size: tuple[int, int]) -> Crop:
    """The crop that a view of source area `box` (4,) needs of a tile of `size` (h, w), two pixels to spare."""
    level = pyramid_level(zoom)
    while level and min(size) >> level < 4:
        level -= 1
    edges = ((box + 0.5) / 2.0**level - 0.5).tolist()
    width, height = size[1] >> level, size[0] >> level
    left = min(max(0, math.floor(edges[0]) - 2), width - 2)
    top = min(max(0, math.floor(edges[1]) - 2), height - 2)
    right, bottom = (math.ceil(edge) + 3 for edge in edges[2:])
    return Crop(level, left, top, min(max(right, left + 2), width), min(max(bottom, top + 2), height))


def bilinear(images: Tensor, grid: Tensor) -> Tensor:
    """(B, C, V, V) values of (B, C, H, W) at a grid (B, V, V, 2) in -1..1, borders repeated."""
    return nnf.grid_sample(images, grid, mode="bilinear", padding_mode="border", align_corners=False)
