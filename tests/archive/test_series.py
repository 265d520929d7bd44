"""Time series with known truth: the joint solution beats the chain on real files, and what is off is outvoted."""

import json
from pathlib import Path

import numpy as np
import pytest
import rasterio
from fake_delivery import Here
from rasterio.transform import Affine

from georeg.archive.batch import Batch
from georeg.archive.series import Series, run_series
from georeg.archive.shards import Shard
from georeg.errors import NotRegistrableError, UsageError
from georeg.geometry.pixelmap import PixelMap
from georeg.geometry.transforms import MatrixTransform
from georeg.raster import GeocodingPrior, open_scene
from georeg.registration.deliver import write_registration
from georeg.result import Quality, Registration, Tie

COUNT, SIZE, GSD = 9, 120, 10.0
ORIGIN = Affine(GSD, 0, 500_000, 0, -GSD, 5_300_000)


def true_offset_px(number: int) -> np.ndarray:
    """By how many pixels the geocoding of an image is wrong; the first one's is right."""
    return np.zeros(2) if number == 0 else np.random.default_rng(number).normal(0, 4.0, 2)


@pytest.fixture
def images(tmp_path) -> list[str]:
    """Nine images of the same ground, with geocodings that are off by a few pixels each."""
    rng = np.random.default_rng(0)
    ground = rng.integers(1, 255, (SIZE, SIZE), dtype=np.uint8)
    paths = []
    for number in range(COUNT):
        path = tmp_path / f"image{number}.tif"
        dx, dy = true_offset_px(number)
        profile = {
            "driver": "GTiff",
            "width": SIZE,
            "height": SIZE,
            "count": 1,
            "dtype": "uint8",
            "crs": "EPSG:32632",
        }
        with rasterio.open(path, "w", transform=ORIGIN * Affine.translation(dx, dy), **profile) as dataset:
            dataset.write(ground, 1)
        paths.append(str(path))
    return paths


class Registrar:
    """Registers by the truth, off by a random shift as a whole; `wrong` pairs by 20 px, `missing` ones not at all."""

    def __init__(self, sigma_px=0.5, wrong=(), missing=()):
        self.sigma_px, self.wrong, self.missing = sigma_px, wrong, missing

    def __call__(self, moving, reference, targets, match, output):
        i, j = (int(Path(path).stem.removeprefix("image")) for path in (moving, reference))
        if (i, j) in self.missing:
            raise NotRegistrableError("no matches")
        scenes = open_scene(moving), open_scene(reference)
        prior = GeocodingPrior.between(*scenes)
        offset = true_offset_px(j) - true_offset_px(i)
        offset = (
            offset + np.random.default_rng([i, j]).normal(0, self.sigma_px, 2) + 20.0 * ((i, j) in self.wrong)
        )
        matrix = np.array([[1, 0, offset[0]], [0, 1, offset[1]], [0, 0, 1]])
        none = np.zeros((0, 2))
        tie = Tie(none, none, np.zeros(0), np.zeros(0, bool), np.zeros(0, bool), none)
        quality = Quality("pass", (), 0.99, 0.5, 0.5, 0.8, 8.0, 1.0, 90, 80)
        transform = PixelMap(MatrixTransform("affine", matrix), prior, scenes[0].grid)
        registration = Registration(*scenes, transform, tie, quality, (), {"version": "0.1.0"})
        write_registration(registration, targets.registration)
        return registration


def run(images, folder, mode, deliver, **more):
    batch = Batch(
        [], folder, wanted=("raster", "registration"), deliver=deliver, weights=lambda match: None, **more
    )
    return run_series(Series(images, None, mode, 3, batch), Here, lambda record, done, total: None)


def errors_px(folder: Path) -> np.ndarray:
    """How far each written raster's transform is from the truth, in pixels."""
    found = []
    for number in range(1, COUNT):
        stored = json.loads((folder / f"image{number}" / "registration.json").read_text())
        matrix = np.array(stored["transform"]["matrix"])
        centre = np.array([SIZE / 2, SIZE / 2, 1.0])
        # all images show the same ground, so each pixel belongs where it is
        found.append(np.linalg.norm((matrix @ centre)[:2] / (matrix @ centre)[2] - centre[:2]))
    return np.array(found)


