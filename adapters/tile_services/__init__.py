"""Tiles of an XYZ or WMTS server, fetched politely.

`address` makes URLs of a template, `exchange` does one request within its limits, `pace` holds all requests
to one rate, `service_source` is the adapter of the port.
"""
