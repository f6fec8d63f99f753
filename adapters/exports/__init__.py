"""Archives that tiles are exported to: MBTiles, GeoPackage, PMTiles, a folder; one writer a format."""
