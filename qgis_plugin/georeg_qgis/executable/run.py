"""One run of georeg: progress while it works, its JSON at the end, its own words where it fails."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Sequence
from typing import Any, Callable

from . import command
from .failure import GeoregFailed, failure_sentence
from .leftovers import Outputs
from .process import Cancelled, Finished, run_program
from .progress import Progress, parse_progress
from .wording import in_qgis

PATIENCE_S = 120.0
INTERRUPTED = 130  # QGIS is closing, or someone else asked georeg to stop

_versions: dict[tuple[str, float], str] = {}


def run_georeg(
    arguments: Sequence[str],
    on_progress: Callable[[Progress], None] = lambda progress: None,
    on_text: Callable[[str], None] = lambda text: None,
    is_cancelled: Callable[[], bool] = lambda: False,
    accepted_codes: tuple[int, ...] = (0,),
    outputs: Sequence[str] = (),
) -> dict[str, Any]:
    """Run one georeg command and return the JSON object that it prints.

    Args:
        arguments: program and arguments, from `command`.
        on_progress: gets the progress reports; on_text the other lines of stderr.
        is_cancelled: asked ten times a second.
        accepted_codes: exit codes that come with a result.
        outputs: files that are to be written; what a run that is cancelled or interrupted made of them is removed.

    Raises:
        GeoregFailed: another exit code, or no JSON; its message is georeg's own sentence.
        ProgramMissing: the program could not be started.
        Cancelled: the whole tree of processes has ended.
    """

    def take(line: str) -> None:
        progress = parse_progress(line)
        if progress is not None:
            on_progress(progress)
        elif line.strip():
            on_text(line)

    written = Outputs(outputs)
    try:
        finished = run_program(arguments, take, is_cancelled)
    except Cancelled:
        written.withdraw()
        raise
    if finished.code == INTERRUPTED:
        written.withdraw()
    elif finished.code < 0:
        written.tidy()
    if finished.code not in accepted_codes:
        raise GeoregFailed(in_qgis(failure_sentence(finished.code, finished.stderr_lines)), finished.code)
    return _result(finished)


def georeg_version(executable: str, is_cancelled: Callable[[], bool] = lambda: False) -> str:
    """The version of the program; asked once for each version of the file.

    Raises:
        OldExecutable: too old, or no georeg; ProgramMissing: it cannot be started; Cancelled.
    """
    key = (executable, os.path.getmtime(executable) if os.path.exists(executable) else 0.0)
    if key not in _versions:
        answer = _asked(command.version(executable), is_cancelled)
        _versions[key] = command.check_version(answer.stdout + "\n".join(answer.stderr_lines))
    return _versions[key]


def _asked(arguments: Sequence[str], is_cancelled: Callable[[], bool]) -> Finished:
    """The answer to a quick question; another program than georeg may never answer."""
    patience_ends = time.monotonic() + PATIENCE_S
    try:
        return run_program(arguments, is_cancelled=lambda: is_cancelled() or time.monotonic() > patience_ends)
    except Cancelled:
        if is_cancelled():
            raise
    raise command.OldExecutable(
        f"{arguments[0]} does not answer like georeg: it said nothing for {PATIENCE_S:.0f} seconds. "
        "Choose another program in the settings."
    )


def _result(finished: Finished) -> dict[str, Any]:
    try:
        result = json.loads(finished.stdout)
    except ValueError:
        result = None
    if not isinstance(result, dict) and finished.code != 0:
        raise GeoregFailed(in_qgis(failure_sentence(finished.code, finished.stderr_lines)), finished.code)
    if not isinstance(result, dict):
        raise GeoregFailed(
            "georeg ended well, but its answer is not the JSON that was asked for.", finished.code
        )
    return result
