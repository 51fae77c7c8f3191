"""What all tests share: how hypothesis looks for examples."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

# The same examples each time, however busy the machine is: a failure is one of the change's, and comes again. New
# examples: `pytest --hypothesis-profile=search`.
settings.register_profile("search", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("same", settings.get_profile("search"), derandomize=True)
settings.load_profile("same")
