"""Every port in memory, for tests and small tools; the suites in `contracts` test them too."""
