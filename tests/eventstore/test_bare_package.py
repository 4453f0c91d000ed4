"""A role imports aiohttp's server, and never its client. In processes of their own: here all of it
is imported already."""

import json
import subprocess
import sys

SERVER = """
from eventstore.bare_package import bare_package
with bare_package("aiohttp"):
    from eventstore import service
import eventstore.collector.app, eventstore.query.receipts
import eventstore.processing.app, eventstore.postprocessing.app, eventstore.autoscaling.app
"""
MODULES = "import json, sys; print(json.dumps([name for name in sys.modules if 'aiohttp' in name]))"


def modules_after(code: str) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-c", code + MODULES],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return set(json.loads(done.stdout))


def test_no_role_imports_aiohttps_client():
    found = modules_after(SERVER)
    assert "aiohttp.web_protocol" in found
    assert found & {"aiohttp", "aiohttp.client", "aiohttp.connector", "aiohttp.web"} == set()


def test_whoever_imports_aiohttp_later_gets_all_of_it():
    later = "import aiohttp\nfrom aiohttp import web\naiohttp.ClientSession, web.Application\n"
    assert "aiohttp.client" in modules_after(SERVER + later)


def test_a_package_that_is_there_already_stays_as_it_is():
    code = """
import aiohttp
from eventstore.bare_package import bare_package
with bare_package("aiohttp"):
    from aiohttp import ClientSession
"""
    assert "aiohttp.client" in modules_after(code)