def test_joint_series_is_closer_to_the_truth_than_a_chain(images, tmp_path):
    chain = run(images, tmp_path / "chain", "chain", Registrar())
    joint = run(images, tmp_path / "joint", "joint", Registrar())
    assert len(chain.neighbours.records) == 8
    assert len(joint.neighbours.records) == 8 + 7 + 6
    assert errors_px(tmp_path / "joint").mean() < 0.75 * errors_px(tmp_path / "chain").mean()
    assert [record.exit_code for record in joint.images.records] == [0] * 8
    loops = joint.solution["loop_closure_px"]
    assert loops["loops"] == 7 + 2 * 6
    assert joint.images.records[3].probability_correct == 0.999
    ends = chain.images.records[0], chain.images.records[-1]
    assert [one.probability_correct for one in ends] == pytest.approx([0.99, 0.99**8], abs=1e-3)
    # each registration claims a CE90 of 0.8 px: eight in a row are less exact, three that agree are more
    assert [one.ce90_px for one in ends] == pytest.approx([0.8, 0.8 * 8**0.5], abs=1e-3)
    assert joint.images.records[-1].ce90_px < 0.6 * ends[1].ce90_px
    assert {one.verdict for one in chain.images.records} == {"pass"}
    assert 0.3 < loops["median"] < 2.5
    assert (tmp_path / "joint" / "index.html").exists()
    with rasterio.open(tmp_path / "joint" / "image4" / "image4.tif") as dataset:
        assert dataset.crs.to_epsg() == 32632


def test_a_wrong_registration_is_outvoted(images, tmp_path):
    result = run(images, tmp_path / "out", "joint", Registrar(0.1, wrong={(5, 4)}))
    assert errors_px(tmp_path / "out").max() < 0.5
    entry = next(one for one in result.solution["registrations"] if one["residual_px"] > 5)
    assert (Path(entry["moving"]).stem, Path(entry["reference"]).stem) == ("image5", "image4")
    assert entry["weight"] < 0.05
    assert result.solution["loop_closure_px"]["max"] > 20


def test_an_image_without_registrations_fails_alone(images, tmp_path):
    missing = {(4, 3), (4, 2), (4, 1), (5, 4), (6, 4), (7, 4)}
    result = run(images, tmp_path / "out", "joint", Registrar(0.1, missing=missing))
    codes = {record.name: record.exit_code for record in result.images.records}
    assert codes.pop("image4") == 3
    assert set(codes.values()) == {0}
    assert not (tmp_path / "out" / "image4" / "image4.tif").exists()


def test_nothing_at_all_is_said_plainly(images, tmp_path):
    everything = {(i, j) for i in range(COUNT) for j in range(COUNT)}
    with pytest.raises(NotRegistrableError, match="None of the images"):
        run(images, tmp_path / "out", "chain", Registrar(missing=everything))


def test_series_resumes(images, tmp_path):
    first = run(images, tmp_path / "out", "joint", Registrar())
    again = run(images, tmp_path / "out", "joint", Registrar(), resume=True)
    assert again.neighbours.skipped == len(first.neighbours.records)
    assert again.images.skipped == 8


def test_series_to_a_reference_has_it_as_frame(images, tmp_path):
    batch = Batch(
        [], tmp_path / "out", wanted=("registration",), deliver=Registrar(), weights=lambda match: None
    )
    result = run_series(Series(images[1:], images[0], "joint", 2, batch), Here, lambda *args: None)
    assert result.solution["frame"] == images[0]
    assert len(result.neighbours.records) == 8 + 7 + 6
    assert len(result.images.records) == 8


def test_what_cannot_be_a_series(images, tmp_path):
    with pytest.raises(UsageError, match="two images"):
        run(images[:1], tmp_path / "out", "chain", Registrar())
    with pytest.raises(UsageError, match="--shard"):
        run(images, tmp_path / "out", "chain", Registrar(), shard=Shard(1, 2))
