from dataclasses import replace

import numpy as np
import pytest
import rasterio
from affine import Affine

from georeg.errors import InputError, NotRegistrableError
from georeg.matching.protocol import Correspondences
from georeg.registration import MatchOptions, judge, recipe, register
from georeg.registration.matchers import make_toolkit

from ..rasters import write

STRUCTURAL = MatchOptions(matcher="structural", num_threads=1)


def with_options(**changes):
    return replace(STRUCTURAL, **changes)


def geotiff(path, pixels, transform, **profile):
    return write(path, pixels, crs="EPSG:32632", transform=transform, **profile)


def test_sar_is_registered_to_optical_through_its_geocoding(small_pair):
    seen = []
    found = register(small_pair.moving, small_pair.reference, STRUCTURAL, lambda *step: seen.append(step))
    assert found.quality.verdict == "pass"
    assert small_pair.error_px(found.transform) < 2.0
    assert found.transform.prior is not None
    assert {stage for stage, *_ in seen} == {"overview", "tiles"}
    assert all(done <= total for _, done, total, _ in seen)


def test_sar_is_registered_to_optical_without_any_geocoding(small_pair):
    found = register(small_pair.moving, small_pair.reference, with_options(prior="none"))
    assert found.quality.verdict == "pass"
    assert small_pair.error_px(found.transform) < 2.0
    assert found.transform.prior is None


def test_the_same_seed_gives_the_same_registration(small_pair):
    one, other = (register(small_pair.moving, small_pair.reference, STRUCTURAL) for _ in range(2))
    assert np.array_equal(one.transform.matrix, other.transform.matrix)


def test_tie_points_and_residuals_agree_with_the_transform(small_pair):
    found = register(small_pair.moving, small_pair.reference, STRUCTURAL)
    tie = found.tie
    assert np.allclose(tie.reference_xy - found.transform(tie.moving_xy), tie.residual_px, atol=1e-6)
    assert tie.inlier.sum() == found.quality.inliers
    assert sum(t.inliers for t in found.tiles) >= found.quality.inliers * 0.9


def test_a_quarter_turn_without_geocoding_is_found(small_pair, tmp_path):
    with rasterio.open(small_pair.reference) as source:
        grey = source.read(1)
    turned = np.rot90(grey, 1).copy()
    moving = write(tmp_path / "turned.tif", turned)
    found = register(moving, write(tmp_path / "as_is.tif", grey), STRUCTURAL)
    height, width = grey.shape
    corners = np.array([[0.0, 0.0], [height, 0.0], [height, width], [0.0, width]])
    expected = np.array([[width, 0.0], [width, height], [0.0, height], [0.0, 0.0]])
    assert found.quality.verdict == "pass"
    assert np.abs(found.transform(corners) - expected).max() < 0.6


def test_an_unrelated_image_is_refused(small_pair, simulate, tmp_path):
    elsewhere = simulate(tmp_path / "elsewhere", seed=77, extent_m=2400.0, looks=4)
    with rasterio.open(elsewhere / "sar.tif") as source:
        moving = write(tmp_path / "other.tif", source.read(1))
    found = register(moving, small_pair.reference, STRUCTURAL)
    assert found.quality.verdict == "fail"
    assert found.quality.reasons


def test_scenes_far_apart_are_refused_with_the_distance(tmp_path):
    noise = np.random.default_rng(0).integers(1, 255, (200, 200), np.uint8)
    here = geotiff(tmp_path / "here.tif", noise, Affine(10, 0, 500_000, 0, -10, 5_000_000))
    there = geotiff(tmp_path / "there.tif", noise, Affine(10, 0, 600_000, 0, -10, 5_000_000))
    with pytest.raises(NotRegistrableError, match=r"do not overlap.*km.*--search-radius"):
        register(there, here, STRUCTURAL)


def test_a_constant_image_is_refused(tmp_path, small_pair):
    flat = write(tmp_path / "flat.tif", np.full((200, 200), 7, np.uint8))
    with pytest.raises(NotRegistrableError, match="one single value"):
        register(flat, small_pair.reference, STRUCTURAL)


