"""The simulated pair is what its truth says, and the committed files are what the script makes."""

import json

import cv2
import numpy as np
import pytest
import rasterio
from rasterio.warp import transform as transform_points


def test_the_stated_geocoding_is_wrong_by_the_stated_amount(sample_pair):
    with rasterio.open(sample_pair.moving) as moving, rasterio.open(sample_pair.reference) as reference:
        xs, ys = moving.transform @ np.array([[moving.width / 2], [moving.height / 2]])
        xs, ys = transform_points(moving.crs, reference.crs, xs, ys)
        stated = np.array(~reference.transform @ (xs[0], ys[0]))
        turn = np.degrees(np.arctan2(moving.transform.d, moving.transform.a))
        centre = np.array([moving.width / 2, moving.height / 2])
    true = sample_pair.reference_xy[np.abs(sample_pair.moving_xy - centre).sum(1).argmin()]
    assert np.linalg.norm(stated - true) * 5 == pytest.approx(np.hypot(37, 22), abs=0.5)
    assert turn == pytest.approx(0.8)


def test_the_homography_goes_through_the_points(sample_pair):
    mapped = cv2.perspectiveTransform(sample_pair.moving_xy[None], sample_pair.matrix)[0]
    assert np.abs(mapped - sample_pair.reference_xy).max() < 0.01


def test_the_two_images_show_the_same_ground_at_the_truth_and_not_elsewhere(sample_pair):
    """Edges agree when the SAR image is laid on the optical one by the truth; 8 px beside it they do not."""
    with rasterio.open(sample_pair.moving) as moving, rasterio.open(sample_pair.reference) as reference:
        sar = np.log1p(moving.read(1).astype(np.float32))
        optical = reference.read().mean(0).astype(np.float32)
    half = np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1]])
    matrix = np.linalg.inv(half) @ sample_pair.matrix @ half
    agreement = []
    for off in (0, 8, 16):
        shift = np.array([[1.0, 0, off], [0, 1, 0], [0, 0, 1]])
        laid = cv2.warpPerspective(sar, shift @ matrix, optical.shape[::-1])
        inside = (slice(200, 650), slice(200, 650))
        agreement.append(np.corrcoef(edges(laid)[inside].ravel(), edges(optical)[inside].ravel())[0, 1])
    assert agreement[0] > 0.1
    assert agreement[0] > 3 * max(np.abs(agreement[1:]))


def edges(image):
    soft = cv2.GaussianBlur(image, (0, 0), 2.5)
    return np.hypot(cv2.Sobel(soft, cv2.CV_32F, 1, 0), cv2.Sobel(soft, cv2.CV_32F, 0, 1))


def test_the_same_seed_makes_the_same_files(simulate, tmp_path, small_pair):
    again = simulate(tmp_path, seed=5, extent_m=2400.0, looks=4)
    for name in (small_pair.moving, small_pair.reference):
        with rasterio.open(name) as one, rasterio.open(again / name.rsplit("/", 1)[1]) as other:
            assert np.array_equal(one.read(), other.read())
            assert one.transform == other.transform


def test_the_committed_truth_is_the_scripts(simulate, tmp_path, sample_pair):
    truth = json.loads((simulate(tmp_path) / "truth.json").read_text())
    assert np.allclose(truth["matrix"], sample_pair.matrix, atol=1e-6)
    with rasterio.open(tmp_path / "optical.tif") as made, rasterio.open(sample_pair.reference) as kept:
        assert np.abs(made.read().astype(int) - kept.read()).mean() < 0.5
