"""The number of examples of slow laws, such as those that meter ten rooms an example: a quarter in `make test`."""

from hypothesis import settings

SLOW_EXAMPLES = settings().max_examples // (4 if settings.get_current_profile_name() == "default" else 1)
