"""Files in which operators draw routes and areas: GeoJSON, KML, KMZ, GPX, plans and waypoint files."""
