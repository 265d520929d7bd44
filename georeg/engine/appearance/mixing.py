"""Item 2: looks borrowed from random networks and from other images of the batch; structure (phase) stays."""

from __future__ import annotations

import torch
import torch.nn.functional as nnf
from torch import Tensor

from georeg.engine.appearance.filters import enlarge, gaussian, halve, look_up, per_image, to_unit
from georeg.engine.draw import Draw

QUANTILES = 33


WIDTH = 6


def random_network(images: Tensor, draw: Draw) -> Tensor:
    """Two or three layers of a random network (after Xu et al., 2021), mixed with the original.

    Each layer is a random point-symmetric 3x3 filter per channel and a random mix of channels, drawn per image, then
    a leaky rectifier. Symmetric filters keep edges in place.
    """
    count = len(images)
    features = (images - 0.5).expand(-1, WIDTH, -1, -1)
    for _ in range(draw.index(2) + 1):
        filtered = _symmetric_filter(features, draw.normal((count, WIDTH, 5)) / 2.0)
        features = nnf.leaky_relu_(_mixed(filtered, draw.normal((count, WIDTH, WIDTH)) / WIDTH**0.5), 0.1)
    result = to_unit(_mixed(features, draw.normal((count, 1, WIDTH))))
    share = per_image(draw.uniform(count, 0.0, 0.6))
    return torch.lerp(result, images, share)


def _symmetric_filter(features: Tensor, weights: Tensor) -> Tensor:
    """3x3 filters of each channel (B, C, H, W), weights (B, C, 5): the centre, four pairs of opposite neighbours."""
    height, width = features.shape[-2:]
    padded = nnf.pad(features, (1, 1, 1, 1), mode="replicate")
    centre, across, down, falling, rising = weights[..., None, None].unbind(2)
    result = features * (centre + centre.sign())
    for weight, (row, col) in ((across, (1, 0)), (down, (0, 1)), (falling, (0, 0)), (rising, (0, 2))):
        first = padded[..., row : row + height, col : col + width]
        second = padded[..., 2 - row : 2 - row + height, 2 - col : 2 - col + width]
        result.addcmul_(first + second, 0.5 * weight)
    return result


def _mixed(features: Tensor, weights: Tensor) -> Tensor:
    """Channels (B, C, H, W) mixed by (B, D, C)."""
    return (weights @ features.flatten(2)).view(len(features), -1, *features.shape[-2:])


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
    """Low-band amplitudes of another image, own phases (Yang and Soatto, 2020): coarse brightness changes."""
    count, _, height, width = images.shape
    others = images[_another(count, draw)]
    own, other = torch.fft.rfft2(images), torch.fft.rfft2(others).abs()
    rows = torch.fft.fftfreq(height, device=images.device).view(-1, 1)
    cols = torch.fft.rfftfreq(width, device=images.device).view(1, -1)
    band = per_image(draw.log_uniform(count, 0.01, 0.12))
    weight = torch.exp(-0.5 * (rows.square() + cols.square()) / band.square())
    weight = weight * per_image(draw.uniform(count, 0.5, 1.0))
    weight[..., 0, 0] = 0.0
    size = own.abs() + 1e-4
    gain = 1.0 + weight * (other / size - 1.0).clamp_(-1.0, 4.0)
    return to_unit(torch.fft.irfft2(own * gain, s=(height, width)))


def _another(count: int, draw: Draw) -> Tensor:
    if count == 1:
        return torch.zeros(1, dtype=torch.long, device=draw.device)
    return (torch.arange(count, device=draw.device) + 1 + draw.index(count - 1)) % count


def band_mix(images: Tensor, draw: Draw) -> Tensor:
    """Scales weighted anew: the Laplacian bands get random gains, now and then one turns its sign."""
    count = len(images)
    bands, rest = [], images
    for _ in range(3):
        small = halve(rest)
        bands.append(rest - enlarge(small, 2, rest.shape[-2:]))
        rest = small
    sign = 1.0 - 2.0 * (draw.uniform((count, 4)) < 0.12).float()
    gains = draw.log_uniform((count, 4), 0.35, 2.8) * sign
    result = rest * per_image(gains[:, 3])
    for band in (2, 1, 0):
        result = enlarge(result, 2, bands[band].shape[-2:]) + bands[band] * per_image(gains[:, band])
    return to_unit(result)


def textured(images: Tensor, draw: Draw) -> Tensor:
    """Flat fills come alive: each grey class gets a new tone and its own strength of random texture, fine to coarse.

    What a drawn map or a smooth height model lacks against a photograph: trees, roofs, cars, waves.
    """
    count, _, height, width = images.shape
    smooth = gaussian(images, draw.number(0.4, 1.2))
    base = look_up(smooth, draw.uniform((count, 6)))
    strength = look_up(smooth, draw.uniform((count, 6)).square())
    texture = torch.zeros_like(images)
    for octave in range(4):
        shape = (count, 1, -(-height >> octave) + 1, -(-width >> octave) + 1)
        noise = draw.noise(shape)
        noise = gaussian(noise, 0.7) if octave == 0 else enlarge(noise, 2**octave, (height, width))
        texture.addcmul_(noise[..., :height, :width], per_image(draw.uniform(count)))
    amount = per_image(draw.log_uniform(count, 0.05, 0.5))
    return base + amount * strength * texture
