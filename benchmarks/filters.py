"""The data engine's filters beside kornia's: CPU milliseconds for 16 views, and how far the results differ.

    pip install kornia
    python benchmarks/filters.py [--views 16] [--view-px 192] [--repeats 5]

One thread, process CPU time, the least of the repeats. Kornia is no dependency of georeg: this is why.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable

import kornia
import torch
from torch import Tensor

from georeg.engine.appearance import filters, tone
from georeg.engine.draw import Draw

Work = Callable[[], Tensor]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--views", type=int, default=16)
    parser.add_argument("--view-px", type=int, default=192)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    shape = options.views, 1, options.view_px, options.view_px
    print(f"{'':28}{'georeg':>8}{'kornia':>8}  ms, mean difference")
    with torch.inference_mode():
        for name, (ours, theirs) in contests(torch.rand(shape), torch.rand(shape)).items():
            figures = [milliseconds(work, options.repeats) for work in (ours, theirs)]
            difference = float((ours() - theirs()).abs().mean())
            print(f"{name:28}{figures[0]:8.1f}{figures[1]:8.1f}  {difference:.1e}")


def contests(images: Tensor, guide: Tensor) -> dict[str, tuple[Work, Work]]:
    """What both can do: name -> (georeg's way, kornia's way)."""
    found: dict[str, tuple[Work, Work]] = {}
    for sigma_px in (0.8, 1.6, 4.0, 12.0):
        side = 2 * max(1, math.ceil(2.5 * sigma_px)) + 1
        found[f"Gaussian, {sigma_px} px"] = (
            lambda s=sigma_px: filters.gaussian(images, s),
            lambda s=sigma_px, k=side: kornia.filters.gaussian_blur2d(images, (k, k), (s, s), "replicate"),
        )
    found["central differences"] = (
        lambda: torch.stack(filters.gradients(images), 2),
        lambda: kornia.filters.spatial_gradient(images, "diff"),
    )
    found["guided filter, 4 px (box 15)"] = (
        lambda: filters.guided(images, guide, 4.0, 0.01),
        lambda: kornia.filters.guided_blur(guide, images, 15, 0.01, border_type="replicate"),
    )
    found["local contrast; CLAHE"] = (
        lambda: tone.local_contrast(images, Draw(torch.Generator().manual_seed(0))),
        lambda: kornia.enhance.equalize_clahe(images),
    )
    return found


def milliseconds(work: Work, repeats: int) -> float:
    """The least CPU time of some runs after one to warm up."""
    work()
    times = []
    for _ in range(repeats):
        start = time.process_time()
        work()
        times.append(time.process_time() - start)
    return 1000 * min(times)


if __name__ == "__main__":
    main()
