"""The reference provider: a small real server of the upload protocol (docs/openapi.yaml).

It stores its tiles in a folder. It is for development: the demo and the tests upload to it, and other
implementations of the protocol can be compared with it. `behaviour` makes it fail on purpose; `link` is an
unreliable connection to it.
"""
