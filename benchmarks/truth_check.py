"""Holds a benchmark's truth and georeg's answers against a third judge, mutual information of the grey values.

    python benchmarks/truth_check.py BENCHMARK [--group natural] [--ids ID ...] [--matcher hybrid]

Neither the truth nor georeg's matchers use mutual information. For each pair: how far the answer is from the truth;
the mutual information (of grey levels in 32 bins, in thousandths of a bit) where the moving image's corners are moved
along the line from the truth (0) to the answer (1). A clear maximum at one end speaks for that one, a flat curve
for neither. Distances are the mean of the four corners at a reference of 640 px, as everywhere.
"""

from __future__ import annotations

import argparse

import cv2
import numpy as np

from georeg import MatchOptions, register
from georeg.evaluation import Case, read_benchmark
from georeg.geometry.transforms import MatrixTransform
from georeg.scene import FloatArray

BINS = 32
STEPS = (-0.5, -0.25, 0.0, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5)
SMOOTHING_PX = 1.0


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("benchmark")
    parser.add_argument("--group", default="natural")
    parser.add_argument("--ids", nargs="*", help="only these pairs")
    parser.add_argument("--matcher", default="hybrid")
    args = parser.parse_args()
    print("pair, answer from truth |", " ".join(f"{step:6.2f}" for step in STEPS))
    for case in read_benchmark(args.benchmark, args.group):
        if case.truth is not None and (not args.ids or case.id in args.ids):
            print(check(case, args.matcher), flush=True)


def check(case: Case, matcher: str) -> str:
    """One line on one pair."""
    answer = register(case.moving, case.reference, MatchOptions(matcher=matcher, num_threads=1)).transform
    if answer is None:
        return f"{case.id}: no answer"
    width, height = case.moving_size
    corners = np.array([[0, 0], [width, 0], [width, height], [0, height]], float)
    true_xy, answer_xy = MatrixTransform("homography", case.truth)(corners), answer(corners)
    judge = MutualInformation(case, corners, (true_xy, answer_xy))
    along = [judge(true_xy + step * (answer_xy - true_xy)) for step in STEPS]
    values = " ".join(f"{1e3 * value:6.1f}" for value in along)
    apart = np.linalg.norm(answer_xy - true_xy, axis=1).mean() * case.scale
    return f"{case.id:14} {apart:5.1f} px | {values}"


class MutualInformation:
    """Of the reference and the moving image laid over it, as a function of where the moving image's corners lie.

    Both images are smoothed, and only what every one of the `placements` covers counts, so that all values are of
    the same pixels.
    """

    def __init__(self, case: Case, corners: FloatArray, placements: tuple[FloatArray, ...]) -> None:
        self.moving, self.reference = (_grey(path) for path in (case.moving, case.reference))
        self.corners = corners
        full = np.full(self.moving.shape, 255, np.uint8)
        covered = [self._warp(full, xy) == 255 for xy in placements]
        self.mask = cv2.erode(np.logical_and.reduce(covered).astype(np.uint8), np.ones((9, 9))).astype(bool)
        self.levels = _levels(self.reference[self.mask])

    def __call__(self, corners_xy: FloatArray) -> float:
        """Bits, where the corners lie there."""
        seen = _levels(self._warp(self.moving, corners_xy)[self.mask])
        joint = np.bincount(self.levels * BINS + seen, minlength=BINS * BINS).reshape(BINS, BINS) / len(seen)
        apart = joint.sum(1)[:, None] * joint.sum(0)
        some = joint > 0
        return float((joint[some] * np.log2(joint[some] / apart[some])).sum())

    def _warp(self, image: np.ndarray, corners_xy: FloatArray) -> np.ndarray:
        # OpenCV counts from pixel centres.
        matrix = cv2.getPerspectiveTransform(
            (self.corners - 0.5).astype(np.float32), (corners_xy - 0.5).astype(np.float32)
        )
        height, width = self.reference.shape
        return cv2.warpPerspective(image, matrix, (width, height), flags=cv2.INTER_LINEAR)


def _grey(path: str) -> np.ndarray:
    return cv2.GaussianBlur(cv2.imread(path, cv2.IMREAD_GRAYSCALE), (0, 0), SMOOTHING_PX)


def _levels(values: np.ndarray) -> np.ndarray:
    return values.astype(np.int64) * BINS // 256


if __name__ == "__main__":
    main()
