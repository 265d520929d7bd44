"""The report's pictures: read from real files, and each pixel shows the place it should."""

from dataclasses import replace

import numpy as np
import pytest

from georeg.errors import InputError
from georeg.geometry.pixelmap import PixelMap
from georeg.geometry.transforms import MatrixTransform, fit_transform
from georeg.output import write_report
from georeg.output.report import (
    detail_windows,
    overlap_window,
    read_image,
    report_content,
    stretched,
)
from georeg.output.report_content import Window
from georeg.output.report_page import report_html
from georeg.raster import open_scene
from georeg.raster.geocoding import GeocodingPrior
from georeg.result import Quality, Registration, Tie
from georeg.scene import Grid, Scene


def registration_of(moving, reference, transform, moving_xy, reference_xy) -> Registration:
    count = len(moving_xy)
    residual = reference_xy - transform(moving_xy)
    check = np.arange(count) % 5 == 0
    tie = Tie(moving_xy, reference_xy, np.ones(count), ~check, check, residual)
    quality = Quality("pass", (), 0.99, 0.3, 0.3, 0.5, 2.5, 0.9, count, int(tie.inlier.sum()))
    return Registration(moving, reference, transform, tie, quality)


@pytest.fixture
def sample(sample_pair) -> Registration:
    """The sample pair registered by its truth, as a correction to the files' wrong geocoding."""
    moving, reference = open_scene(sample_pair.moving), open_scene(sample_pair.reference)
    prior = GeocodingPrior.between(moving, reference)
    correction = fit_transform("affine", prior(sample_pair.moving_xy), sample_pair.reference_xy)
    transform = PixelMap(correction, prior, moving.grid)
    return registration_of(moving, reference, transform, sample_pair.moving_xy, sample_pair.reference_xy)


def test_report_of_the_sample_pair(sample, tmp_path):
    path = write_report(sample, tmp_path / "report.html")
    html = path.read_text("utf-8")
    assert list(tmp_path.iterdir()) == [path]
    assert len(html) < 1_500_000
    assert html.count('src="data:image/webp;base64,') == 3
    assert "26.3 m" not in html
    assert "m west" in html


def test_pictures_after_registration_agree_better_than_before(sample):
    view = report_content(sample, read_image).overview
    covered = (view.before[..., 3] > 0) & (view.after[..., 3] > 0)
    assert covered.mean() > 0.4
    edges = [
        np.hypot(*np.gradient(blurred(image[..., :3].mean(-1))))
        for image in (view.reference, view.before, view.after)
    ]
    before, after = (np.corrcoef(edges[0][covered], other[covered])[0, 1] for other in edges[1:])
    assert after > before + 0.05


def blurred(image: np.ndarray) -> np.ndarray:
    import cv2

    return cv2.GaussianBlur(image.astype(float), (0, 0), 3)


def scene(width: int, height: int) -> Scene:
    return Scene("nowhere.tif", Grid(width, height), 1, "uint8")


def positions(scene: Scene, out_to_scene, shape):
    """A reader of pictures whose red and green are the scene's own column and row, in 1/250 of its size."""
    rows, cols = np.mgrid[: shape[0], : shape[1]] + 0.5
    x, y = out_to_scene(np.stack([cols.ravel(), rows.ravel()], 1)).T.reshape(2, *shape)
    inside = (x >= 0) & (x <= scene.grid.width) & (y >= 0) & (y <= scene.grid.height)
    red, green = 250 * x / scene.grid.width, 250 * y / scene.grid.height
    return np.dstack([red, green, 0 * red, 255 * inside]).round().clip(0, 255).astype(np.uint8)


def large(transform=None) -> Registration:
    """4,000 x 3,000 px moving on 5,000 x 5,000 px reference, no geocoding; by default 500 right, 1,000 down."""
    moving, reference = scene(4000, 3000), scene(5000, 5000)
    matrix = np.array([[1, 0, 500.0], [0, 1, 1000.0], [0, 0, 1]])
    transform = transform or PixelMap(MatrixTransform("shift", matrix), None, moving.grid)
    points = np.random.default_rng(1).uniform((50, 50), (3950, 2950), (60, 2))
    return registration_of(moving, reference, transform, points, transform(points))


