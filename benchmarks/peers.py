"""Scores other methods on a benchmark folder with the very code that `georeg evaluate` uses.

    python benchmarks/peers.py BENCHMARK --matcher sift [--hard | --geocoded | --published] [--predictions DIR]
    python benchmarks/peers.py BENCHMARK --matcher network-alone [--weights FILE] [--side 400]

sift: OpenCV SIFT, ratio test 0.85 with mutual nearest neighbours, MAGSAC++ homography at 3 px.
network-alone: one pass of georeg's network over both images at one scale; its matches, a robust fit at 6 px, and no
    more: no turns, no scales, no second pass, no correlation.
identity: the answer is "they already agree" (for geocoded pairs: what the geocoding says).
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile

import cv2
import numpy as np
import rasterio
import torch
from rasterio.warp import transform as warp_points

from georeg.evaluation import (
    Estimate,
    Estimator,
    evaluate,
    geocoded_cases,
    hard_cases,
    read_benchmark,
    score_line,
    scores_json,
    table_text,
)
from georeg.geometry.transforms import MatrixTransform
from georeg.matching.network import NetworkMatcher
from georeg.matching.protocol import PatchPair
from georeg.raster import SceneReader, open_scene
from georeg.registration.estimate import estimate
from georeg.registration.frames import Frame, Viewer
from georeg.scene import FloatArray

ONE_PASS_INDEPENDENT_PX = 40.0
"""One pass sees whole images in windows smaller than the tiles of the pipeline."""


def sift(moving: str, reference: str) -> Estimate:
    """OpenCV SIFT with MAGSAC++."""
    detector = cv2.SIFT_create(8000, contrastThreshold=0.01)
    points0, words0 = detector.detectAndCompute(read_grey(moving), None)
    points1, words1 = detector.detectAndCompute(read_grey(reference), None)
    if words0 is None or words1 is None or min(len(words0), len(words1)) < 4:
        return Estimate.nothing("too few keypoints")
    pairs = mutual_matches(words0, words1, ratio=0.85)
    moving_xy = np.array([points0[i].pt for i, _ in pairs]).reshape(-1, 2) + 0.5
    reference_xy = np.array([points1[j].pt for _, j in pairs]).reshape(-1, 2) + 0.5
    return fit(moving_xy, reference_xy)


def mutual_matches(words0: np.ndarray, words1: np.ndarray, ratio: float) -> list[tuple[int, int]]:
    """Index pairs that pass the ratio test and are each other's nearest."""
    matcher = cv2.BFMatcher(cv2.NORM_L2)
    forward = [m[0] for m in matcher.knnMatch(words0, words1, 2) if m[0].distance < ratio * m[1].distance]
    back = {m.queryIdx: m.trainIdx for m in matcher.match(words1, words0)}
    return [(m.queryIdx, m.trainIdx) for m in forward if back[m.trainIdx] == m.queryIdx]


def fit(moving_xy: FloatArray, reference_xy: FloatArray) -> Estimate:
    """A homography by MAGSAC++ at 3 px; the matches kept are its inliers."""
    if len(moving_xy) < 4:
        return Estimate.nothing("too few matches")
    matrix, mask = cv2.findHomography(
        moving_xy, reference_xy, cv2.USAC_MAGSAC, 3.0, maxIters=10_000, confidence=0.999999
    )
    if matrix is None:
        return Estimate.nothing("no model")
    keep = mask.ravel().astype(bool)
    return Estimate(matrix, moving_xy[keep], reference_xy[keep])


def identity(moving: str, reference: str) -> Estimate:
    """What the files say by themselves: their geotransforms where both have one, else the same pixel."""
    with rasterio.open(moving) as one, rasterio.open(reference) as other:
        if not (one.crs and other.crs):
            return Estimate(np.eye(3), np.zeros((0, 2)), np.zeros((0, 2)))
        corners = np.array([[0, 0], [one.width, 0], [one.width, one.height], [0, one.height]], float)
        xs, ys = one.transform * corners.T
        xs, ys = warp_points(one.crs, other.crs, list(xs), list(ys))
        target = np.column_stack(~other.transform * np.array([xs, ys]))
    matrix = cv2.getPerspectiveTransform(corners.astype(np.float32), target.astype(np.float32))
    return Estimate(matrix, np.zeros((0, 2)), np.zeros((0, 2)))


def network_alone(weights: str | None, side_px: int) -> Estimator:
    """The network's matches between both images at a long side of `side_px`, and a robust fit to them."""
    torch.set_num_threads(1)
    network = NetworkMatcher(weights)

    def match(moving: str, reference: str) -> Estimate:
        with SceneReader(open_scene(moving)) as first, SceneReader(open_scene(reference)) as second:
            viewer = Viewer(first, second, None)
            frames = [whole(reader, side_px) for reader in (first, second)]
            pair = PatchPair(viewer.source_patch(frames[0]), viewer.reference_patch(frames[1]))
        found = network.match([pair])[0]
        fitted = estimate(found, 6.0, independent_px=ONE_PASS_INDEPENDENT_PX)
        if fitted is None or not isinstance(fitted.fit.transform, MatrixTransform):
            return Estimate.nothing("no model")
        matrix = frames[1].matrix @ fitted.fit.transform.matrix @ np.linalg.inv(frames[0].matrix)
        points, inlier = fitted.points, fitted.fit.inlier
        return Estimate(
            matrix,
            frames[0].to_space(points.moving_xy[inlier]),
            frames[1].to_space(points.reference_xy[inlier]),
        )

    return match


def whole(reader: SceneReader, side_px: int) -> Frame:
    """The whole scene, its longer side `side_px` long."""
    size = np.array([reader.scene.grid.width, reader.scene.grid.height], float)
    return Frame.around(np.zeros(2), size, float(size.max()) / side_px)


def read_grey(path: str) -> np.ndarray:
    """The mean of the bands as uint8, stretched from the 1st to the 99th percentile."""
    with rasterio.open(path) as image:
        pixels = image.read(out_dtype="float32").mean(0)
    low, high = np.percentile(pixels, [1, 99])
    return (np.clip((pixels - low) / max(high - low, 1e-6), 0, 1) * 255).astype(np.uint8)


METHODS = ("identity", "network-alone", "sift")


def method(name: str, weights: str | None, side_px: int) -> Estimator:
    """The method of that name; weights and side are the network's."""
    if name == "network-alone":
        return network_alone(weights, side_px)
    return {"sift": sift, "identity": identity}[name]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("benchmark")
    parser.add_argument("--matcher", choices=METHODS, default="sift")
    parser.add_argument("--group", default="remote-sensing")
    parser.add_argument("--hard", action="store_true")
    parser.add_argument("--geocoded", action="store_true")
    parser.add_argument("--published", action="store_true")
    parser.add_argument("--weights", help="of network-alone: a shipped name or a .safetensors file")
    parser.add_argument(
        "--side", type=int, default=400, help="of network-alone: long side of both images, pixels"
    )
    parser.add_argument("--predictions")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if args.hard:
            cases = hard_cases(args.benchmark, folder, args.group)
        elif args.geocoded:
            cases = geocoded_cases(args.benchmark, folder)
        else:
            cases = read_benchmark(args.benchmark, args.group, args.published)
        scores = evaluate(
            cases,
            method(args.matcher, args.weights, args.side),
            lambda _, item: print(score_line(item), file=sys.stderr),
            args.predictions,
        )
    print(json.dumps(scores_json(scores)) if args.json else table_text(scores))


if __name__ == "__main__":
    main()
