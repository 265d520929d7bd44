"""The argument lists of the `georeg` commands. Fields that are None, empty or false add no option."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

MINIMUM_VERSION = (0, 1, 0)
MODALITIES = ("auto", "optical", "sar", "infrared", "map", "elevation")
TRANSFORMS = (
    "auto", "shift", "similarity", "affine", "homography", "polynomial2", "polynomial3", "tps",
)  # fmt: skip
MATCHERS = ("auto", "network", "structural", "hybrid")
PRIORS = ("auto", "geocoding", "none")
OUTPUT_MODES = ("resample", "georeference", "vrt")
OUTPUT_GRIDS = ("reference", "moving")
RESAMPLINGS = ("nearest", "bilinear", "cubic", "lanczos")
MACHINE_READABLE = ("--json", "--progress", "json")


class OldExecutable(Exception):
    """The program is older than this plugin needs."""


@dataclass(frozen=True)
class Machine:
    """How the machine is used: device, CPU threads and memory in GB (0: georeg chooses)."""

    device: str = "auto"
    threads: int = 0
    memory_gb: float = 0.0

    def options(self) -> list[str]:
        return [
            *_valued("--device", "" if self.device == "auto" else self.device),
            *_valued("--num-threads", self.threads or None),
            *_valued("--memory", f"{self.memory_gb:g}G" if self.memory_gb else None),
        ]


@dataclass(frozen=True)
class Grid:
    """Where and how the raster is written, for `match` and `warp` alike."""

    grid: str = "reference"
    dst_crs: str = ""
    resolution: float | None = None
    bbox: tuple[float, float, float, float] | None = None
    resampling: str = "bilinear"
    dst_nodata: float | None = None
    creation_options: tuple[str, ...] = ()

    def options(self) -> list[str]:
        return [
            *_valued("--output-grid", "" if self.grid == "reference" else self.grid),
            *_valued("--dst-crs", self.dst_crs),
            *_valued("--resolution", self.resolution),
            *(["--bbox", *(repr(float(side)) for side in self.bbox)] if self.bbox else []),
            *_valued("--resampling", "" if self.resampling == "bilinear" else self.resampling),
            *_valued("--dst-nodata", self.dst_nodata),
            *_repeated("--co", self.creation_options),
        ]


@dataclass(frozen=True)
class Match:
    """One `georeg match`; the names are those of its options."""

    moving: str
    reference: str
    output: str = ""
    registration: str = ""
    points: tuple[str, ...] = ()
    report: str = ""
    bands: tuple[int, ...] = ()
    reference_bands: tuple[int, ...] = ()
    moving_modality: str = "auto"
    reference_modality: str = "auto"
    transform: str = "auto"
    matcher: str = "auto"
    weights: str = ""
    prior: str = "auto"
    search_radius_m: float | None = None
    target_accuracy_m: float | None = None
    exhaustive: bool = False
    mask: str = ""
    reference_mask: str = ""
    output_mode: str = "resample"
    driver: str = ""
    grid: Grid = field(default_factory=Grid)
    keep_failed: bool = False
    seed: int | None = None

    def arguments(self, executable: str, machine: Machine) -> list[str]:
        return [
            executable,
            "match",
            *self._results(),
            *self._matching(),
            *_valued("--output-mode", "" if self.output_mode == "resample" else self.output_mode),
            *_valued("--of", self.driver),
            *self.grid.options(),
            *_flag("--keep-failed", self.keep_failed),
            *machine.options(),
            "--overwrite",
            *MACHINE_READABLE,
            "--",
            *(path for path in (self.moving, self.reference, self.output) if path),
        ]

    @property
    def outputs(self) -> tuple[str, ...]:
        """Paths of the files that are to be written."""
        return tuple(path for path in (self.output, self.registration, self.report, *self.points) if path)

    def _results(self) -> list[str]:
        return [
            *_valued("--registration", self.registration),
            *_repeated("--points", self.points),
            *_valued("--report", self.report),
        ]

    def _matching(self) -> list[str]:
        return [
            *_repeated("--band", self.bands),
            *_repeated("--reference-band", self.reference_bands),
            *_chosen("--moving-modality", self.moving_modality),
            *_chosen("--reference-modality", self.reference_modality),
            *_chosen("--transform", self.transform),
            *_chosen("--matcher", self.matcher),
            *_valued("--weights", self.weights),
            *_chosen("--prior", self.prior),
            *_valued("--search-radius", self.search_radius_m),
            *_valued("--target-accuracy", self.target_accuracy_m),
            *_flag("--exhaustive", self.exhaustive),
            *_valued("--mask", self.mask),
            *_valued("--reference-mask", self.reference_mask),
            *_valued("--seed", self.seed),
        ]


@dataclass(frozen=True)
class Warp:
    """One `georeg warp`: a transform that is known already, for another file."""

    moving: str
    output: str
    registration: str
    driver: str = ""
    grid: Grid = field(default_factory=Grid)

    @property
    def outputs(self) -> tuple[str, ...]:
        """Paths of the files that are to be written."""
        return (self.output,)

    def arguments(self, executable: str, machine: Machine) -> list[str]:
        return [
            executable,
            "warp",
            "--registration",
            self.registration,
            *_valued("--of", self.driver),
            *self.grid.options(),
            *Machine(threads=machine.threads).options(),
            "--overwrite",
            *MACHINE_READABLE,
            "--",
            self.moving,
            self.output,
        ]


@dataclass(frozen=True)
class Batch:
    """One `georeg batch`: a table of pairs into a folder; results that are there are kept (resume) or replaced."""

    pairs: str
    folder: str
    moving_modality: str = "auto"
    reference_modality: str = "auto"
    transform: str = "auto"
    jobs: int = 0
    resume: bool = True
    fail_fast: bool = False

    def arguments(self, executable: str, machine: Machine) -> list[str]:
        return [
            executable,
            "batch",
            "-o",
            self.folder,
            *_chosen("--moving-modality", self.moving_modality),
            *_chosen("--reference-modality", self.reference_modality),
            *_chosen("--transform", self.transform),
            *_valued("-j", self.jobs or None),
            "--resume" if self.resume else "--overwrite",
            *_flag("--fail-fast", self.fail_fast),
            *Machine(device=machine.device, memory_gb=machine.memory_gb).options(),
            *MACHINE_READABLE,
            "--",
            self.pairs,
        ]


@dataclass(frozen=True)
class Evaluate:
    """One `georeg evaluate`: a folder of pairs with known truth."""

    folder: str
    matcher: str = "auto"
    hard: bool = False

    def arguments(self, executable: str, machine: Machine) -> list[str]:
        return [
            executable,
            "evaluate",
            *_chosen("--matcher", self.matcher),
            *_flag("--hard", self.hard),
            *machine.options(),
            *MACHINE_READABLE,
            "--",
            self.folder,
        ]


def doctor(executable: str) -> list[str]:
    """`georeg doctor`: versions, devices, drivers and weights as JSON."""
    return [executable, "doctor", "--json"]


def version(executable: str) -> list[str]:
    return [executable, "--version"]


def check_version(answer: str) -> str:
    """The version in what `georeg --version` says.

    Raises:
        OldExecutable: it is too old, or this is not georeg at all.
    """
    found = re.search(r"georeg\D{0,20}?(\d+(?:\.\d+)+)", answer)
    if found is None:
        raise OldExecutable(
            "The chosen program does not answer like georeg. Choose another one in the settings."
        )
    numbers = tuple(int(number) for number in found.group(1).split(".")[:3])
    if numbers < MINIMUM_VERSION:
        needed = ".".join(map(str, MINIMUM_VERSION))
        raise OldExecutable(
            f"georeg {found.group(1)} is too old for this plugin, which needs {needed} or newer. "
            "Update it, or choose another one under Settings > Options > GeoReg."
        )
    return found.group(1)


def _valued(option: str, value: object) -> list[str]:
    if value is None or value == "":
        return []
    plain = f"{value:.12g}" if isinstance(value, float) else str(value)
    return [f"{option}={plain}"] if plain.startswith("-") else [option, plain]


def _chosen(option: str, value: str) -> list[str]:
    return [] if value == "auto" else [option, value]


def _repeated(option: str, values: tuple) -> list[str]:
    return [word for value in values for word in (option, str(value))]


def _flag(option: str, given: bool) -> list[str]:
    return [option] if given else []
