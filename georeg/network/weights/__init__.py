"""The weights register: shipped weights by name, any others by path; safetensors with the config in their metadata.

Their tensors are read and written in `georeg.network.state`; to look weights up needs no torch.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from safetensors import SafetensorError, safe_open

from georeg.errors import InputError, UsageError
from georeg.network.config import NetworkConfig

FOLDER = Path(__file__).resolve().parent
CONFIG_KEY = "georeg_network"
PREFERRED = ("base", "small", "tiny")


@dataclass(frozen=True)
class Weights:
    """One file of weights.

    Attributes:
        name: of the register, or the file's own name.
        path: where it lies.
        config: of the network it belongs to.
        sha256: hex digest of the file.
        notes: the other metadata, such as "steps".
    """

    name: str
    path: Path
    config: NetworkConfig
    sha256: str
    notes: Mapping[str, str]


def shipped() -> tuple[str, ...]:
    """Names of the weights that came with georeg, the preferred one first."""
    found = {path.stem for path in FOLDER.glob("*.safetensors")}
    first = [name for name in PREFERRED if name in found]
    return (*first, *sorted(found - set(first)))


def find_weights(name_or_path: str | Path | None = None) -> Weights:
    """Look weights up by name or path; None takes the preferred shipped ones.

    Raises:
        UsageError: no such name and no such file.
        InputError: the file is not georeg weights, or damaged.
    """
    path = resolve(name_or_path)
    try:
        with safe_open(path, framework="numpy") as stream:
            metadata = dict(stream.metadata() or {})
    except (SafetensorError, OSError) as error:
        raise InputError(f"{path} is not a readable safetensors file: {error}") from error
    if CONFIG_KEY not in metadata:
        raise InputError(f"{path} holds no georeg network: its metadata lack {CONFIG_KEY!r}")
    config = NetworkConfig.from_json(metadata.pop(CONFIG_KEY))
    return Weights(path.stem, path, config, sha256_of(path), metadata)


def resolve(name_or_path: str | Path | None) -> Path:
    """The file behind a name, a path or None."""
    names = shipped()
    if name_or_path is None:
        if not names:
            raise UsageError(
                "no weights came with this georeg: give a file with --weights, or --matcher structural"
            )
        return FOLDER / f"{names[0]}.safetensors"
    if str(name_or_path) in names:
        return FOLDER / f"{name_or_path}.safetensors"
    path = Path(name_or_path)
    if not path.is_file():
        raise UsageError(
            f"no weights {str(name_or_path)!r}: give a file or one of {', '.join(names) or 'none shipped'}"
        )
    return path


def sha256_of(path: str | Path) -> str:
    """Hex digest of a file."""
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
