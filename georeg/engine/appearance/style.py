"""Item 6: a light style network: scenes in the manner of real tiles of another modality, edges put back by a filter.

An encoder and a decoder of under 0.3 M parameters with adaptive instance normalisation (Huang and Belongie, 2017)
between them: the features of a scene get the channel means and deviations of a real SAR, infrared, map or elevation
tile, and some channels are turned over. The result is coarse; a guided filter against the original (He et al., 2013)
puts the edges where they were. It is trained on the archive itself, without labels beyond the modality:
`train_style`.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as nnf
from torch import Tensor, nn

from georeg.engine.appearance.filters import enlarge, guided, halve, to_unit
from georeg.engine.archive import Archive, read_archive
from georeg.engine.batch import MODALITIES
from georeg.engine.draw import Draw
from georeg.errors import InputError

WIDTHS = (24, 48, 96)
SHIPPED_WEIGHTS = Path(__file__).with_name("style.safetensors")
STYLES_PER_MODALITY = 96
CROP_PX = 64
EPSILON = 1e-4


class StyleNetwork(nn.Module):
    """Grey images about 0..1 to features at a quarter of their size, and back."""

    def __init__(self, widths: tuple[int, int, int] = WIDTHS) -> None:
        super().__init__()
        first, second, third = widths
        self.encoder = nn.ModuleList(
            [
                _convolution(1, first),
                _convolution(first, second, stride=2),
                _convolution(second, third, stride=2),
            ]
        )
        self.decoder = nn.ModuleList(
            [_convolution(third, second), _convolution(second, first), _convolution(first, 1)]
        )
        self.classify = nn.Linear(2 * third, len(MODALITIES))

    def features(self, images: Tensor) -> list[Tensor]:
        """(B, C, H / s, W / s) at s = 1, 2, 4."""
        result, current = [], images - 0.5
        for layer in self.encoder:
            current = nnf.leaky_relu(layer(current), 0.1)
            result.append(current)
        return result

    def decode(self, features: Tensor) -> Tensor:
        """Images of four times the size of the features."""
        current = features
        for layer in list(self.decoder)[:-1]:
            current = nnf.leaky_relu(layer(nnf.interpolate(current, scale_factor=2.0)), 0.1)
        return self.decoder[-1](current) + 0.5

    def forward(self, images: Tensor, style: Tensor, signs: Tensor) -> Tensor:
        """Images (B, 1, H, W), H and W divisible by 4, in the manner of `style` (B, 2, C).

        `signs` (B, C) of -1 and 1 turn channels over: what was told by a bright response is then told by a dark one.
        """
        own = self.features(images)[-1]
        middle = own.mean(dim=(-2, -1), keepdim=True)
        return self.decode(restyled(middle + (own - middle) * signs[..., None, None], style))


def _convolution(into: int, out: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(into, out, 3, stride, 1, padding_mode="replicate")


def statistics(features: Tensor) -> Tensor:
    """(B, 2, C): mean and deviation of every channel."""
    mean = features.mean(dim=(-2, -1))
    deviation = (features - mean[..., None, None]).square().mean(dim=(-2, -1)).add(EPSILON).sqrt()
    return torch.stack([mean, deviation], dim=1)


def restyled(features: Tensor, style: Tensor) -> Tensor:
    """Features with the means and deviations of `style` (B, 2, C): adaptive instance normalisation."""
    own, style = statistics(features)[..., None, None], style[..., None, None]
    return (features - own[:, 0]) / own[:, 1] * style[:, 1] + style[:, 0]


@dataclass(frozen=True)
class StyleBook:
    """The network and, for each modality of the archive, the statistics (N, 2, C) of up to 96 of its real tiles."""

    network: StyleNetwork
    styles: dict[str, Tensor]

    def look(self, modality: str) -> Callable[[Tensor, Draw], Tensor]:
        """A look for the bank: its images in the manner of a tile of `modality`, one drawn for each image."""

        def render(images: Tensor, draw: Draw) -> Tensor:
            styles = self.styles[modality]
            chosen = styles[draw.integers(len(images), 0, len(styles))]
            turned = draw.uniform(len(images), 0.0, 0.4).view(-1, 1)
            signs = 1.0 - 2.0 * (draw.uniform((len(images), styles.shape[-1])) < turned).float()
            return self._render(images, chosen, signs, draw)

        return render

    def _render(self, images: Tensor, style: Tensor, signs: Tensor, draw: Draw) -> Tensor:
        height, width = images.shape[-2:]
        small = halve(images)
        rows, cols = small.shape[-2:]
        padded = nnf.pad(small, (0, -cols % 4, 0, -rows % 4), mode="replicate")
        coarse = self.network(padded, style, signs)[..., :rows, :cols]
        full = to_unit(enlarge(coarse, 2, (height, width)))
        return to_unit(guided(full, images, draw.number(1.0, 2.0), draw.log_uniform(1, 1e-4, 3e-3).item()))


def make_style_book(
    archive: Archive, device: torch.device, weights: Path | None = None, seed: int = 0
) -> StyleBook | None:
    """The shipped (or given) network with styles of this archive; None where no weights are there.

    Raises:
        InputError: weights that do not fit.
    """
    path = weights or SHIPPED_WEIGHTS
    if not path.is_file():
        return None
    network = load_style_network(path).to(device).eval()
    draw = Draw(torch.Generator().manual_seed(seed), device)
    styles = {}
    with torch.no_grad():
        for modality in MODALITIES:
            members = [index for index, tile in enumerate(archive.tiles) if tile.modality == modality]
            if members:
                keep = [members[draw.index(len(members))] for _ in range(STYLES_PER_MODALITY)]
                views = torch.cat([style_view(archive, index, draw, 2 * CROP_PX) for index in keep])
                styles[modality] = statistics(network.features(halve(views))[-1])
    return StyleBook(network, styles)


def style_view(archive: Archive, index: int, draw: Draw, side_px: int) -> Tensor:
    """(1, 1, side, side) a random part of a tile, stretched to 0..1; small tiles are repeated by mirroring."""
    pixels = archive.tiles[index].pixels.float().mean(dim=0)[None, None]
    while min(pixels.shape[-2:]) < side_px:
        pixels = torch.cat([pixels, pixels.flip(-1)], dim=-1)
        pixels = torch.cat([pixels, pixels.flip(-2)], dim=-2)
    top, left = (draw.index(length - side_px + 1) for length in pixels.shape[-2:])
    return to_unit(pixels[..., top : top + side_px, left : left + side_px].to(draw.device))


def load_style_network(path: Path) -> StyleNetwork:
    """The network from a safetensors file; raises InputError where it does not fit."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    network = StyleNetwork()
    try:
        network.load_state_dict({name: value.float() for name, value in load_file(path).items()})
    except (SafetensorError, RuntimeError, OSError) as error:
        raise InputError(f"{path} does not hold a style network: {error}") from error
    return network


