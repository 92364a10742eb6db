"""What all tests share: how hypothesis draws its examples."""

import os

from hypothesis import settings

# No deadlines: a busy machine is no failure. In CI the same examples are drawn every time.
settings.register_profile("here", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "here")
