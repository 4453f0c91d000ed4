"""For all tests: what hypothesis tries is bounded by counts, never by how quick a machine is."""

from hypothesis import settings

settings.register_profile("evctl", parent=settings(), deadline=None)
settings.load_profile("evctl")
