"""registration.json there and back: it fits its schema, and what is read maps points as what was written."""

import json
from dataclasses import replace
from importlib import resources

import jsonschema
import numpy as np
import pytest

from georeg.errors import InputError, UsageError
from georeg.geometry.pixelmap import PixelMap
from georeg.geometry.transforms import MatrixTransform, fit_transform
from georeg.raster import GeocodingPrior, open_scene
from georeg.registration.reuse import registration_of
from georeg.registration.stored import parse_registration, read_registration
from georeg.result import Quality, Registration, Tie, plain
from georeg.scene import Grid, Scene

QUALITY = Quality("warn", ("few check points",), 0.8, 0.4, 0.5, float("nan"), None, 0.6, 50, 40)
POINTS = np.array([[0.0, 0], [10.5, 20.25], [300, 7], [150, 310]])
SCHEMA = json.loads(resources.files("georeg").joinpath("registration.schema.json").read_text())


def correction(kind):
    source = np.random.default_rng(1).uniform(0, 400, (60, 2))
    target = source * 1.01 + np.array([5, -3]) + np.sin(source / 90)
    return fit_transform(kind, source, target)


def registration(pair, kind="affine", prior=True):
    moving, reference = open_scene(pair.moving), open_scene(pair.reference)
    before = GeocodingPrior.between(moving, reference) if prior else None
    nothing = np.zeros((0, 2))
    tie = Tie(nothing, nothing, np.zeros(0), np.zeros(0, bool), np.zeros(0, bool), nothing)
    run = {"version": "0.1.0", "seed": 3, "seconds": {"tiles": np.float64(1.5)}, "tiles_used": np.int64(4)}
    return Registration(
        moving, reference, PixelMap(correction(kind), before, moving.grid), tie, QUALITY, (), run
    )


def stored(found):
    return json.dumps(found.to_json(), allow_nan=False)


@pytest.mark.parametrize("prior", [True, False])
@pytest.mark.parametrize(
    "kind", ["shift", "similarity", "affine", "homography", "polynomial2", "polynomial3", "tps"]
)
def test_the_same_points_after_a_round_trip(small_pair, kind, prior):
    found = registration(small_pair, kind, prior)
    text = stored(found)
    jsonschema.validate(json.loads(text), SCHEMA)
    again = parse_registration(text, "it")
    assert np.allclose(again.transform(POINTS), found.transform(POINTS), atol=1e-9)
    assert np.allclose(again.transform.matrix, found.transform.matrix)
    assert again.quality.reasons == ("few check points",)
    assert again.quality.ce90_px is None
    assert (again.run["tiles_used"], again.run["seconds"]) == (4, {"tiles": 1.5})
    assert stored(again) == text


def test_scenes_without_geocoding_and_a_failure(small_pair):
    bare = Scene("a.png", Grid(40, 30), 1, "uint8")
    found = replace(registration(small_pair), moving=bare, reference=bare, transform=None)
    jsonschema.validate(json.loads(stored(found)), SCHEMA)
    again = parse_registration(stored(found), "it")
    assert again.transform is None
    assert again.moving == bare


def test_control_points_are_kept(small_pair):
    gcps = np.array([[0.0, 0, 9, 50], [40, 0, 9.1, 50], [0, 30, 9, 49.9], [40, 30, 9.1, 49.9]])
    moving = Scene("a.tif", Grid(40, 30), 1, "uint8", geocoding="gcps", gcps=gcps)
    again = parse_registration(
        stored(replace(registration(small_pair), moving=moving, transform=None)), "it"
    ).moving
    assert np.array_equal(again.gcps, gcps)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("not json", "holds no JSON"),
        ("[]", "holds no registration"),
        ('{"schema": "other/1"}', "holds no registration"),
    ],
)
def test_anything_else_is_refused_in_words(text, words):
    with pytest.raises(InputError, match=words):
        parse_registration(text, "r.json")


def test_a_registration_with_something_missing_names_it(small_pair):
    content = registration(small_pair).to_json()
    del content["quality"]
    with pytest.raises(InputError, match="quality"):
        parse_registration(json.dumps(content), "r.json")


def test_a_missing_file(tmp_path):
    with pytest.raises(InputError, match=r"no\.json"):
        read_registration(tmp_path / "no.json")


def test_plain_values():
    value = {"a": (np.float32(1.5), np.nan), 3: np.array([[True]]), "p": resources}
    assert plain(value) == {"a": [1.5, None], "3": [[True]], "p": str(resources)}


class TestReuse:
    def test_another_file_of_the_same_size_has_the_same_pixels(self, small_pair):
        found = registration(small_pair)
        again = registration_of(
            replace(found.moving, path="mask.tif", grid=replace(found.moving.grid)), found
        )
        assert again.moving.path == "mask.tif"
        assert np.array_equal(again.transform(POINTS), found.transform(POINTS))

    @pytest.mark.parametrize("prior", [True, False])
    def test_a_coarser_file_is_laid_on_by_its_geocoding(self, small_pair, prior):
        found = registration(small_pair, prior=prior)
        a, b, c, d, e, f = found.moving.grid.geotransform
        grid = replace(
            found.moving.grid, width=168, height=168, geotransform=(2 * a, 2 * b, c, 2 * d, 2 * e, f)
        )
        coarse = registration_of(replace(found.moving, grid=grid), found)
        assert np.allclose(coarse.transform(POINTS / 2), found.transform(POINTS), atol=1e-6)
        assert np.allclose(coarse.transform.inverse(found.transform(POINTS)), POINTS / 2, atol=1e-4)

    def test_another_size_without_geocoding_is_refused(self, small_pair):
        found = registration(small_pair)
        with pytest.raises(UsageError, match="40 x 30"):
            registration_of(Scene("a.png", Grid(40, 30), 1, "uint8"), found)


def test_matrix_transforms_state_their_kind():
    assert MatrixTransform("shift", np.eye(3)).to_json()["kind"] == "shift"
