"""Settings that every unit test shares."""

from __future__ import annotations

from hypothesis import settings

# No deadline: how long an example takes says something about the machine, not about the code.
settings.register_profile("aerotile", deadline=None)
settings.load_profile("aerotile")
