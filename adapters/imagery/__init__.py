"""Archives of map tiles as sources of imagery: MBTiles, GeoPackage, PMTiles; one reader a format."""
