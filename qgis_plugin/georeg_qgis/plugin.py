"""What QGIS starts: the Processing provider always, dock and settings page where there is a window."""

from __future__ import annotations

import atexit

from qgis.core import QgsApplication
from qgis.PyQt.QtCore import Qt

from . import settings
from .algorithms.provider import GeoregProvider
from .executable.process import end_all
from .icons import icon


class GeoregPlugin:
    """The plugin's life: made by QGIS, `initGui` with a window, `initProcessing` alone in `qgis_process`."""

    def __init__(self, iface) -> None:
        self.iface = iface
        self.provider = None
        self.dock = None
        self.action = None
        self.options_factory = None

    def initProcessing(self) -> None:
        self.provider = GeoregProvider()
        QgsApplication.processingRegistry().addProvider(self.provider)
        atexit.register(end_all)

    def initGui(self) -> None:
        from .gui.dock import GeoregDock
        from .gui.settings_page import SettingsPageFactory

        self.initProcessing()
        self.dock = GeoregDock(self.iface)
        self.options_factory = SettingsPageFactory(self.dock.refresh)
        self.iface.registerOptionsWidgetFactory(self.options_factory)
        self.iface.addDockWidget(Qt.DockWidgetArea.RightDockWidgetArea, self.dock)
        self.dock.setVisible(settings.is_first_start())
        self._add_action()
        QgsApplication.instance().aboutToQuit.connect(end_all)

    def unload(self) -> None:
        end_all()
        atexit.unregister(end_all)
        if self.dock is not None:
            self._unload_gui()
        if self.provider is not None:
            QgsApplication.processingRegistry().removeProvider(self.provider)
            self.provider = None

    def _add_action(self) -> None:
        self.action = self.dock.toggleViewAction()
        self.action.setIcon(icon("georeg"))
        self.action.setText("GeoReg: align images")
        self.iface.addRasterToolBarIcon(self.action)
        self.iface.addPluginToRasterMenu("GeoReg", self.action)

    def _unload_gui(self) -> None:
        QgsApplication.instance().aboutToQuit.disconnect(end_all)
        self.iface.removeRasterToolBarIcon(self.action)
        self.iface.removePluginRasterMenu("GeoReg", self.action)
        self.iface.unregisterOptionsWidgetFactory(self.options_factory)
        self.dock.close_down()
        self.iface.removeDockWidget(self.dock)
        self.dock.deleteLater()
        self.dock = self.action = self.options_factory = None
