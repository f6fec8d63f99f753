"""The satellite provider over HTTP, as docs/openapi.yaml has it.

`protocol` turns batches into bodies and answers into words, `problems` names what can go wrong, `client` does
one exchange within its limits, `link` keeps several under way, `uploader` is the port.
"""
