#!/usr/bin/env bash
# Tests of the plugin on Qt 6 against the API of QGIS 4, in an environment of their own that needs no QGIS.
# Usage: qgis_plugin/tests/qt6/run.sh [pytest arguments]
set -euo pipefail
here="$(cd "$(dirname "$0")" && pwd)"
venv="$(cd "$here/../../.." && pwd)/.venv-qt6"
as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi; }

if ! "$venv/bin/python" -c 'import PyQt6.QtCore, pytest, importlib.metadata as m; m.version("qgis-stubs")' 2>/dev/null; then
    rm -rf "$venv"
    /usr/bin/python3 -m venv "$venv"
    # the stubs ask for those of Qt 5, which are not wanted here
    "$venv/bin/python" -m pip install --quiet 'PyQt6>=6.5,<7' 'pytest>=8.2,<10'
    "$venv/bin/python" -m pip install --quiet --no-deps 'qgis-stubs>=0.5,<1'
fi
if ! "$venv/bin/python" -c 'import PyQt6.QtWidgets' 2>/dev/null; then # Qt 6 needs some libraries of the system
    as_root apt-get update
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
        libegl1 libgl1 libxkbcommon0 libfontconfig1 libdbus-1-3 libglib2.0-0
fi
cd "$here"
env -u PYTHONPATH QT_QPA_PLATFORM=offscreen PYTHONDONTWRITEBYTECODE=1 "$venv/bin/python" -m pytest "$@"
