"""Images of a series in their common frame, and the unit of work that writes one with its solved transform."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from georeg.errors import NotRegistrableError
from georeg.geometry.pixelmap import PixelMap
from georeg.geometry.transforms import MatrixTransform
from georeg.output.options import OutputOptions
from georeg.raster import GeocodingPrior, open_scene
from georeg.registration.destinations import Destinations
from georeg.registration.options import MatchOptions
from georeg.result import Quality, Registration, Tie
from georeg.scene import FloatArray, Scene


@dataclass(frozen=True)
class PlacedImage:
    """An image and its first placement in the frame: by the files' geocoding, else pixel on pixel.

    Attributes:
        scene: the image.
        prior: image px -> frame px; None where there is no geocoding to go by.
    """

    scene: Scene
    prior: GeocodingPrior | None

    @property
    def placed_by(self) -> str:
        return "pixels" if self.prior is None else "geocoding"

    def in_frame(self, points_xy: FloatArray) -> FloatArray:
        """Frame pixels (N, 2) of the image's pixels (N, 2)."""
        return points_xy if self.prior is None else self.prior(points_xy)

    @cached_property
    def px_per_frame_px(self) -> float:
        """How many frame pixels one pixel of the image measures, at its centre."""
        centre = np.array([[self.scene.grid.width / 2, self.scene.grid.height / 2]])
        step = self.in_frame(centre + np.array([[1.0, 0.0]])) - self.in_frame(centre)
        length = float(np.linalg.norm(step))
        return length if np.isfinite(length) and length > 0 else 1.0


def place(paths: Sequence[str]) -> list[PlacedImage]:
    """The images of a stack in the frame of its first one."""
    scenes = [open_scene(path) for path in paths]
    first = PlacedImage(scenes[0], None)
    return [first, *(PlacedImage(scene, GeocodingPrior.between(scene, scenes[0])) for scene in scenes[1:])]


@dataclass(frozen=True)
class DeliverSolved:
    """Delivers an image of a series with its transform from series.json; a `Deliver`.

    Attributes:
        solution: path of series.json.
    """

    solution: str

    def __call__(
        self, moving: str, reference: str, targets: Destinations, match: MatchOptions, output: OutputOptions
    ) -> Registration:
        """Write the image and its companions.

        Raises:
            NotRegistrableError: the image is not connected to the frame.
        """
        from georeg.registration.deliver import write_delivery

        registration = solved_registration(
            json.loads(Path(self.solution).read_text("utf-8")), moving, reference
        )
        write_delivery(registration, targets, replace(output, num_threads=match.num_threads))
        return registration


def solved_registration(solution: dict[str, Any], moving: str, frame: str) -> Registration:
    """The registration of one image to the frame, by the solution of its series.

    Raises:
        NotRegistrableError: the image is not connected to the frame.
    """
    number, entry = next((n, one) for n, one in enumerate(solution["images"]) if one["path"] == moving)
    if entry["matrix"] is None:
        raise NotRegistrableError(
            f"{moving} could be registered to none of its neighbours: see neighbours/index.html for why."
        )
    image, reference = open_scene(moving), open_scene(frame)
    prior = GeocodingPrior.between(image, reference) if entry["placed_by"] == "geocoding" else None
    transform = PixelMap(MatrixTransform("affine", np.array(entry["matrix"])), prior, image.grid)
    run = {
        "version": _version(),
        "series": solution["mode"],
        "registrations": entry["registrations"],
        "outvoted": entry["outvoted"],
        "loop_closure_px": solution["loop_closure_px"]["median"],
        "image": number,
    }
    return Registration(image, reference, transform, _no_ties(), _quality(entry, reference), (), run)


def _quality(entry: dict[str, Any], reference: Scene) -> Quality:
    """What the registrations of an image say of its place."""
    residual, ce90_px = entry["residual_px"], entry["ce90_px"]
    trusted = entry["registrations"] - entry["outvoted"]
    reasons = []
    if trusted == 0:
        reasons.append("The other registrations outvote every one of this image.")
    elif entry["doubtful"]:
        reasons.append(
            f"{entry['doubtful']} of the {trusted} registrations that lead to the frame are doubtful."
        )
    elif trusted == 1 and residual is not None:
        reasons.append("Only one registration places this image, so nothing checks it.")
    return Quality(
        verdict="warn" if reasons else "pass",
        reasons=tuple(reasons),
        probability_correct=entry["probability_correct"],
        rmse_px=residual,
        holdout_rmse_px=residual,
        ce90_px=ce90_px,
        ce90_m=None if ce90_px is None or reference.gsd_m is None else ce90_px * reference.gsd_m,
        coverage=1.0,
        matches=entry["registrations"],
        inliers=trusted,
    )


def _no_ties() -> Tie:
    none = np.zeros((0, 2))
    return Tie(none, none, np.zeros(0), np.zeros(0, bool), np.zeros(0, bool), none)


def _version() -> str:
    from georeg import __version__

    return __version__
