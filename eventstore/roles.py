"""What a process is told to be: a role, or a question to the event store."""

from __future__ import annotations

import argparse
import gc
import logging
import os
import sys
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from eventstore import engines, settings
from eventstore.bare_package import bare_package
from eventstore.errors import SettingsError

if TYPE_CHECKING:
    from eventstore import service

USAGE_EXIT = 2


def _collector(options: settings.Settings, process: service.Process) -> service.Role:
    from eventstore.collector import spool
    from eventstore.collector.app import Collector
    from eventstore.query.receipts import Receipts

    folder = spool.folder_of(options.spool, os.environ)
    return Collector(
        options,
        partial(engines.open_queue, options),
        partial(engines.open_store, options),
        spool.Spool(folder, options.spool_bytes_max) if folder else None,
        node=process.node,
        release=process.release,
        answers=Receipts(options),
    )


def _processor(options: settings.Settings, process: service.Process) -> service.Role:
    from eventstore.processing import heap
    from eventstore.processing.app import ProcessorRole

    heap.keep_freed()
    return ProcessorRole(
        options,
        engines.open_queue(options),
        engines.open_store(options),
        node=process.node,
        release=process.release,
    )


def _postprocessor(options: settings.Settings, process: service.Process) -> service.Role:
    from eventstore.postprocessing.app import PostprocessorRole

    return PostprocessorRole(
        options,
        engines.open_store(options),
        engines.open_aggregates(options),
        node=process.node,
        release=process.release,
    )


def _autoscaler(options: settings.Settings, process: service.Process) -> service.Role:
    from eventstore.autoscaling.app import AutoscalerRole
    from eventstore.autoscaling.autoscaler import Autoscaler
    from eventstore.autoscaling.nodes import known
    from eventstore.autoscaling.terms import Terms

    owner = f"{process.node}/{process.release}/{os.getpid()}"
    lease_s = max(options.scaling_lease_s, 2 * options.scaling_s)
    groups = engines.open_groups(options)
    return AutoscalerRole(
        Autoscaler(
            options.scaling,
            Terms(engines.open_terms(options), owner, lease_s, time.monotonic),
            groups or known(options.scaling_nodes),
            every_s=options.scaling_s,
            hands=groups,
        )
    )


# Each imports what only it needs: a collector carries no user-agent rules and no Parquet.
ROLES: dict[str, service.RoleMaker] = {
    "collector": _collector,
    "processor": _processor,
    "postprocessor": _postprocessor,
    "autoscaler": _autoscaler,
}


def main(argv: list[str], usage: str = "") -> int:
    """The process of one role; its exit code: 0 drained, 1 failed, 2 usage or settings."""
    if argv[:1] == ["events"]:
        from eventstore.tools.dispatch import run_tool

        gc.enable()
        return run_tool(argv[1:])  # without a server's imports: a rollout waits for its probe
    with bare_package("aiohttp"):
        from eventstore import service

    parser = argparse.ArgumentParser(prog="eventstore", description=usage)
    parser.add_argument("role", choices=ROLES)
    parser.add_argument("--settings", type=Path, default=os.environ.get("EV_SETTINGS"))
    arguments = parser.parse_args(argv)
    logging.basicConfig(
        level=logging.INFO, stream=sys.stderr, format="%(levelname)s %(name)s: %(message)s"
    )
    try:
        path = arguments.settings
        options = settings.load(Path(path)) if path else settings.Settings()
        process = service.Process.from_environment(arguments.role)
    except SettingsError as error:
        print(f"eventstore {arguments.role}: {error}", file=sys.stderr)
        return USAGE_EXIT
    return service.serve(process, options, ROLES[arguments.role], engines.counters)
