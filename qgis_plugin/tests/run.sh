#!/usr/bin/env bash
# Tests of the plugin in a real QGIS without a window, then on Qt 6. Installs QGIS (Debian, Ubuntu) and pytest where they are missing.
# Usage: qgis_plugin/tests/run.sh [pytest arguments]      (with arguments: in QGIS only)
set -euo pipefail
here="$(cd "$(dirname "$0")" && pwd)"
root="$(cd "$here/../.." && pwd)"
venv="$root/.venv-qgis"
as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi; }

if ! { command -v qgis_process.bin || command -v qgis_process; } >/dev/null ||
    ! /usr/bin/python3 -c 'import qgis.core, ensurepip' 2>/dev/null; then
    as_root apt-get update
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
        qgis python3-qgis qgis-providers python3-venv
fi
if ! "$venv/bin/python" -c 'import pytest_qgis' 2>/dev/null; then
    rm -rf "$venv"
    /usr/bin/python3 -m venv --system-site-packages "$venv"
    "$venv/bin/python" -m pip install --quiet 'pytest>=8.2,<10' 'pytest-qgis>=2.1,<6'
fi

scratch="$(mktemp -d)"
trap 'rm -rf "$scratch"' EXIT
mkdir -m 700 "$scratch/home" "$scratch/run"
export HOME="$scratch/home" XDG_RUNTIME_DIR="$scratch/run" QT_QPA_PLATFORM=offscreen
# qgis_process takes the first python3 it finds for its own: not that of an active virtual environment.
export PATH="/usr/bin:/bin:$PATH"
unset VIRTUAL_ENV PYTHONHOME
export PYTHONPATH=/usr/share/qgis/python:/usr/share/qgis/python/plugins
cd "$here"
"$venv/bin/python" -m pytest "$@"
[ $# -gt 0 ] || "$here/qt6/run.sh"
