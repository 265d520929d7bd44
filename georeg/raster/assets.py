"""Images named by a STAC item: `item.json#B04` is the asset "B04" of that item, on disk or behind http(s)."""

from __future__ import annotations

import json
import mimetypes
import os
import re
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

from georeg.errors import InputError

TIMEOUT_S = 30
PREVIEWS = {"thumbnail", "overview"}
"""Roles of assets that are pictures of the data, not the data."""
_SCHEMES = {"s3://": "/vsis3/", "gs://": "/vsigs/", "az://": "/vsiaz/", "file://": ""}


def asset_path(path: str | os.PathLike[str]) -> str:
    """What GDAL opens for an input: the file of a STAC item's asset, or `path` itself where it names no item.

    Args:
        path: `item.json#asset`; `item.json` alone names its only asset with the role "data", or its only image.

    Raises:
        InputError: the item cannot be read, has no such asset, or has several where none is named.
    """
    path = os.fspath(path)
    item, (location, asset) = named_item(path), split_asset(path)
    if item is None:
        return path
    assets = item["assets"]
    name = asset or _only_asset(assets)
    if name not in assets:
        amiss = f"has no asset {asset!r}" if asset else "leaves open which of its assets is meant"
        raise InputError(f"{location} {amiss}: write {location}#NAME with one of {', '.join(assets)}.")
    return gdal_path(_absolute(str(assets[name]["href"]), location))


def named_item(path: str) -> dict[str, Any] | None:
    """The STAC item of an input `item.json#asset` or `item.json`; None where the input is none.

    Raises:
        InputError: an asset is named, but the item cannot be read.
    """
    location, asset = split_asset(path)
    if not asset and not _is_json(location):
        return None
    try:
        return read_item(location)
    except InputError:
        if asset:
            raise
        return None  # other JSON that GDAL knows, or it will say what is wrong


def split_asset(path: str) -> tuple[str, str]:
    """The item and the name of the asset in `item.json#asset`; ("path", "") for any other path."""
    location, _, asset = path.rpartition("#")
    return (location, asset) if _is_json(location) or _is_web(location) else (path, "")


def read_item(location: str) -> dict[str, Any]:
    """The JSON of a STAC item on disk or behind http(s); it has at least one asset.

    Raises:
        InputError: it cannot be read, or is no item.
    """
    try:
        item = json.loads(_fetched(location) if _is_web(location) else Path(location).read_bytes())
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"The STAC item {location} cannot be read ({reason}): check the path.") from error
    assets = item.get("assets") if isinstance(item, dict) else None
    if not isinstance(assets, dict) or not assets:
        raise InputError(f"{location} is no STAC item: it has no assets.")
    if not all(isinstance(asset, dict) and "href" in asset for asset in assets.values()):
        raise InputError(f"{location} is no whole STAC item: one of its assets has no href.")
    return item


def _fetched(url: str) -> bytes:
    from http.client import HTTPException  # with urllib.request 6 MB, and seldom needed
    from urllib.error import HTTPError
    from urllib.request import urlopen

    try:
        with urlopen(url, timeout=TIMEOUT_S) as answer:
            return bytes(answer.read())
    except HTTPError as error:
        error.close()
        raise
    except HTTPException as error:
        raise OSError(f"{type(error).__name__} {error}".strip()) from error


def gdal_path(href: str) -> str:
    """GDAL's name of a URL: s3://, gs://, az://, http(s):// and file:// are known."""
    for scheme, prefix in _SCHEMES.items():
        if href.startswith(scheme):
            return prefix + href.removeprefix(scheme)
    return "/vsicurl/" + href if _is_web(href) else href


def _only_asset(assets: dict[str, Any]) -> str:
    """The one asset that can be meant where none is named; "" where there are none or several."""
    roles = {name: set(asset.get("roles") or ()) for name, asset in assets.items()}
    images = {name for name, asset in assets.items() if _is_image(asset) and not roles[name] & PREVIEWS}
    data = {name for name in assets if "data" in roles[name]}
    found = (data & images) or data or images
    return found.pop() if len(found) == 1 else ""


def _is_image(asset: dict[str, Any]) -> bool:
    media = asset.get("type") or mimetypes.guess_type(str(asset.get("href")))[0] or ""
    return str(media).startswith("image/")


def _is_json(location: str) -> bool:
    file = location.partition("?")[0] if _is_web(location) else location
    return file.lower().endswith((".json", ".geojson"))


def _is_web(location: str) -> bool:
    return re.match(r"https?://", location) is not None


def _absolute(href: str, location: str) -> str:
    if re.match(r"[a-z0-9]+://", href) or href.startswith("/"):
        return href
    if _is_web(location):
        return urljoin(location, href)
    return os.path.normpath(os.path.join(os.path.dirname(location), href))
