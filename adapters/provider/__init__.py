"""The reference provider: a small real server that speaks the upload protocol (docs/openapi.yaml).

It keeps its tiles in a folder. For development: the demo and the tests upload to it, and somebody who
implements the protocol can compare with it. It can be told to misbehave (`behaviour`), and `link` is a bad
road to it.
"""