def test_every_picture_shows_the_place_it_should():
    content = report_content(large(), positions)
    assert [view.label for view in content.views] == ["Whole overlap", "Detail 1", "Detail 2", "Detail 3"]
    for view in content.views:
        rows, cols = np.nonzero(view.after[..., 3])
        middle = np.hypot(rows - rows.mean(), cols - cols.mean()).argsort()[: len(rows) // 2]
        rows, cols = rows[middle], cols[middle]
        step = view.window.width / view.reference.shape[1]
        x, y = view.window.col + (cols + 0.5) * step, view.window.row + (rows + 0.5) * step
        assert np.abs(view.reference[rows, cols, 0] - x / 20).max() < 0.6
        assert np.abs(view.reference[rows, cols, 1] - y / 20).max() < 0.6
        # one step of the moving picture's values is 16 px across and 12 px down
        assert np.abs(view.after[rows, cols, 0] - (x - 500) / 16).max() < 1.1
        assert np.abs(view.after[rows, cols, 1] - (y - 1000) / 12).max() < 1.1


def test_moving_image_is_read_once_for_the_overview():
    asked = []

    def read(scene, out_to_scene, shape):
        asked.append((scene.grid.width, shape))
        return positions(scene, out_to_scene, shape)

    report_content(large(), read)
    overview = [shape for width, shape in asked[:2] if width == 4000]
    assert len(overview) == 1
    assert max(overview[0]) <= 1400


def test_window_is_the_overlap_with_a_margin():
    window = overlap_window(large(), large().transform)
    assert window.col == pytest.approx(500 - 80)
    assert window.row == pytest.approx(1000 - 60)
    assert (window.width, window.height) == (pytest.approx(4160), pytest.approx(3120))


def test_details_lie_in_the_window_and_apart():
    registration = large()
    window = overlap_window(registration, registration.transform)
    details = list(detail_windows(registration, window))
    assert len(details) == 3
    for one in details:
        assert window.col - 1 <= one.col <= window.col + window.width - one.width
        assert window.row - 1 <= one.row <= window.row + window.height - one.height
    corners = np.array([[one.col, one.row] for one in details])
    assert min(np.linalg.norm(corners[i] - corners[j]) for i, j in ((0, 1), (0, 2), (1, 2))) > 800


def test_small_overlap_needs_no_details():
    assert list(detail_windows(large(), Window(0, 0, 1200, 900))) == []


def test_wild_transform_is_shown_without_a_crash():
    registration = large()
    matrix = np.array([[1, 0, 0.0], [0, 1, 0.0], [1e-3, 0, -1.0]])
    wild = PixelMap(MatrixTransform("homography", matrix), None, registration.moving.grid)
    content = report_content(replace(registration, transform=wild), positions)
    assert content.overview.reference.shape[2] == 3
    assert "No transform was found." not in report_html(content)


def test_no_overlap_before_leaves_the_picture_out():
    moving = scene(4000, 3000)
    registration = replace(large(), transform=None, moving=replace(moving, grid=Grid(4000, 3000)))
    nothing = lambda one, where, shape: np.zeros((*shape, 4), np.uint8)  # noqa: E731
    content = report_content(registration, nothing)
    assert content.overview.before is None
    assert content.overview.after is None


def test_vanished_scene_is_an_input_error_and_leaves_no_file(sample, tmp_path):
    gone = replace(sample, moving=replace(sample.moving, path=str(tmp_path / "gone.tif")))
    with pytest.raises(InputError):
        write_report(gone, tmp_path / "report.html")
    assert list(tmp_path.iterdir()) == []


def test_stretch_ignores_invalid_pixels():
    pixels = np.linspace(100, 200, 101, dtype=np.float32)[None, :, None]
    valid = np.ones((1, 101), bool)
    pixels[0, 0], valid[0, 0] = 1e6, False
    out = stretched(pixels, valid)[0, 1:, 0]
    assert out[0] == 0
    assert out[-1] == 255
    assert (np.diff(out.astype(int)) >= 0).all()
