"""The files that the steps of a build leave in a shared folder, each named by its inputs.

`block_file` is their format, `work_folder` their names, `cut_tiles` holds the tiles of blocks for the seal,
`shards` the descriptors in place order, `one_process` runs the steps without a cluster.
"""
