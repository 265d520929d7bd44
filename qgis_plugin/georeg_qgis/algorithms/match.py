"""georeg:match, the main job: align one raster layer to another."""

from __future__ import annotations

from typing import Any

from qgis.core import (
    QgsProcessingException,
    QgsProcessingOutputNumber,
    QgsProcessingOutputString,
    QgsProcessingParameterBand,
    QgsProcessingParameterBoolean,
    QgsProcessingParameterFile,
    QgsProcessingParameterFileDestination,
    QgsProcessingParameterMapLayer,
    QgsProcessingParameterNumber,
    QgsProcessingParameterRasterDestination,
    QgsProcessingParameterRasterLayer,
    QgsProcessingParameterVectorDestination,
    QgsRasterLayer,
)

from ..executable.command import Match
from ..executable.outcome import Outcome
from ..executable.wording import in_qgis
from ..layers import LayerRefused, mask_path, raster_path, refusal, same_source
from ..results import ResidualArrows, StyleLike, layer_style, renamed_output, style_when_loaded
from ..versions import DOUBLE, POINTS, POLYGONS, RASTER
from .base import GeoregAlgorithm
from .choices import MATCHERS, MODALITIES, OUTPUT_MODES, PRIORS, TRANSFORMS
from .output_grid import add_grid_parameters, read_grid

NOT_REGISTRABLE = 3
HELP = """<p>Aligns one image (the <b>moving</b> one) to another (the <b>reference</b>), also when they
come from different sensors: radar to optical, thermal to optical, map to photo, one season to another.</p>
<p>The defaults suit most pairs. The result comes with an accuracy that was measured on held-out points and
a verdict: <b>pass</b>, <b>warn</b> (look at the reasons) or <b>fail</b> (no image is written).</p>
<p>The images may have different coordinate systems and pixel sizes, or none at all. They must be files:
save layers from web services first, or use the GeoReg panel, which offers that.</p>"""


