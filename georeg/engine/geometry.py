"""Two views of one tile through random warps that are known exactly.

A view pixel maps to a source pixel by `source = H @ wave(view)`: H a homography (rotation, scale, anisotropy,
shear, perspective, translation) and `wave` a smooth warp made of shear waves, each of which has an exact
inverse, so that the truth between two views holds to rounding and needs no iteration. Coordinates count pixel
centres from 0 (x, y).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
import torch.nn.functional as nnf
from torch import Tensor

from georeg.engine.draw import Draw

OVERLAP_GRID = 12
SHRINK_ROUNDS = 6


@dataclass(frozen=True)
class GeometryRange:
    """How far the two views may differ; every number is a largest value, drawn uniformly below it unless
    said.

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
        upright_share: how many pairs keep the tile's own orientation (the rest is turned and mirrored as a
            whole).
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
    upright_share: float = 0.3

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
        to_source0, to_source1: (B, 3, 3) float64, warped view pixel -> source pixel.
        waves: the smooth warp of view 1 (view 0 has none); `wavy` (B,) bool says where it is not zero.
        size_px: the side of both views.
        zoom0, zoom1: (B,) source pixels per view pixel, for antialiasing.
    """

    to_source0: Tensor
    to_source1: Tensor
    waves: ShearWaves
    wavy: Tensor
    size_px: int
    zoom0: Tensor
    zoom1: Tensor

    def source0(self) -> Tensor:
        """(B, V, V, 2) source pixel of every pixel of view 0."""
        grid = pixel_grid(self.size_px, self.to_source0.device)
        return project(self.to_source0, grid.expand(len(self.to_source0), -1, -1, -1))

    def source1(self) -> Tensor:
        """(B, V, V, 2) source pixel of every pixel of view 1."""
        grid = pixel_grid(self.size_px, self.to_source1.device).expand(len(self.to_source1), -1, -1, -1)
        return project(self.to_source1, self._bend(grid, inverse=False))

    def flows(self) -> tuple[Tensor, Tensor]:
        """(B, V, V, 2) twice: for each pixel of view 0 its place in view 1, and the other way; inside it or
        not."""
        grid = pixel_grid(self.size_px, self.to_source1.device).expand(len(self.to_source1), -1, -1, -1)
        flow01 = self._bend(project(torch.linalg.solve(self.to_source1, self.to_source0), grid), inverse=True)
        flow10 = project(
            torch.linalg.solve(self.to_source0, self.to_source1), self._bend(grid, inverse=False)
        )
        return flow01, flow10

    def _bend(self, points: Tensor, inverse: bool) -> Tensor:
        chosen = self.wavy.nonzero()[:, 0]
        if len(chosen) == 0:
            return points
        waves = replace(
            self.waves,
            amplitude=self.waves.amplitude[chosen],
            frequency=self.waves.frequency[chosen],
            phase=self.waves.phase[chosen],
        )
        bent = waves.inverse(points[chosen]) if inverse else waves.forward(points[chosen])
        return points.index_copy(0, chosen, bent.to(points.dtype))


def pixel_grid(side_px: int, device: torch.device) -> Tensor:
    """(V, V, 2) float32 (x, y) of every pixel centre."""
    axis = torch.arange(side_px, dtype=torch.float32, device=device)
    rows, cols = torch.meshgrid(axis, axis, indexing="ij")
    return torch.stack([cols, rows], dim=-1)


def project(matrix: Tensor, points: Tensor) -> Tensor:
    """Points (B, ..., 2) through homographies (B, 3, 3); behind the camera they become infinite.

    The matrices are float64 and scaled so that float32 points keep an accuracy of about 1e-4 px.
    """
    shape = (-1,) + (1,) * (points.dim() - 2)
    h = (matrix / matrix[:, 2:, 2:]).to(points.dtype)
    x, y = points[..., 0], points[..., 1]
    u = h[:, 0, 0].view(shape) * x + h[:, 0, 1].view(shape) * y + h[:, 0, 2].view(shape)
    v = h[:, 1, 0].view(shape) * x + h[:, 1, 1].view(shape) * y + h[:, 1, 2].view(shape)
    w = h[:, 2, 0].view(shape) * x + h[:, 2, 1].view(shape) * y + h[:, 2, 2].view(shape)
    w = torch.where(w > 1e-6, w, torch.full_like(w, torch.inf))
    return torch.where(w.isinf().unsqueeze(-1), torch.inf, torch.stack([u, v], dim=-1) / w.unsqueeze(-1))


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
    waves, wavy = _draw_waves(ranges, size_px, cpu)
    zoom0 = numbers["zoom"] / numbers["scale"].sqrt()
    zoom1 = numbers["zoom"] * numbers["scale"].sqrt()
    device = draw.device
    return ViewPair(
        matrices[0].to(device),
        matrices[1].to(device),
        ShearWaves(*(part.to(device) for part in waves), size_px),
        wavy.to(device),
        size_px,
        zoom0.float().to(device),
        zoom1.float().to(device),
    )


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
        "common_rotation": draw.uniform(count, -torch.pi, torch.pi).double(),
        "mirror": torch.where(draw.uniform(count).double() < 0.5, -1.0, 1.0).double(),
        "min_overlap": limit("min_overlap"),
    }
    numbers["common_rotation"] = torch.where(
        upright, 0.08 * numbers["common_rotation"], numbers["common_rotation"]
    )
    numbers["mirror"] = torch.where(upright, torch.ones_like(numbers["mirror"]), numbers["mirror"])
    numbers["zoom"] = torch.minimum(numbers["zoom"], largest / numbers["scale"].log().abs().mul(0.5).exp())
    return numbers


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
    """(B,) True where the better-covered view shows at least `floor` of the other, and the other at least a
    third of it."""
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
    return ((points >= 0) & (points <= size_px - 1)).all(dim=-1)


def inside_tile(points: Tensor, sizes: Tensor) -> Tensor:
    """True where a source point (B, ..., 2) lies between the outermost pixel centres of its tile (B, 2) (h,
    w)."""
    limit = (sizes.flip(-1) - 1).to(points.dtype).view(-1, *(1 for _ in range(points.dim() - 2)), 2)
    return ((points >= 0) & (points <= limit)).all(dim=-1)


def _draw_waves(ranges: list[GeometryRange], size_px: int, draw: Draw) -> tuple[tuple[Tensor, ...], Tensor]:
    count = len(ranges)
    share = torch.tensor([item.wave_share for item in ranges])
    bound = torch.tensor([item.wave_px for item in ranges]).view(-1, 1)
    wavy = draw.uniform(count) < share
    amplitude = bound * draw.uniform((count, 3), -1.0, 1.0) * wavy.unsqueeze(-1)
    frequency = draw.uniform((count, 3), 0.3, 1.5)
    return (amplitude, frequency, draw.uniform((count, 3), 0.0, 2 * torch.pi)), wavy & (amplitude != 0).any(
        -1
    )


def sample_view(canvas: Tensor, source: Tensor, zoom: Tensor) -> Tensor:
    """Views (B, C, V, V) of canvases (B, C, S, S) at source pixels (B, V, V, 2), antialiased by a 2x mean
    pyramid.

    Args:
        zoom: (B,) source pixels per view pixel; 1.5 and more reads the pyramid's next level, and so on.
    """
    levels = (zoom / 1.5).log2().floor().add(1).clamp(0, 3).long()
    views = canvas.new_zeros(*canvas.shape[:2], *source.shape[1:3])
    level, canvas_here = 0, canvas
    highest = int(levels.max())
    while True:
        chosen = (levels == level).nonzero()[:, 0]
        if len(chosen):
            here = canvas_here if len(chosen) == len(canvas) else canvas_here[chosen]
            points = (source[chosen] + 0.5) / 2.0**level - 0.5
            views[chosen] = _bilinear(here, points)
        if level == highest:
            return views
        canvas_here = nnf.avg_pool2d(canvas_here, 2, ceil_mode=True, count_include_pad=False)
        level += 1


def _bilinear(images: Tensor, points: Tensor) -> Tensor:
    size = torch.tensor([images.shape[-1], images.shape[-2]], device=images.device, dtype=points.dtype)
    grid = ((points + 0.5) * (2.0 / size) - 1.0).clamp(-4.0, 4.0)
    return nnf.grid_sample(images, grid, mode="bilinear", padding_mode="border", align_corners=False)
