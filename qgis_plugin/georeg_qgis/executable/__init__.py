"""All that the plugin knows about the `georeg` program, without Qt or QGIS, so that plain Python tests it."""
