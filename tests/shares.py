"""How the tests are shared between the workers of `make test`: `-p tests.shares`."""

import pytest
from xdist.scheduler import LoadScopeScheduling

LABS = "tests/fleet/"
MACHINES = ("tests/fleet/test_lab_machines.py", "tests/fleet/test_story.py")
AWS = "tests/aws/"


class Shares(LoadScopeScheduling):
    """A file is one worker's. Labs are two shares, those on machines and the others: each waits
    more than it computes, but three at once would fill the machine. So are the tests on AWS's
    engines one, which then start once."""

    def _split_scope(self, nodeid: str) -> str:
        if nodeid.startswith(MACHINES):
            return "machines"
        shared = (share for share in (LABS, AWS) if nodeid.startswith(share))
        return next(shared, nodeid.partition("::")[0])


@pytest.hookimpl(optionalhook=True)  # called only where there are workers
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> Shares:
    return Shares(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Labs come first, those on machines before all: they take the longest."""
    items.sort(
        key=lambda item: (
            not item.nodeid.startswith(MACHINES),
            not item.nodeid.startswith(LABS),
        )
    )
