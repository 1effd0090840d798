"""Settings shared by all tests."""

from hypothesis import settings

settings.register_profile("project", deadline=None, max_examples=40, derandomize=True)
settings.load_profile("project")
