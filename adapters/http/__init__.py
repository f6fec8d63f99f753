"""The satellite provider over HTTP, as docs/openapi.yaml specifies it.

`protocol` encodes batches and reads answers, `errors` names problems, `client` does one exchange within its
limits, `link` runs several exchanges in parallel, `uploader` and `votes` are the ports' adapters.
"""
