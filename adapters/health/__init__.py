"""The health of a process: one call for the flight loop, a file and datagrams for what supervises it."""
