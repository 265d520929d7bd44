import numpy as np
import pytest

from georeg.geometry.robust import choose_kind, consensus, holdout, refine, spatial_groups
from georeg.geometry.transforms import MATRIX_KINDS, apply_matrix

AFFINE = np.array([[1.02, 0.05, 12.0], [-0.04, 0.97, -8.0], [0, 0, 1]])
HOMOGRAPHY = np.array([[1.02, 0.05, 12.0], [-0.04, 0.97, -8.0], [1.5e-4, -1e-4, 1]])


def points(matrix, outlier_share=0.5, count=200, noise_px=0.4, seed=0):
    rng = np.random.default_rng(seed)
    source = rng.uniform(0, 600, (count, 2))
    target = apply_matrix(matrix, source) + rng.normal(0, noise_px, (count, 2))
    wrong = np.arange(count) < outlier_share * count
    target[wrong] = rng.uniform(0, 600, (wrong.sum(), 2))
    return source, target, ~wrong


@pytest.mark.parametrize(("matrix", "kind"), [(AFFINE, "affine"), (HOMOGRAPHY, "homography")])
@pytest.mark.parametrize("outliers", [0.0, 0.5, 0.8])
def test_consensus_finds_the_true_points(matrix, kind, outliers):
    source, target, true = points(matrix, outliers)
    found = consensus(source, target, 2.0, kind)
    assert found[true].mean() > 0.95
    assert found[~true].sum() <= 4


def test_consensus_is_the_same_for_the_same_seed():
    source, target, _ = points(AFFINE, 0.7)
    assert np.array_equal(consensus(source, target, 2.0, seed=3), consensus(source, target, 2.0, seed=3))


def test_consensus_of_too_few_or_degenerate_points_is_empty():
    line = np.stack([np.arange(20.0), np.zeros(20)], 1)
    assert not consensus(line[:3], line[:3], 2.0).any()
    assert consensus(line, line + 5, 2.0, "homography").sum() in (0, 20)


def test_refine_brings_back_inliers_and_leaves_out_the_rest():
    source, target, true = points(AFFINE, 0.4)
    some = true & (np.arange(len(true)) % 3 == 0)
    fit = refine("affine", source, target, some, 2.0)
    assert fit.inlier[true].mean() > 0.97
    assert np.abs(fit.transform(source[true]) - apply_matrix(AFFINE, source[true])).max() < 0.3


def test_refine_with_too_few_points_says_so():
    source, target, true = points(AFFINE, 0.0, count=2)
    with pytest.raises(ValueError, match="needs 3 points"):
        refine("affine", source, target, true, 2.0)


@pytest.mark.parametrize("independent_px", [0.0, 40.0])
@pytest.mark.parametrize(
    ("matrix", "expected"),
    [
        (np.array([[1, 0, 5.0], [0, 1, 3.0], [0, 0, 1]]), "shift"),
        (np.array([[0.9, -0.3, 5.0], [0.3, 0.9, 3.0], [0, 0, 1]]), "similarity"),
        (AFFINE, "affine"),
        (HOMOGRAPHY, "homography"),
    ],
)
def test_the_simplest_sufficient_kind_is_chosen(matrix, expected, independent_px):
    source, target, _ = points(matrix, 0.0)
    kind, distance = choose_kind(source, target, independent_px=independent_px)
    assert kind == expected
    assert np.median(distance) < 1.0


def test_a_kind_that_extrapolates_badly_loses():
    """With points in two far corners only, no polynomial may be chosen over the affine that made them."""
    rng = np.random.default_rng(1)
    source = np.concatenate([rng.uniform(0, 100, (60, 2)), rng.uniform(900, 1000, (60, 2))])
    target = apply_matrix(AFFINE, source) + rng.normal(0, 0.5, source.shape)
    assert choose_kind(source, target)[0] in ("similarity", "affine")


def wavy_corner(seed, perspective):
    """Tie points along two sides of a scene, with errors that neighbours share."""
    rng = np.random.default_rng(seed)
    sides = ((150, 600), (600, 150))
    source = np.concatenate([rng.uniform((0, 0), side, (150, 2)) for side in sides])
    waves = np.sin(source / 60 + rng.uniform(0, 6, 2)) + np.sin(source[:, ::-1] / 45 + rng.uniform(0, 6, 2))
    target = source / (1 + perspective * source[:, :1]) + 1.5 * waves
    return source, target + rng.normal(0, 0.7, source.shape)


def test_a_perspective_is_found_where_holding_out_hides_it():
    """Without one side, the freer fit extrapolates worse, though the corner between them is ten pixels off."""
    kinds = [
        [choose_kind(*wavy_corner(seed, 3e-5), MATRIX_KINDS, side)[0] for seed in range(12)]
        for side in (0.0, 48.0)
    ]
    assert kinds[1].count("homography") > kinds[0].count("homography")
    assert kinds[1].count("homography") > 6


def test_errors_that_neighbours_share_are_no_perspective():
    kinds = [choose_kind(*wavy_corner(seed, 0.0), MATRIX_KINDS, 48.0)[0] for seed in range(12)]
    assert kinds.count("homography") <= 1


def test_holdout_is_larger_than_the_residuals_of_a_fit_through_all_points():
    source, target, true = points(AFFINE, 0.0, count=24, noise_px=1.0)
    held = holdout("homography", source, target, spatial_groups(target))
    fit = refine("homography", source, target, true, 20.0)
    assert np.mean(held**2) > np.mean(fit.residual_px**2)


def test_groups_are_whole_cells():
    source = np.random.default_rng(0).uniform(0, 400, (500, 2))
    groups = spatial_groups(source)
    cell = (source - source.min(0)) / np.ptp(source, axis=0) * 4
    key = np.minimum(cell.astype(int), 3) @ np.array([1, 4])
    assert all(len(np.unique(groups[key == k])) == 1 for k in np.unique(key))
    assert len(np.unique(groups)) == 5


def test_a_smooth_error_shared_by_neighbours_does_not_buy_parameters():
    """A thousand tie points within four windows' reach are four observations, not a thousand."""
    random = np.random.default_rng(5)
    source = random.uniform(0, 200, (1000, 2))
    bent = source + 5 + 0.5 * np.sin(source / 70) + random.normal(0, 0.3, source.shape)
    assert choose_kind(source, bent, ("shift", "similarity", "affine", "homography"), 96.0)[0] == "shift"
    assert choose_kind(source, bent, ("shift", "similarity", "affine", "homography"))[0] != "shift"


def test_a_large_error_is_explained_however_few_the_observations():
    source = np.random.default_rng(6).uniform(0, 200, (300, 2))
    w = 1 + 5e-4 * source[:, :1]
    kind, _ = choose_kind(source, source / w, ("shift", "similarity", "affine", "homography"), 96.0)
    assert kind == "homography"