def test_an_empty_image_is_refused(tmp_path, small_pair):
    empty = write(tmp_path / "empty.tif", np.zeros((200, 200), np.uint8), nodata=0)
    with pytest.raises(InputError, match=r"no valid pixel.*--band"):
        register(empty, small_pair.reference, STRUCTURAL)


def test_a_tiny_image_is_refused(tmp_path, small_pair):
    tiny = write(tmp_path / "tiny.tif", np.eye(3, dtype=np.uint8))
    with pytest.raises(NotRegistrableError, match="3 x 3 pixels"):
        register(tiny, small_pair.reference, STRUCTURAL)


def test_a_prior_that_is_wanted_but_missing_is_refused(tmp_path, small_pair):
    noise = write(tmp_path / "noise.tif", np.random.default_rng(0).integers(1, 255, (200, 200), np.uint8))
    with pytest.raises(NotRegistrableError, match=r"noise\.tif has no usable geocoding"):
        register(noise, small_pair.reference, with_options(prior="geocoding"))


@pytest.mark.parametrize("matcher", ["hybrid", "network"])
def test_the_shipped_network_registers_sar_to_optical(small_pair, matcher):
    found = register(small_pair.moving, small_pair.reference, with_options(matcher=matcher, prior="none"))
    assert found.run["matcher"] == matcher
    assert len(found.run["weights_sha256"]) == 64
    assert matcher == "network" or (
        found.quality.verdict == "pass" and small_pair.error_px(found.transform) < 2.0
    )


def test_auto_is_the_hybrid(small_pair):
    assert (
        register(small_pair.moving, small_pair.reference, with_options(matcher="auto")).run["matcher"]
        == "hybrid"
    )


class Deaf:
    """A matcher that finds nothing, or must not be asked."""

    name, weights_sha256 = "deaf", None

    def __init__(self, may_be_asked):
        self.may_be_asked = may_be_asked

    def match(self, pairs):
        assert self.may_be_asked
        return [Correspondences.empty() for _ in pairs]


def test_a_doubtful_answer_gets_a_second_opinion(small_pair, monkeypatch):
    def toolkit(*given):
        whole = make_toolkit(*given)
        deaf = replace(whole.tiles, matcher=lambda uncertainty_px: Deaf(True))
        return replace(whole, tiles=deaf, second_opinion=whole.tiles)

    monkeypatch.setattr(recipe, "make_toolkit", toolkit)
    found = register(small_pair.moving, small_pair.reference, STRUCTURAL)
    assert found.quality.verdict == "pass"
    assert small_pair.error_px(found.transform) < 2.0
    assert found.run["tiles_used"] > 0


def test_a_sure_answer_needs_no_second_one(small_pair, monkeypatch):
    def toolkit(*given):
        whole = make_toolkit(*given)
        return replace(whole, second_opinion=replace(whole.tiles, matcher=lambda uncertainty_px: Deaf(False)))

    monkeypatch.setattr(recipe, "make_toolkit", toolkit)
    assert register(small_pair.moving, small_pair.reference, STRUCTURAL).quality.verdict == "pass"


def test_matchers_that_agree_are_fitted_together(small_pair, monkeypatch):
    def toolkit(*given):
        whole = make_toolkit(*given)
        return replace(whole, second_opinion=whole.tiles)

    alone = register(small_pair.moving, small_pair.reference, STRUCTURAL)
    monkeypatch.setattr(judge, "PASS_FROM", 2.0)
    monkeypatch.setattr(recipe, "make_toolkit", toolkit)
    found = register(small_pair.moving, small_pair.reference, STRUCTURAL)
    assert (found.quality.verdict, found.run["tiles_used"]) == ("warn", alone.run["tiles_used"])
    assert found.quality.probability_correct == alone.quality.probability_correct
    assert len(found.tiles) == 2 * len(alone.tiles)
    assert 1.5 * len(alone.tie.confidence) < len(found.tie.confidence) <= 2 * len(alone.tie.confidence)
    assert small_pair.error_px(found.transform) < 2.0
