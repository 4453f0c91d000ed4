"""Modules of a package without what the package itself imports.

aiohttp's package imports its client, with TLS, cookies and resolvers, before any module of its
server: more than half of what it takes to import it, and no role ever uses that.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from importlib.util import find_spec, module_from_spec


@contextmanager
def bare_package(name: str) -> Iterator[None]:
    """What is imported within it finds a package that holds its version, and nothing else. Whoever
    imports the package itself later gets all of it."""
    spec = find_spec(name)
    if spec is None or name in sys.modules:
        yield
        return
    package = module_from_spec(spec)
    vars(package)["__version__"] = version(name)
    sys.modules[name] = package
    try:
        yield
    finally:
        del sys.modules[name]
