"""The report: one HTML file that stands alone and says the truth about a registration."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest

from georeg.geometry.pixelmap import PixelMap
from georeg.geometry.transforms import MatrixTransform
from georeg.output.report_content import ReportContent, View, Window
from georeg.output.report_motion import describe_motion
from georeg.output.report_page import report_html
from georeg.output.report_plots import kinds, tie_plot
from georeg.output.report_words import number, share
from georeg.result import Quality, Registration, Tie, TileRecord
from georeg.scene import Grid, Modality, Scene

UTM = (
    'PROJCS["WGS 84 / UTM zone 32N",'
    'GEOGCS["WGS 84",DATUM["WGS_1984",SPHEROID["WGS 84",6378137,298.257223563]],'
    'PRIMEM["Greenwich",0],UNIT["degree",0.0174532925199433]],PROJECTION["Transverse_Mercator"],'
    'PARAMETER["latitude_of_origin",0],PARAMETER["central_meridian",9],PARAMETER["scale_factor",0.9996],'
    'PARAMETER["false_easting",500000],PARAMETER["false_northing",0],UNIT["metre",1],AUTHORITY["EPSG","32632"]]'
)


def scene(path: str, width: int = 1200, height: int = 900, **fields) -> Scene:
    grid = Grid(width, height, (10.0, 0.0, 500_000.0, 0.0, -10.0, 5_300_000.0), UTM)
    return Scene(path, grid, 1, "uint16", geocoding="geotransform", gsd_m=10.0, **fields)


def transform(moving: Scene) -> PixelMap:
    """A correction by (12.4, -7.2) px with a rotation of 0.2 degrees around the origin."""
    turn = np.radians(0.2)
    matrix = np.array([[np.cos(turn), -np.sin(turn), 12.4], [np.sin(turn), np.cos(turn), -7.2], [0, 0, 1]])
    return PixelMap(MatrixTransform("affine", matrix), MatrixTransform.identity(), moving.grid)


def tie_points(pixel_map: PixelMap, count: int = 420, noise_px: float = 0.35) -> Tie:
    """Points with Gaussian residuals; one in seven is a check point, one in ten an outlier."""
    rng = np.random.default_rng(5)
    moving_xy = rng.uniform((20, 20), (1150, 860), (count, 2))
    mapped = pixel_map(moving_xy)
    residual = rng.normal(0.0, noise_px, (count, 2))
    outlier = rng.random(count) < 0.1
    residual[outlier] += rng.uniform(-40, 40, (outlier.sum(), 2))
    check = (np.arange(count) % 7 == 0) & ~outlier
    return Tie(moving_xy, mapped + residual, rng.random(count), ~outlier & ~check, check, residual)


def passed(**fields) -> Registration:
    """A registration that went well."""
    moving = scene("/data/S1A_IW_GRDH_20240612.tif", modality=Modality.SAR, modality_given=True)
    pixel_map = transform(moving)
    tie = tie_points(pixel_map)
    quality = Quality("pass", (), 0.997, 0.48, 0.51, 0.74, 7.4, 0.86, 420, int(tie.inlier.sum()))
    rng = np.random.default_rng(2)
    tiles = tuple(
        TileRecord(col, row, 240, 220, int(n) + 9, int(n))
        for (col, row), n in zip(
            [(c, r) for c in range(0, 1200, 240) for r in range(0, 880, 220) if (c // 240 + r // 220) % 3],
            rng.integers(-8, 70, 20).clip(0),
            strict=False,
        )
    )
    run = {
        "version": "0.1.0",
        "matcher": "network",
        "weights": "base-1",
        "weights_sha256": "ab" * 32,
        "seed": 0,
        "device": "cpu",
        "tiles_used": len(tiles),
        "seconds": {"preflight": 0.12, "overview": 1.9, "tiles": 7.31, "fit": 0.4, "write": 1.22},
        "options": {"transform": "auto", "prior": "auto", "exhaustive": False, "mask": None, "bands": (1,)},
    }
    values = {
        "moving": moving,
        "reference": scene("/data/S2B_T32UQD_20240610_B04.jp2"),
        "transform": pixel_map,
        "tie": tie,
        "quality": quality,
        "tiles": tiles,
        "run": run,
    }
    return Registration(**(values | fields))


def failed(**fields) -> Registration:
    """A registration that found nothing at all."""
    none = np.zeros((0, 2))
    tie = Tie(none, none, np.zeros(0), np.zeros(0, bool), np.zeros(0, bool), none)
    reasons = ("12 matches found, 20 needed to fit a transform.", "They lie in one corner of the overlap.")
    quality = Quality("fail", reasons, 0.004, None, None, None, None, 0.0, 0, 0)
    return passed(**({"transform": None, "tie": tie, "quality": quality, "tiles": ()} | fields))


def pictures(registration: Registration, side: int = 200) -> ReportContent:
    """The registration with pictures of a checkered ground, before and after."""
    rows, cols = np.mgrid[0 : side * 3 // 4, 0:side]
    ground = (96 + 100 * ((rows // 16 + cols // 16) % 2)).astype(np.uint8)
    shifted = np.roll(ground, (5, 9), (0, 1))
    after = None if registration.transform is None else with_alpha(ground[::-1, ::-1])
    whole = View("Whole overlap", Window(0, 0, 1200, 900), ground, with_alpha(shifted), after)
    detail = View("Detail 1", Window(300.0, 200.0, side, side * 0.75), ground, None, after)
    return ReportContent(registration, (whole, detail))


def with_alpha(grey: np.ndarray) -> np.ndarray:
    """(H, W, 4) with the left tenth showing no ground."""
    alpha = np.full(grey.shape, 255, np.uint8)
    alpha[:, : grey.shape[1] // 10] = 0
    return np.dstack([grey, grey, grey, alpha])


class Page(HTMLParser):
    """What a parser finds: open tags left over, ids, addresses and text."""

    VOID = frozenset({"meta", "img", "input", "br", "link", "hr"})

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open, self.ids, self.addresses, self.words = [], [], [], []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        if tag not in self.VOID:
            self.open.append(tag)
        for name, value in attrs:
            if name == "id":
                self.ids.append(value)
            if name in ("src", "href", "action", "data", "srcset"):
                self.addresses.append(value)

    def handle_startendtag(self, tag, attrs):
        pass

    def handle_endtag(self, tag):
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag, f"</{tag}> closes another element"

    def handle_data(self, data):
        if not self.open or self.open[-1] not in ("style", "script"):
            self.words.append(" ".join(data.split()))

    @property
    def text(self) -> str:
        return " ".join(word for word in self.words if word)


@pytest.fixture(scope="module")
def page() -> str:
    return report_html(pictures(passed()))


SECTIONS = ("figures", "look", "ties", "residuals", "coverage", "transform", "scenes", "run")


def test_page_is_well_formed_and_has_every_section(page):
    parsed = Page(page)
    assert parsed.open == []
    assert len(parsed.ids) == len(set(parsed.ids))
    assert set(SECTIONS) <= set(parsed.ids)


def test_page_asks_the_network_for_nothing(page):
    parsed = Page(page)
    assert parsed.addresses
    assert all(address.startswith("data:image/") for address in parsed.addresses)
    assert not re.search(r"""(?:https?:)?//[\w.-]+\.\w+/|@import|\bfetch\(|XMLHttpRequest""", page)


