"""In-memory twins of every port: real code for tests and small tools, held to the same contracts."""
