"""AROSICS (Scheffler et al. 2017, doi:10.3390/rs9070676) on one pair; run by big_scene.py in a Python that has it.

    python peer_arosics.py MOVING REFERENCE global|local [GRID_PX]

Prints {"matrix": 3x3, moving px to reference px, or null where it refuses, "points": tie points used}. "global" is one
shift; "local" a grid of tie points every 200 px (or GRID_PX), through those of which that its filters leave an affine
is laid by RANSAC at 0.5 px (its own output is a rubber sheet; a wrong point or two among them would spoil plain least
squares).
AROSICS needs GDAL's Python bindings: on Debian and Ubuntu `apt-get install python3-gdal libgdal-dev`, then
`/usr/bin/python3 -m venv --system-site-packages VENV` and
`VENV/bin/pip install arosics 'numpy<2' "gdal==$(gdal-config --version)"` (unpinned, pip fails at a newer gdal).
"""

from __future__ import annotations

import json
import sys

import numpy as np

GRID_PX, WINDOW_PX, FARTHEST_PX = 200, (256, 256), 60


def global_shift(moving: str, reference: str) -> tuple[np.ndarray | None, int]:
    from arosics import COREG

    found = COREG(reference, moving, max_shift=FARTHEST_PX, ws=WINDOW_PX, CPUs=1, progress=False, q=True)
    try:
        found.calculate_spatial_shifts()
    except RuntimeError as error:  # "No match found in the given window."
        print(error, file=sys.stderr)
        return None, 0
    x, y = found.x_shift_px, found.y_shift_px
    return np.array([[1.0, 0.0, x], [0.0, 1.0, y], [0.0, 0.0, 1.0]]), 1


def local_grid(moving: str, reference: str, grid_px: int = GRID_PX) -> tuple[np.ndarray | None, int]:
    from arosics import COREG_LOCAL
    from skimage.measure import ransac
    from skimage.transform import AffineTransform

    found = COREG_LOCAL(
        reference,
        moving,
        grid_px,
        window_size=WINDOW_PX,
        max_shift=FARTHEST_PX,
        CPUs=1,
        progress=False,
        q=True,
    )
    table = found.CoRegPoints_table
    good = table[(table.X_SHIFT_PX != -9999) & ~table.OUTLIER.astype(bool)]
    at = good[["X_IM", "Y_IM"]].to_numpy(float)
    to = at + good[["X_SHIFT_PX", "Y_SHIFT_PX"]].to_numpy(float)
    if len(good) < 4:
        return None, len(good)
    model, kept = ransac((at, to), AffineTransform, 3, 0.5, max_trials=1000, rng=0)
    return model.params, int(kept.sum())


def main() -> None:
    moving, reference, how, *grid_px = sys.argv[1:]
    find = global_shift if how == "global" else local_grid
    matrix, points = find(moving, reference, *map(int, grid_px))
    print(json.dumps({"matrix": None if matrix is None else matrix.tolist(), "points": points}))


if __name__ == "__main__":
    main()
