"""The configuration: one tree from a TOML file and the environment."""