def test_figures_are_said_in_metres_and_pixels(page):
    text = Page(page).text
    assert (
        "Nine in ten check points lie within 7.4 m (0.74 px of the reference) of where they belong." in text
    )
    assert "7.4 m 0.74 px" in text
    assert "5.1 m 0.51 px" in text
    assert "86 % of the overlap" in text
    assert ">99 % that it is right" in text


def test_without_ground_scale_the_figures_are_in_pixels():
    quality = replace(passed().quality, ce90_m=None)
    bare = replace(passed().reference, grid=Grid(1200, 900), gsd_m=None, geocoding="none")
    text = Page(report_html(pictures(passed(reference=bare, quality=quality)))).text
    assert "lie within 0.74 px of the reference of where they belong." in text
    assert "0.51 px no ground scale known" in text
    assert "east" not in text


def test_transform_is_said_in_words(page):
    text = Page(page).text
    assert "An affine transform" in text
    assert "where its own geocoding puts it" in text
    assert "0.2° clockwise" in text
    assert re.search(r"Shift \d+ m: \d+ m east, [\d.]+ m north \([\d.]+ px: [\d.]+ right, [\d.]+ up\)", text)


def test_scenes_and_run_are_listed(page):
    text = Page(page).text
    for words in (
        "/data/S1A_IW_GRDH_20240612.tif",
        "1,200 × 900 px",
        "radar (SAR) (as given)",
        "optical (inferred by georeg)",
        "WGS 84 / UTM zone 32N (EPSG:32632)",
        "10 m on the ground",
        "overview 1.9 s",
        "Weights sha256 " + "ab" * 32,
        "exhaustive no",
    ):
        assert words in text, words


def test_file_names_and_reasons_are_escaped():
    moving = replace(passed().moving, path='/data/<img src=x onerror="alert(1)">&.tif')
    quality = replace(passed().quality, verdict="warn", reasons=("<b>bold</b> --mask",))
    html = report_html(pictures(passed(moving=moving, quality=quality)))
    assert "<img src=x" not in html
    assert "<b>bold" not in html
    assert "&lt;img src=x onerror=&#34;alert(1)&#34;&gt;&amp;.tif" in html
    assert "<code>--mask</code>" in html


def test_failure_says_why_and_what_to_try():
    text = Page(report_html(pictures(failed()))).text
    assert "Not registered" in text
    assert "Why 12 matches found, 20 needed to fit a transform." in text
    assert (
        "What to try Say what kind of images these are: --reference-modality (optical was inferred)." in text
    )
    assert "--search-radius METRES" in text
    assert "No transform was found." in text
    assert "No matches were found" in text
    assert "No tile was matched" in text
    assert "--keep-failed" not in text, "there is nothing to keep"


