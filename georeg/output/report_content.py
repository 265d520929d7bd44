"""What a report shows: a registration and the few small pictures of it, as plain arrays.

Everything here is already in memory; reading it from the scenes is `georeg.output.report`'s work, turning it
into a page is `georeg.output.report_page`'s.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from georeg.result import Registration

Image = npt.NDArray[np.uint8]
"""(H, W) grey, (H, W, 3) colour, or (H, W, 4) with an alpha band that is 0 where the image has no ground."""


@dataclass(frozen=True)
class Window:
    """A rectangle of the reference, in its pixels; may reach beyond the image."""

    col: float
    row: float
    width: float
    height: float


@dataclass(frozen=True)
class View:
    """One place, seen by the reference and by the moving image before and after registration.

    Attributes:
        label: a few words for the button that shows it.
        window: which part of the reference it is.
        reference: the reference's pixels.
        before: the moving pixels placed by the file's own geocoding; None where it places nothing here.
        after: the moving pixels placed by the registration; None where there is no transform.
    """

    label: str
    window: Window
    reference: Image
    before: Image | None
    after: Image | None


@dataclass(frozen=True)
class ReportContent:
    """All that the page is made of.

    Attributes:
        registration: the result that is reported.
        views: the whole overlap first, then details at full resolution.
    """

    registration: Registration
    views: tuple[View, ...]

    @property
    def overview(self) -> View:
        return self.views[0]
