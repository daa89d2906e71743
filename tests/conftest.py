"""Hypothesis profiles: `default` is what `make test` runs, `thorough` is `make property`."""

import os

from hypothesis import HealthCheck, settings

# No deadline: a time limit in a test says something about the machine, not about the law.
_COMMON = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow], "print_blob": True}
settings.register_profile("default", max_examples=100, **_COMMON)
settings.register_profile("thorough", max_examples=5_000, **_COMMON)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))

pytest_plugins = ["tests.sample_home"]
