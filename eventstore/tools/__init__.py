"""What a person asks the event store: `python -m eventstore events TOOL …`, one file a tool.

Tools read (and replay) through the engines that the settings name, so they work wherever a role of
the store would. Data goes to stdout, and with --json it is JSON.
"""

from collections.abc import Mapping

from eventstore.tools import (
    create,
    dead,
    dictionary,
    erase,
    ledger,
    probe,
    show,
    sweep,
    trace,
    try_transform,
)
from eventstore.tools.tool import Tool

TOOLS: Mapping[str, Tool] = {
    "trace": trace.TOOL,
    "ledger": ledger.TOOL,
    "show": show.TOOL,
    "dead": dead.TOOL,
    "probe": probe.TOOL,
    "try": try_transform.TOOL,
    "create": create.TOOL,
    "sweep": sweep.TOOL,
    "erase": erase.TOOL,
    "dictionary": dictionary.TOOL,
}

__all__ = ["TOOLS", "Tool"]
