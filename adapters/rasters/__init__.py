"""GeoTIFF rasters, cut into tiles of the grid by GDAL's warper (extra `imagery`).

`raster_file` opens a file and refuses what can't be placed, `beside` what would make GDAL open other files,
`band_plan` and `value_scale` say how its values become colours, `footprint` says which places it covers,
`warped_block` makes the pixels of neighbouring places, `raster_source` is the adapter of the port.
`adapters/halved_pictures.py` makes a parent of its children.
"""
