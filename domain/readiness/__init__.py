"""Before a flight: whether everything that a route needs is there, and which command mends what is not."""
