"""The plugin's life in QGIS: made, shown, taken away without a trace, and made again."""

from __future__ import annotations

import pytest
from qgis.core import QgsApplication, QgsSettings
from qgis.gui import QgsMapCanvas
from qgis.PyQt.QtCore import QCoreApplication, QEvent
from qgis.PyQt.QtWidgets import QMainWindow

import georeg_qgis
from georeg_qgis.gui.dock import GeoregDock


class Window:
    """The part of QGIS's interface that the plugin uses."""

    def __init__(self):
        self.window, self.canvas = QMainWindow(), QgsMapCanvas()
        self.factories, self.toolbar, self.menu = [], [], []

    def mainWindow(self):
        return self.window

    def mapCanvas(self):
        return self.canvas

    def layerTreeView(self):
        return self

    def selectedLayers(self):
        return []

    def addDockWidget(self, area, dock):
        self.window.addDockWidget(area, dock)

    def removeDockWidget(self, dock):
        self.window.removeDockWidget(dock)

    def registerOptionsWidgetFactory(self, factory):
        self.factories.append(factory)

    def unregisterOptionsWidgetFactory(self, factory):
        self.factories.remove(factory)

    def addRasterToolBarIcon(self, action):
        self.toolbar.append(action)

    def removeRasterToolBarIcon(self, action):
        self.toolbar.remove(action)

    def addPluginToRasterMenu(self, name, action):
        self.menu.append(action)

    def removePluginRasterMenu(self, name, action):
        self.menu.remove(action)


@pytest.fixture
def window(qgis_app):
    QgsSettings().remove("georeg")
    yield Window()
    QgsSettings().remove("georeg")


def provider():
    return QgsApplication.processingRegistry().providerById("georeg")


def docks(window):
    QCoreApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)
    return window.window.findChildren(GeoregDock)


def test_it_comes_and_goes_without_a_trace(window):
    for _ in range(2):
        plugin = georeg_qgis.classFactory(window)
        plugin.initGui()
        assert provider() is not None
        assert len(docks(window)) == len(window.factories) == len(window.toolbar) == len(window.menu) == 1
        plugin.unload()
        assert provider() is None
        assert not docks(window) + window.factories + window.toolbar + window.menu


def test_the_panel_shows_itself_the_first_time_only(window):
    shown = []
    for _ in range(2):
        plugin = georeg_qgis.classFactory(window)
        plugin.initGui()
        shown.append(not plugin.dock.isHidden())
        plugin.unload()
    assert shown == [True, False]


def test_without_a_window_there_is_the_provider_alone(window):
    plugin = georeg_qgis.classFactory(None)
    plugin.initProcessing()
    assert provider() is not None
    plugin.unload()
    assert provider() is None