def train_style(
    archive: Archive,
    steps: int = 900,
    batch: int = 4,
    seed: int = 0,
    device: torch.device | str = "cpu",
    report: Callable[[int, dict[str, float]], None] | None = None,
) -> StyleNetwork:
    """Train the style network on an archive's own tiles.

    The first two fifths of the steps teach it to give images back and to tell modalities by the statistics of its
    features; then the encoder stays, and the decoder learns to render restyled features so that, encoded again, they
    have the content asked for and the statistics of the style on every level.
    """
    torch.manual_seed(seed)
    draw = Draw(torch.Generator().manual_seed(seed), device)
    network = StyleNetwork().to(device)
    optimiser = torch.optim.AdamW(network.parameters(), 2e-3, weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 2e-3, total_steps=steps)
    members = _by_modality(archive)
    first_phase = steps * 2 // 5
    for step in range(steps):
        if step == first_phase:
            network.encoder.requires_grad_(False)
        content, _ = _draw_views(archive, members, batch, draw)
        style, modality = _draw_views(archive, members, batch, draw)
        if step < first_phase:
            parts = _describing_losses(network, torch.cat([content, style]), style, modality)
        else:
            parts = _restyling_losses(network, content, style)
        optimiser.zero_grad(set_to_none=True)
        torch.stack(list(parts.values())).sum().backward()
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.step()
        schedule.step()
        if report is not None:
            report(step + 1, {name: float(value.detach()) for name, value in parts.items()})
    return network.eval()


def _by_modality(archive: Archive) -> list[list[int]]:
    groups = [[i for i, tile in enumerate(archive.tiles) if tile.modality == name] for name in MODALITIES]
    groups = [group for group in groups if group]
    if not groups:
        raise InputError("no tile of this archive has a known modality: name its folders after the modality")
    return groups


def _draw_views(
    archive: Archive, members: Sequence[Sequence[int]], count: int, draw: Draw
) -> tuple[Tensor, Tensor]:
    chosen = []
    for _ in range(count):
        group = members[draw.index(len(members))]
        chosen.append(group[draw.index(len(group))])
    views = halve(torch.cat([style_view(archive, index, draw, 2 * CROP_PX) for index in chosen]))
    names = [MODALITIES.index(archive.tiles[index].modality) for index in chosen]
    return views, torch.tensor(names, device=draw.device)


def _describing_losses(
    network: StyleNetwork, images: Tensor, styles: Tensor, modality: Tensor
) -> dict[str, Tensor]:
    features = network.features(images)[-1]
    guess = network.classify(statistics(features[-len(styles) :]).flatten(1))
    return {
        "reconstruction": nnf.l1_loss(network.decode(features), images),
        "modality": 0.2 * nnf.cross_entropy(guess, modality),
    }


def _restyling_losses(network: StyleNetwork, content: Tensor, style: Tensor) -> dict[str, Tensor]:
    with torch.no_grad():
        own, wanted = network.features(content)[-1], network.features(style)
        target = restyled(own, statistics(wanted[-1]))
    rendered = network.decode(target)
    got = network.features(rendered)
    scale = target.square().mean().sqrt() + EPSILON
    differences = [
        (statistics(a) - statistics(b)).abs().mean() / (statistics(b)[:, 1].mean() + EPSILON)
        for a, b in zip(got, wanted, strict=True)
    ]
    return {
        "content": 0.5 * (got[-1] - target).abs().mean() / scale,
        "style": torch.stack(differences).mean(),
        "reconstruction": nnf.l1_loss(network.decode(own), content),
    }


def save_style_network(network: StyleNetwork, path: Path) -> None:
    """Write the weights as fp16 safetensors."""
    from safetensors.torch import save_file

    save_file({name: value.half().contiguous().cpu() for name, value in network.state_dict().items()}, path)


def main(arguments: Sequence[str] | None = None) -> None:
    """`python -m georeg.engine.appearance.style ARCHIVE OUT.safetensors [--steps N] [--seed N]`."""
    parser = argparse.ArgumentParser(description="Train the style network of the data engine on an archive.")
    parser.add_argument("archive", type=Path)
    parser.add_argument("weights", type=Path)
    parser.add_argument("--steps", type=int, default=900)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    archive = read_archive(options.archive, align_pairs=False)
    network = train_style(archive, options.steps, seed=options.seed, report=_print_losses)
    save_style_network(network, options.weights)


def _print_losses(step: int, losses: dict[str, float]) -> None:
    if step % 50 == 0:
        print(step, " ".join(f"{name} {value:.3f}" for name, value in losses.items()), file=sys.stderr)


if __name__ == "__main__":
    main()
