"""How the tests are shared between the two workers of `make test`: `-p tests.shares`."""

import pytest
from xdist.scheduler import LoadScopeScheduling

LABS = "tests/fleet/"
AWS = "tests/aws/"


class Shares(LoadScopeScheduling):
    """A file is one worker's. Whole labs are one share, since each would fill the machine, and so
    are the tests on AWS's engines, which then start once."""

    def _split_scope(self, nodeid: str) -> str:
        shared = (share for share in (LABS, AWS) if nodeid.startswith(share))
        return next(shared, nodeid.partition("::")[0])


@pytest.hookimpl(optionalhook=True)  # called only where there are workers
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> Shares:
    return Shares(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Labs come first: they wait more than they compute."""
    items.sort(key=lambda item: not item.nodeid.startswith(LABS))
