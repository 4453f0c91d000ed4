"""`evctl NAME …`: a tool of the app, run on a node of its role."""

from __future__ import annotations

import click

from artifacts.errors import EvctlError
from artifacts.tools import TOOL_S
from cli.fleet import Fleet
from cli.output import Output, echo
from cli.rollout.ask import answer_of
from cli.rollout.probe import SLACK_S
from cli.salt_client import SaltClient
from cli.tools import Offered


class ToolUnanswered(EvctlError):
    code = "E3003"
    exit_code = 7
    explanation = (
        "The node that a tool should run on doesn't answer, so it isn't known whether the tool "
        "has run there. Another node of the role can be named with --node."
    )


def command_of(tool: Offered) -> click.Command:
    """`evctl NAME [--node NODE] ARGUMENTS…`: whatever follows the first word is the tool's own."""

    @click.command(
        tool.name,
        help=f"{tool.says}\n\nIt runs on a node of role {tool.role}, from the release that serves"
        f" there. What it is asked is its own: `evctl {tool.name} -- --help` tells it.\n\n\b\n"
        f"Example:\n  evctl {tool.name} -- --help\n",
        short_help=tool.says,
        context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
    )
    @click.option("--node", help=f"Run it on this node; else on the first of role {tool.role}.")
    @click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
    @click.pass_context
    def command(context: click.Context, node: str | None, arguments: tuple[str, ...]) -> None:
        context.exit(_run(context.obj, tool, node, arguments))

    return command


def _run(output: Output, tool: Offered, node: str | None, arguments: tuple[str, ...]) -> int:
    """The tool's own exit code; what it said goes where it said it."""
    fleet = output.load_fleet()
    chosen = _chosen(fleet, tool, node)
    client = SaltClient(fleet.config.salt_master_config, fleet.config.network_namespace)
    asked = {"name": tool.name, "arguments": list(arguments)}
    (returned,) = client.call([chosen], "evrelease.tool", asked, TOOL_S + SLACK_S)
    answer = answer_of(returned)
    if answer.silent:
        raise ToolUnanswered(
            f"{chosen} doesn't answer",
            next_step=f"evctl status; or evctl {tool.name} --node ANOTHER …",
        )
    if not answer.ok or answer.result is None:
        raise EvctlError.from_json({"where": chosen, **(answer.error or {})})
    for text, err in ((answer.result["out"], False), (answer.result["err"], True)):
        if text:
            echo(text.removesuffix("\n"), err=err)
    return int(answer.result["exit"])


def _chosen(fleet: Fleet, tool: Offered, node: str | None) -> str:
    able = sorted(one.id for one in fleet.nodes().values() if one.role == tool.role)
    if node is None and able:
        return able[0]
    if node in able:
        return node
    raise click.UsageError(
        f"{tool.name} runs on nodes of role {tool.role}: {', '.join(able) or 'there is none'}."
    )
