"""The HTML report as text: a pure function of its content, without files, network or clock.

The page stands alone: style, script and pictures are inside it.
"""

from __future__ import annotations

import base64
import io
import re
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

import jinja2
import numpy as np
from markupsafe import Markup, escape
from PIL import Image as Pillow

from georeg.output import report_plots, report_words
from georeg.output.report_content import Image, ReportContent, View

PICTURES_BYTES = 2_000_000
"""Budget of all pictures together, as base64 text; the picture quality is lowered until they fit."""
QUALITIES = (82, 70, 55, 40, 25)
BACKDROP_PX = 640


@dataclass(frozen=True)
class EncodedView:
    """A view whose pictures have become data URIs; `size` is (width, height) in pixels."""

    label: str
    caption: str
    size: tuple[int, int]
    reference: str
    before: str | None
    after: str | None


def report_html(content: ReportContent) -> str:
    """The whole page.

    Args:
        content: the registration and its pictures, at least one view.

    Returns:
        A self-contained HTML document, below about 3 MB.
    """
    room = files("georeg.output")
    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(lambda name: (room / name).read_text("utf-8")),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(number=report_words.number, flags=marked_flags)
    return environment.get_template("report.html").render(**page_values(content))


def page_values(content: ReportContent) -> dict[str, Any]:
    """Every value the template shows."""
    registration = content.registration
    window = content.overview.window
    title, sentence = report_words.headline(registration)
    room = files("georeg.output")
    return {
        "style": (room / "report.css").read_text("utf-8"),
        "script": (room / "report.js").read_text("utf-8"),
        "moving": registration.moving,
        "reference": registration.reference,
        "quality": registration.quality,
        "title": title,
        "sentence": sentence,
        "figures": report_words.figures(registration),
        "advice": report_words.advice(registration),
        "of_series": report_words.of_series(registration),
        "has_transform": registration.transform is not None,
        "views": encoded_views(content.views),
        "backdrop": backdrop(content.overview.reference),
        "tie": report_plots.tie_plot(registration, window),
        "tiles": report_plots.tile_marks(registration.tiles, window),
        "tiles_empty": sum(tile.inliers == 0 for tile in registration.tiles),
        "histogram": report_plots.histogram(registration),
        "scatter": report_plots.scatter(registration),
        "transform": report_words.transform_words(registration),
        "matrix": _matrix(content),
        "scenes": {
            "Moving": report_words.scene_rows(registration.moving),
            "Reference": report_words.scene_rows(registration.reference),
        },
        "run": report_words.run_rows(registration.run),
        "options": {
            name: report_words.plain(value) for name, value in (registration.run.get("options") or {}).items()
        },
        "stages": report_words.stage_seconds(registration.run),
    }


def marked_flags(sentence: str) -> Markup:
    """The sentence escaped, with its command line options in <code>."""
    return Markup(re.sub(r"(?<![\w-])(--[a-z][a-z-]*)", r"<code>\1</code>", str(escape(sentence))))


def _matrix(content: ReportContent) -> list[list[str]]:
    transform = content.registration.transform
    return [] if transform is None else [[f"{value:.8g}" for value in row] for row in transform.matrix]


def encoded_views(views: tuple[View, ...]) -> list[EncodedView]:
    """Pictures as data URIs, in the best quality that keeps the page within its budget."""
    for quality in QUALITIES:
        encoded = [_encoded(view, quality) for view in views]
        if sum(map(_uri_length, encoded)) <= PICTURES_BYTES:
            break
    return encoded


def _encoded(view: View, quality: int) -> EncodedView:
    rows, cols = view.reference.shape[:2]
    return EncodedView(
        label=view.label,
        caption=_caption(view),
        size=(cols, rows),
        reference=image_uri(view.reference, quality),
        before=None if view.before is None else image_uri(view.before, quality),
        after=None if view.after is None else image_uri(view.after, quality),
    )


def _uri_length(view: EncodedView) -> int:
    return sum(len(uri) for uri in (view.reference, view.before, view.after) if uri)


def _caption(view: View) -> str:
    window, cols = view.window, view.reference.shape[1]
    ratio = window.width / cols
    if ratio > 1.05:
        zoom = f"1 picture pixel is {report_words.number(ratio)} reference pixels"
    else:
        zoom = "full resolution" if ratio > 0.95 else f"enlarged {report_words.number(1 / ratio)} times"
    where = f"reference columns {window.col:,.0f} to {window.col + window.width:,.0f}"
    return f"{where}, rows {window.row:,.0f} to {window.row + window.height:,.0f}; {zoom}"


def image_uri(image: Image, quality: int) -> str:
    """A WebP data URI of an (H, W), (H, W, 3) or (H, W, 4) uint8 array."""
    buffer = io.BytesIO()
    Pillow.fromarray(np.ascontiguousarray(image)).save(buffer, "WEBP", quality=quality, method=4)
    return "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


def backdrop(image: Image) -> str:
    """A small, light copy of the reference to draw on."""
    picture = Pillow.fromarray(np.ascontiguousarray(image[..., :3] if image.ndim == 3 else image))
    picture.thumbnail((BACKDROP_PX, BACKDROP_PX))
    return image_uri(np.asarray(picture.convert("L")), 50)
