"""A coverage plan in formats that other tools open: GeoTIFF, KMZ, PNG with a world file, GeoJSON, NetCDF; and figures."""
