"""Settings of the tests that hypothesis generates examples for."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

FROM_A_FACTORY = settings(
    deadline=None,  # a busy machine is not a failed test
    suppress_health_check=[
        HealthCheck.function_scoped_fixture,  # the fixture is a factory: every example gets a new subject
        HealthCheck.differing_executors,  # the test is inherited by the classes of several adapters
    ],
)
"""For a test whose examples each build their own subject with a factory from a fixture."""