class MatchAlgorithm(GeoregAlgorithm):
    """Parameters of `georeg match`."""

    NAME = "match"
    TITLE = "Align image to reference"
    HELP = HELP

    def __init__(self) -> None:
        super().__init__()
        self._request = Match("", "")
        self._style = None

    def initAlgorithm(self, configuration: dict | None = None) -> None:
        self._add_images()
        self._add_method()
        add_grid_parameters(self)
        self._add_outputs()

    def _add_images(self) -> None:
        self.add(
            QgsProcessingParameterRasterLayer("MOVING", "Image to align (moving)"),
            "This image is moved. It is not changed: the result is a new file.",
        )
        self.add(
            QgsProcessingParameterRasterLayer("REFERENCE", "Reference image"),
            "This image stays where it is.",
        )
        self.add_choice("MOVING_MODALITY", "Kind of the moving image", MODALITIES, "The sensor behind it.")
        self.add_choice("REFERENCE_MODALITY", "Kind of the reference", MODALITIES, "The sensor behind it.")
        self.add_choice(
            "TRANSFORM",
            "Transform",
            TRANSFORMS,
            "Automatic takes the simplest one that the tie points do not contradict.",
        )

    def _add_method(self) -> None:
        for name, label, parent in (
            ("BANDS", "Bands of the moving image to match", "MOVING"),
            ("REFERENCE_BANDS", "Bands of the reference to match", "REFERENCE"),
        ):
            self.add(
                QgsProcessingParameterBand(name, label, None, parent, optional=True, allowMultiple=True),
                "Left empty: georeg chooses. All bands are written in any case.",
                advanced=True,
            )
        self.add_choice("PRIOR", "Position stored in the files", PRIORS, advanced=True)
        self.add(
            _number("SEARCH_RADIUS", "How far the position may be off (metres)"),
            "Left empty: georeg chooses, and searches further where nothing is found.",
            advanced=True,
        )
        self.add(
            _number("TARGET_ACCURACY", "Accuracy to stop at (metres)"),
            "Matching stops once the predicted accuracy is better than this.",
            advanced=True,
        )
        exhaustive = QgsProcessingParameterBoolean("EXHAUSTIVE", "Match the whole overlap (slower)", False)
        self.add(exhaustive, "Otherwise matching stops when more points would not help.", advanced=True)
        self._add_masks()
        self.add_choice("MATCHER", "Matcher", MATCHERS, advanced=True)
        weights = QgsProcessingParameterFile(
            "WEIGHTS", "Weights of the network", extension="safetensors", optional=True
        )
        self.add(weights, "Left empty: those that come with georeg.", advanced=True)
        seed = QgsProcessingParameterNumber("SEED", "Random seed", defaultValue=0, minValue=0)
        self.add(seed, "The same seed gives the same result.", advanced=True)

    def _add_masks(self) -> None:
        kinds = [POLYGONS, RASTER]
        for name, label in (
            ("MASK", "Mask of the moving image"),
            ("REFERENCE_MASK", "Mask of the reference"),
        ):
            self.add(
                QgsProcessingParameterMapLayer(name, label, None, optional=True, types=kinds),
                "Polygons, or a raster whose non-zero pixels count: only these parts are matched.",
                advanced=True,
            )

    def _add_outputs(self) -> None:
        self.add_choice(
            "OUTPUT_MODE",
            "Form of the result",
            OUTPUT_MODES,
            "Resampled pixels; or, for affine transforms only, a copy of the pixels with a corrected position; "
            "or a small .vrt file that points at the original.",
            advanced=True,
        )
        keep = QgsProcessingParameterBoolean("KEEP_FAILED", "Write the image even on “fail”", False)
        self.add(keep, "For looking at what went wrong.", advanced=True)
        self.add(QgsProcessingParameterRasterDestination("OUTPUT", "Aligned image"))
        points = QgsProcessingParameterVectorDestination("POINTS", "Tie points", POINTS, optional=True)
        self.add(points, "With arrows that show what error is left at each point, enlarged.")
        for name, label, file_filter, wanted in (
            ("REPORT", "Report", "HTML files (*.html)", True),
            (
                "REGISTRATION",
                "Registration",
                "JSON files (*.json)",
                True,
            ),
            ("GCP_FILE", "Points for the Georeferencer", "Georeferencer points (*.points)", False),
        ):
            self.add(
                QgsProcessingParameterFileDestination(
                    name, label, file_filter, optional=True, createByDefault=wanted
                )
            )
        for name, label in (("VERDICT", "Verdict: pass or warn"), ("REASONS", "Reasons")):
            self.addOutput(QgsProcessingOutputString(name, label))
        for name, label in (
            ("CE90_M", "Accuracy, 90 % within (metres)"),
            ("CE90_PX", "Accuracy, 90 % within (reference pixels)"),
            ("INLIERS", "Tie points used"),
            ("PROBABILITY", "Probability that the registration is right"),
        ):
            self.addOutput(QgsProcessingOutputNumber(name, label))

    def checkParameterValues(self, parameters: dict, context) -> tuple[bool, str]:
        moving = self.parameterAsRasterLayer(parameters, "MOVING", context)
        reference = self.parameterAsRasterLayer(parameters, "REFERENCE", context)
        problem = refusal(moving) or refusal(reference)
        if not problem and moving is not None and reference is not None and same_source(moving, reference):
            problem = "The image to align and the reference are the same. Choose two different images."
        if not problem and self._is_misnamed(parameters, context):
            problem = "A .vrt file is written only as “Virtual raster”: choose a .tif file."
        return (False, problem) if problem else super().checkParameterValues(parameters, context)

    def prepareAlgorithm(self, parameters: dict, context, feedback) -> bool:
        self.take_settings()
        moving = self._layer(parameters, "MOVING", context)
        reference = self._layer(parameters, "REFERENCE", context)
        self._style = layer_style(moving)
        try:
            self._request = self._read(parameters, context, moving, reference)
        except LayerRefused as refusal:
            raise QgsProcessingException(str(refusal)) from refusal
        return True

    def processAlgorithm(self, parameters: dict, context, feedback) -> dict[str, Any]:
        request = self._request
        accepted = (0, NOT_REGISTRABLE) if request.keep_failed else (0,)
        outcome = Outcome.from_json(self.run_georeg(request, feedback, accepted))
        if outcome.verdict == "fail" and not outcome.transform:  # there is nothing that could be written
            raise QgsProcessingException(
                f"The images could not be registered: {in_qgis(' '.join(outcome.reasons))}."
            )
        feedback.pushInfo(f"{outcome.headline}. Accuracy: {outcome.accuracy}; {outcome.inliers} tie points.")
        for reason in outcome.reasons:
            feedback.pushWarning(reason)
        style_when_loaded(context, request.output, StyleLike(self._style))
        for points in request.points:
            style_when_loaded(context, points, ResidualArrows())
        return {**self._files(), **_figures(outcome)}

    def _read(self, parameters: dict, context, moving: QgsRasterLayer, reference: QgsRasterLayer) -> Match:
        mode = self.choice(parameters, "OUTPUT_MODE", OUTPUT_MODES, context)
        default_crs = (reference if parameters.get("OUTPUT_GRID", 0) in (0, None) else moving).crs()
        return Match(
            moving=raster_path(moving),
            reference=raster_path(reference),
            output=self._output(parameters, context, mode),
            registration=self.parameterAsFileOutput(parameters, "REGISTRATION", context),
            points=self._points(parameters, context),
            report=self.parameterAsFileOutput(parameters, "REPORT", context),
            output_mode=mode,
            grid=read_grid(self, parameters, context, default_crs),
            keep_failed=self.parameterAsBool(parameters, "KEEP_FAILED", context),
            **self._read_method(parameters, context),
        )

    def _read_method(self, parameters: dict, context) -> dict[str, Any]:
        return {
            "bands": tuple(self.parameterAsInts(parameters, "BANDS", context)),
            "reference_bands": tuple(self.parameterAsInts(parameters, "REFERENCE_BANDS", context)),
            "moving_modality": self.choice(parameters, "MOVING_MODALITY", MODALITIES, context),
            "reference_modality": self.choice(parameters, "REFERENCE_MODALITY", MODALITIES, context),
            "transform": self.choice(parameters, "TRANSFORM", TRANSFORMS, context),
            "matcher": self.choice(parameters, "MATCHER", MATCHERS, context),
            "weights": self.parameterAsFile(parameters, "WEIGHTS", context),
            "prior": self.choice(parameters, "PRIOR", PRIORS, context),
            "search_radius_m": self.optional_number(parameters, "SEARCH_RADIUS", context),
            "target_accuracy_m": self.optional_number(parameters, "TARGET_ACCURACY", context),
            "exhaustive": self.parameterAsBool(parameters, "EXHAUSTIVE", context),
            "mask": self._mask(parameters, "MASK", context),
            "reference_mask": self._mask(parameters, "REFERENCE_MASK", context),
            "seed": self.parameterAsInt(parameters, "SEED", context) or None,
        }

    def _output(self, parameters: dict, context, mode: str) -> str:
        output = self.parameterAsOutputLayer(parameters, "OUTPUT", context)
        if mode != "vrt" or output.lower().endswith(".vrt"):
            return output
        return renamed_output(context, output, ".vrt")

    def _is_misnamed(self, parameters: dict, context) -> bool:
        output = parameters.get("OUTPUT")
        path = output if isinstance(output, str) else getattr(output, "sink", None)
        path = path.staticValue() if hasattr(path, "staticValue") else path
        mode = self.choice(parameters, "OUTPUT_MODE", OUTPUT_MODES, context)
        return mode != "vrt" and str(path).lower().endswith(".vrt")

    def _points(self, parameters: dict, context) -> tuple[str, ...]:
        layer = self.parameterAsOutputLayer(parameters, "POINTS", context)
        georeferencer = self.parameterAsFileOutput(parameters, "GCP_FILE", context)
        return tuple(path for path in (layer, georeferencer) if path)

    def _mask(self, parameters: dict, name: str, context) -> str:
        layer = self.parameterAsLayer(parameters, name, context)
        return "" if layer is None else mask_path(layer)

    def _files(self) -> dict[str, str]:
        request = self._request
        files = {"OUTPUT": request.output, "REGISTRATION": request.registration, "REPORT": request.report}
        for path in request.points:
            files["GCP_FILE" if path.lower().endswith(".points") else "POINTS"] = path
        return {name: path for name, path in files.items() if path}

    def _layer(self, parameters: dict, name: str, context) -> QgsRasterLayer:
        layer = self.parameterAsRasterLayer(parameters, name, context)
        if layer is None:
            raise QgsProcessingException(self.invalidRasterError(parameters, name))
        return layer


def _figures(outcome: Outcome) -> dict[str, Any]:
    return {
        "VERDICT": outcome.verdict,
        "REASONS": " ".join(outcome.reasons),
        "CE90_M": outcome.ce90_m,
        "CE90_PX": outcome.ce90_px,
        "INLIERS": outcome.inliers,
        "PROBABILITY": outcome.probability,
    }


def _number(name: str, label: str) -> QgsProcessingParameterNumber:
    return QgsProcessingParameterNumber(name, label, DOUBLE, optional=True, minValue=0.0)
