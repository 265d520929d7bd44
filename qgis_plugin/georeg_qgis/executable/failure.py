"""Why georeg ended without a result, in one sentence for the person in front of QGIS."""

from __future__ import annotations

import re

from .progress import parse_progress

BY_CODE = {
    2: "georeg did not accept the options.",
    3: "The images could not be registered.",
    4: "An input image is missing or cannot be read.",
    5: "Memory, disk space or the graphics card ran out.",
    130: "georeg was interrupted.",
}
PREFIX = re.compile(r"^(georeg(\.exe)?( \w+)?:\s*)?(error|fatal):\s*", re.IGNORECASE)


class GeoregFailed(Exception):
    """georeg ended with another exit code than 0.

    Attributes:
        code: the exit code; negative for a signal, as `subprocess` gives it.
    """

    def __init__(self, sentence: str, code: int) -> None:
        super().__init__(sentence)
        self.code = code


def failure_sentence(code: int, stderr_lines: list[str]) -> str:
    """georeg's own words for why it ended with this code, or the most helpful words there are."""
    lines = [line.rstrip() for line in stderr_lines if line.strip() and parse_progress(line) is None]
    if any(line.startswith("Traceback (most recent call last)") for line in lines):
        return f"georeg stopped unexpectedly: {lines[-1].strip()}. The log has the details."
    if code < 0 or code == 137:
        number = -code if code < 0 else 9
        return (
            f"georeg was ended from outside (signal {number}), most often because memory ran out. "
            "Close other programs or set a smaller memory limit under Settings > Options > GeoReg."
        )
    return _own_words(lines) or BY_CODE.get(code, f"georeg ended with exit code {code} and no message.")


def _own_words(lines: list[str]) -> str:
    """From the last line that is marked as an error to the end; else the last line."""
    marked = [index for index, line in enumerate(lines) if PREFIX.match(line)]
    said = lines[marked[-1] :] if marked else lines[-1:]
    return PREFIX.sub("", " ".join(line.strip() for line in said))
