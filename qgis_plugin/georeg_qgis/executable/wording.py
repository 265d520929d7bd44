"""georeg's remedies name options of the command line; in QGIS the same things have other names."""

from __future__ import annotations

import re

MORE = "under More options"
NAMES = {
    "--prior none": f"“Position stored in the files: ignore it” ({MORE})",
    "--prior": f"“Position stored in the files” ({MORE})",
    "--moving-modality": "“Kind” of the image to align",
    "--reference-modality": "“Kind” of the reference",
    "--search-radius": f"“How far the position may be off” ({MORE})",
    "--target-accuracy": f"“Accuracy to stop at” ({MORE})",
    "--transform": "“Transform”",
    "--exhaustive": f"“Match the whole overlap” ({MORE})",
    "--reference-mask": f"“Mask of the reference” ({MORE})",
    "--mask": f"“Mask of the moving image” ({MORE})",
    "--reference-band": f"“Bands of the reference” ({MORE})",
    "--band": f"“Bands of the moving image” ({MORE})",
    "--matcher structural": f"“Matcher: Structural” ({MORE})",
    "--matcher": f"“Matcher” ({MORE})",
    "--keep-failed": f"“Write the image even on fail” ({MORE})",
    "--resolution": f"“Output pixel size” ({MORE})",
    "--bbox": f"“Output extent” ({MORE})",
    "--dst-crs": f"“Output coordinate system” ({MORE})",
    "--dst-nodata": f"“Nodata value of the output” ({MORE})",
    "--output-mode": f"“Form of the result” ({MORE})",
    "--output-grid": f"“Output pixels” ({MORE})",
    "--memory": "memory limit (Settings > Options > GeoReg)",
    "--device cpu": "“Device: cpu” (Settings > Options > GeoReg)",
    "--device": "“Device” (Settings > Options > GeoReg)",
}
VALUES = "optical|sar|infrared|map|elevation|shift|similarity|affine|homography|polynomial2|polynomial3|tps"
BLANKS = "METRES|FILE|SIZE|VALUE|CRS"  # what stands in georeg's sentences for a value of the user's
OPTION = re.compile(rf"({'|'.join(map(re.escape, NAMES))})(?![\w-])(?: (?:({VALUES})|{BLANKS})\b)?")


def in_qgis(sentence: str) -> str:
    """The sentence with the names that things have in QGIS; the hint where they are is given once."""
    renamed = OPTION.sub(_name, sentence)
    first, *rest = renamed.split(f" ({MORE})")
    hinted = f"{first} ({MORE}){''.join(rest)}" if rest else first
    return hinted[:1].upper() + hinted[1:] if re.match(r"[a-z]+[ ,]", hinted) else hinted


def _name(found: re.Match) -> str:
    option, value = found.groups()
    return NAMES[option] + (f": {value}" if value else "")
