"""GeoReg for QGIS: aligns one raster layer to another, also across sensors, by running the georeg program."""


def classFactory(iface):
    """The plugin, as QGIS asks for it."""
    from .plugin import GeoregPlugin

    return GeoregPlugin(iface)
