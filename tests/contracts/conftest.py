"""Tests of the process contract under systemd are run on a machine, once for a session of tests;
each takes its outcome from there."""

from __future__ import annotations

import pytest

from tests.contracts.process_outcomes import Outcomes


@pytest.fixture(scope="session")
def machine_outcomes(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Outcomes:
    from tests.contracts.process_machine import run_on_machine  # the machine itself has no lab

    tests = [
        item.nodeid
        for item in request.session.items
        if isinstance(item, pytest.Function) and _engine(item) == "systemd"
    ]
    return run_on_machine(tmp_path_factory.mktemp("machine") / "lab", tests)


def _engine(item: pytest.Function) -> object:
    return item.callspec.params.get("make_engine") if hasattr(item, "callspec") else None


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """True: this test was run already, elsewhere. None: pytest runs it, here."""
    elsewhere = pyfuncitem.funcargs.get("make_engine")
    if not isinstance(elsewhere, Outcomes):
        return None
    elsewhere.of(pyfuncitem.name).report()
    return True
