"""Blocks on a Dask cluster (extra `ground`): the only folder that knows Dask."""