def test_rejected_transform_is_still_shown():
    quality = replace(
        passed().quality, verdict="fail", reasons=("Only 11 of 420 matches agree, 20 are needed.",)
    )
    html = report_html(pictures(passed(quality=quality)))
    assert "After (rejected)" in html
    assert 'class="after"' in html
    assert "--keep-failed" in html


def test_page_is_the_same_every_time(page):
    assert report_html(pictures(passed())) == page


def test_large_noisy_pictures_stay_within_the_budget():
    noise = np.random.default_rng(0).integers(0, 256, (1000, 1000), dtype=np.uint8)
    whole = View("Whole overlap", Window(0, 0, 1200, 900), noise, with_alpha(noise), with_alpha(noise))
    detail = View("Detail 1", Window(0, 0, 300, 300), noise[:300, :300], None, with_alpha(noise[:300, :300]))
    html = report_html(ReportContent(passed(), (whole, detail)))
    assert len(html.encode()) < 3_000_000


def test_tie_points_are_drawn_by_kind_and_counted():
    registration = passed()
    plot = tie_plot(registration, Window(0, 0, 1200, 900))
    counts = {kind: mask.sum() for kind, mask in kinds(registration).items()}
    assert sum(counts.values()) == 420
    assert plot.total == counts
    assert plot.marks["inlier"].count("h0") == plot.shown["inlier"]
    assert plot.marks["check"].count("z") == plot.shown["check"]
    assert plot.arrows["outlier"] == ""


def test_inliers_that_are_check_points_in_turn_are_called_inliers():
    tie = passed().tie
    in_turn = passed(tie=replace(tie, inlier=tie.inlier | tie.check, check=tie.inlier | tie.check))
    assert kinds(in_turn)["inlier"].sum() == (tie.inlier | tie.check).sum()
    assert not kinds(in_turn)["check"].any()
    text = Page(report_html(pictures(in_turn))).text
    assert "over 367 check points: the tie points, each left out of the fit in its turn." in text
    assert "check points 3" not in text


def test_image_of_a_series_is_told_by_its_registrations():
    none = failed().tie
    quality = replace(passed().quality, matches=4, inliers=3)
    run = {"version": "0.1.0", "series": "joint", "loop_closure_px": 0.3}
    text = Page(report_html(pictures(passed(tie=none, quality=quality, tiles=(), run=run)))).text
    assert "agree with its place within 7.4 m" in text
    assert "Registrations 3 of 4 to other images" in text
    assert "Loop closure 3 m 0.3 px" in text
    assert "reports lie in the folder neighbours" in text
    assert "No tile was matched" not in text


def test_arrow_runs_to_where_the_transform_puts_the_point():
    none = np.zeros((1, 2))
    flags = np.array([True])
    # the transform puts the point 3 px right of and 1 px above the reference's point
    tie = Tie(none, np.array([[100.0, 50.0]]), np.ones(1), flags, ~flags, np.array([[-3.0, 1.0]]))
    plot = tie_plot(passed(tie=tie), Window(0, 0, 1000, 500))
    start_x, start_y, tip_x, tip_y = map(
        float, re.match(r"M(\S+) (\S+)L(\S+) (\S+?)m", plot.arrows["inlier"]).groups()
    )
    assert (start_x, start_y) == (100.0, 50.0)
    assert tip_x - start_x == pytest.approx(3 * plot.magnification, abs=0.11)
    assert tip_y - start_y == pytest.approx(-1 * plot.magnification, abs=0.11)
    assert plot.legend_units == pytest.approx(plot.legend_px * plot.magnification)


def test_motion_is_measured_in_the_right_direction():
    moving = scene("m.tif")
    shift = PixelMap(
        MatrixTransform("shift", np.array([[1, 0, 3.0], [0, 1, 4.0], [0, 0, 1]])),
        MatrixTransform.identity(),
        moving.grid,
    )
    motion = describe_motion(passed(moving=moving, transform=shift))
    assert motion.shift_px == pytest.approx((3.0, 4.0))
    assert motion.shift_m == pytest.approx((30.0, -40.0))
    assert motion.rotation_deg == pytest.approx(0.0, abs=1e-9)
    assert (motion.scale_x, motion.scale_y) == pytest.approx((1.0, 1.0))
    assert not motion.mirrored


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (0.7401, "0.74"),
        (12.34, "12.3"),
        (10_980.4, "10,980"),
        (0.0, "0"),
        (7.0, "7"),
        (50.0, "50"),
        (np.inf, "–"),
    ],
)
def test_numbers_are_short(value, words):
    assert number(value) == words


@pytest.mark.parametrize(("value", "words"), [(1.0, ">99 %"), (0.87, "87 %"), (0.0, "<1 %")])
def test_probability_never_claims_certainty(value, words):
    assert share(value) == words
