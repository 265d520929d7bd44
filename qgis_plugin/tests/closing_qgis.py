"""A small QGIS that starts a run of the real georeg in the panel, and goes before it has ended.

Usage: closing_qgis.py FOLDER quit|terminate|kill     (FOLDER holds sar.tif and optical.tif)
Prints "georeg PID" once georeg is at work; with "quit" it closes itself then, else it waits to be ended.
"""

from __future__ import annotations

import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from qgis.core import QgsApplication, QgsProject, QgsRasterLayer, QgsSettings
from qgis.PyQt.QtCore import QTimer
from test_plugin import Window

import georeg_qgis
from georeg_qgis.executable import process


def main(folder: str, end: str) -> None:
    application = QgsApplication([], True)
    QgsApplication.initQgis()
    QgsSettings().setValue("georeg/executable", os.environ["GEOREG_EXECUTABLE"])
    plugin = georeg_qgis.classFactory(Window())
    plugin.initGui()
    layers = [QgsRasterLayer(os.path.join(folder, f"{name}.tif"), name) for name in ("sar", "optical")]
    QgsProject.instance().addMapLayers(layers)
    plugin.dock.form.set_pair(*layers)
    told = []

    def tell(text: str) -> None:
        if not text.startswith("Starting") and process._live and not told:
            told.append(text)
            print(f"georeg {next(iter(process._live)).pid}", flush=True)
            if end == "quit":
                QTimer.singleShot(100, application.quit)

    plugin.dock.job.stage.connect(tell)
    plugin.dock.start()
    application.exec()
    plugin.unload()
    QgsApplication.exitQgis()


if __name__ == "__main__":
    main(*sys.argv[1:])
