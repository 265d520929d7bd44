"""Item 2: looks borrowed from random networks and from other images of the batch; structure (phase) stays."""

from __future__ import annotations

import torch
import torch.nn.functional as nnf
from torch import Tensor

from georeg.engine.appearance.filters import guided, look_up, to_range, to_unit
from georeg.engine.draw import Draw

QUANTILES = 33


def random_network(images: Tensor, draw: Draw) -> Tensor:
    """Two or three random convolutions with leaky rectifiers (Xu et al., 2021), mixed with the original.

    The weights are drawn per image (grouped convolution) and centred on the middle tap, so that edges stay
    put.
    """
    count = len(images)
    width = 6
    features = images - 0.5
    channels = 1
    for layer in range(draw.index(2) + 2):
        size = 3 if layer < 2 else 1
        kernel = draw.normal((count, width, channels, size, size)) / (channels * size * size) ** 0.5
        kernel = 0.5 * (kernel + kernel.flip(-1, -2))
        features = _grouped(features, kernel)
        features = nnf.leaky_relu(features, 0.1)
        channels = width
    mix = _grouped(features, draw.normal((count, 1, channels, 1, 1)))
    share = draw.uniform(count, 0.0, 0.6).view(-1, 1, 1, 1)
    return (1.0 - share) * to_unit(mix) + share * images


def _grouped(features: Tensor, kernel: Tensor) -> Tensor:
    count, out, into, size, _ = kernel.shape
    pad = size // 2
    flat = features.reshape(1, count * into, *features.shape[-2:])
    flat = nnf.pad(flat, (pad, pad, pad, pad), mode="replicate") if pad else flat
    result = nnf.conv2d(flat, kernel.reshape(count * out, into, size, size), groups=count)
    return result.view(count, out, *result.shape[-2:])


def statistics_swap(images: Tensor, draw: Draw) -> Tensor:
    """The grey histogram of another image of the batch (exact to 33 quantiles), either way up."""
    count = len(images)
    others = images[_another(count, draw)]
    own, target = _quantiles(images), _quantiles(others)
    target = torch.where((draw.uniform(count) < 0.25).view(-1, 1), 1.0 - target.flip(1), target)
    table = _as_curve(own, target)
    return look_up(images, table)


def _quantiles(images: Tensor) -> Tensor:
    values = images.reshape(len(images), -1)[:, ::23].contiguous().sort(dim=1).values
    place = torch.linspace(0, values.shape[1] - 1, QUANTILES, device=images.device).round().long()
    return values[:, place]


def _as_curve(own: Tensor, target: Tensor, knots: int = 128) -> Tensor:
    """The curve that sends quantiles `own` to `target`, on equal knots over 0..1."""
    grey = torch.linspace(0, 1, knots, device=own.device).expand(len(own), -1).contiguous()
    above = torch.searchsorted(own.contiguous(), grey).clamp(1, QUANTILES - 1)
    low, high = own.gather(1, above - 1), own.gather(1, above)
    share = ((grey - low) / (high - low + 1e-5)).clamp(0.0, 1.0)
    return target.gather(1, above - 1) * (1.0 - share) + target.gather(1, above) * share


def fourier_mix(images: Tensor, draw: Draw) -> Tensor:
    """Low-band amplitudes of another image, own phases (Yang and Soatto, 2020), on the whole range of
    scales."""
    count, _, height, width = images.shape
    others = images[_another(count, draw)]
    own, other = torch.fft.rfft2(images), torch.fft.rfft2(others)
    rows = torch.fft.fftfreq(height, device=images.device).view(-1, 1)
    cols = torch.fft.rfftfreq(width, device=images.device).view(1, -1)
    band = draw.log_uniform(count, 0.01, 0.12).view(-1, 1, 1, 1)
    weight = torch.exp(-0.5 * (rows.square() + cols.square()) / band.square())
    weight = weight * draw.uniform(count, 0.5, 1.0).view(-1, 1, 1, 1)
    weight[..., 0, 0] = 0.0
    size, other_size = own.abs(), other.abs()
    gain = 1.0 + weight * ((other_size - size) / (size + 1e-4)).clamp(-1.0, 4.0)
    mixed = torch.fft.irfft2(own * gain, s=(height, width))
    return to_unit(guided(mixed, images, 6.0, 1e-3)) if draw.chance(0.3) else to_unit(mixed)


def _another(count: int, draw: Draw) -> Tensor:
    if count == 1:
        return torch.zeros(1, dtype=torch.long, device=draw.device)
    return (torch.arange(count, device=draw.device) + 1 + draw.index(count - 1)) % count


def band_mix(images: Tensor, draw: Draw) -> Tensor:
    """Scales weighted anew: the Laplacian bands get random gains, one of them may turn its sign."""
    count = len(images)
    bands, rest = [], images
    for _ in range(3):
        small = nnf.avg_pool2d(rest, 2, ceil_mode=True, count_include_pad=False)
        wide = nnf.interpolate(small, rest.shape[-2:], mode="bilinear", align_corners=False)
        bands.append(rest - wide)
        rest = small
    gains = draw.log_uniform((count, 4), 0.35, 2.8) * torch.where(draw.uniform((count, 4)) < 0.12, -1.0, 1.0)
    result = rest * gains[:, 3].view(-1, 1, 1, 1)
    for band in range(2, -1, -1):
        result = nnf.interpolate(result, bands[band].shape[-2:], mode="bilinear", align_corners=False)
        result = result + bands[band] * gains[:, band].view(-1, 1, 1, 1)
    return to_range(result)
