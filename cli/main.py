"""`evctl`: the command line. Commands are imported when they are called: `--help` stays quick."""

from __future__ import annotations

import gc
import importlib
import json
import os
import sys
import tempfile
import threading
import traceback
from pathlib import Path
from typing import TYPE_CHECKING

import click

from artifacts.disk import NO_ROOM
from artifacts.errors import EvctlError
from cli.output import Output, echo, finish_stdout, have_streams, lose_stdout, unwritten

if TYPE_CHECKING:
    from cli.tools import Offered

# A command is imports, which leave no garbage, and waiting: looks for some are rare.
GC_OBJECTS = 50_000

# name → (module, what --help says). The command is the module's attribute of the same name.
COMMANDS = {
    "release": ("cli.commands.release", "Package this app's tree and publish it."),
    "releases": ("cli.commands.releases", "List the published releases and the channels."),
    "promote": ("cli.commands.promote", "Point a channel at a release: canary → stable."),
    "rollout": ("cli.commands.rollout", "Bring nodes to a release, without anyone noticing."),
    "rollback": ("cli.commands.rollback", "Bring nodes back to what they served before."),
    "rollouts": ("cli.commands.rollouts", "What was rolled out, and how it ended."),
    "fleet": ("cli.commands.fleet", "What the fleet is: nodes, roles, keys, what they should run."),
    "range": ("cli.commands.range", "Which nodes an expression names, and why."),
    "status": ("cli.commands.status", "What each node serves, as the node itself says."),
    "drift": ("cli.commands.drift", "What was changed on nodes by hand, and mending it."),
    "history": ("cli.commands.history", "Who changed what, when, from where and why."),
    "doctor": ("cli.commands.doctor", "Check everything; what is wrong, and how to mend it."),
    "lock": ("cli.commands.lock", "Let no rollout begin on nodes; which are locked."),
    "unlock": ("cli.commands.unlock", "Let rollouts begin on them again."),
    "scale": ("cli.commands.scale", "How many nodes, what they cost, and why."),
    "lab": ("cli.commands.lab", "A fleet of real nodes on this machine."),
    "aws": ("cli.commands.aws", "An environment in AWS: plan, make and destroy it; its bill."),
    "key": ("cli.commands.key", "Keys that sign releases."),
    "explain": (
        "cli.commands.explain",
        "What an error's code means; why a node is on its release.",
    ),
}


class NoRoom(EvctlError):
    code = "E5003"
    exit_code = 6
    explanation = (
        "This machine's disk is full, where evctl wrote: a temporary file, or what its output was "
        "sent to. A rollout that was under way is as its document says: `evctl rollouts`."
    )


class WrongUsage(EvctlError):
    code = "E5002"
    exit_code = 2
    explanation = "The command line can't be understood; the command's --help has examples."


class Table(click.Group):
    """A group whose commands are looked up in COMMANDS."""

    def list_commands(self, _: click.Context) -> list[str]:
        return [*COMMANDS, *_tools_here()]

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return _tool(name, context.params.get("fleet"))
        command: click.Command = getattr(importlib.import_module(COMMANDS[name][0]), name)
        return command

    def resolve_command(
        self, context: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and not args[0].startswith("-") and self.get_command(context, args[0]) is None:
            known = self.list_commands(context)
            raise click.exceptions.NoSuchCommand(args[0], possibilities=known, ctx=context)
        return super().resolve_command(context, args)

    def format_commands(self, _: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, said) for name, (_, said) in COMMANDS.items()])
        tools = _tools_here()
        if tools:
            with formatter.section("Tools of this app"):
                formatter.write_dl([(name, tool.says) for name, tool in tools.items()])


def _tool(name: str, fleet: Path | None) -> click.Command | None:
    from cli.tools import find_tool

    tool = find_tool(name, fleet)
    if tool is None:
        return None
    from cli.commands.tool import command_of

    return command_of(tool)


def _tools_here() -> dict[str, Offered]:
    from cli.tools import offered_here

    return {name: tool for name, tool in offered_here().items() if name not in COMMANDS}


@click.group(cls=Table, invoke_without_command=True)
@click.option(
    "--fleet", type=click.Path(path_type=Path, readable=False), help="The fleet.yaml to use."
)
@click.option("--no-color", is_flag=True, help="No colour, also on a terminal (or set NO_COLOR).")
@click.option("-q", "--quiet", is_flag=True, help="No progress.")
@click.version_option(package_name="evctl", message="%(version)s")
@click.pass_context
def evctl(context: click.Context, fleet: Path | None, no_color: bool, quiet: bool) -> None:
    """Releases, rolls out and rolls back services over a fleet through Salt.

    \b
    Examples:
      evctl lab up                                  real nodes, to try it on
      evctl release                                 package and publish this app
      evctl rollout --range role:collector --to ID  bring nodes to a release
      evctl rollback                                back to what served before
      evctl status                                  what each node serves
      evctl fleet                                   what the fleet is
      evctl range 'role:collector!collector-01'     which nodes that names

    \b
    Exit codes:
      0 done   1 our own fault   2 usage   3 --plan --exit-code found changes
      4 not allowed, not trusted   5 failed and rolled back
      6 failed, not rolled back    7 partial: nodes silent or left behind
      8 locked, or changed meanwhile   9 paused
      130 stopped with Ctrl-C, terminated or detached: E4017 says what is left
    """
    context.obj = Output(fleet=fleet, color=False if no_color else None, quiet=quiet)
    if context.invoked_subcommand is None:
        from cli.commands.overview import overview

        overview(context.obj)


def main() -> None:
    """The entry point: turns every error into words and an exit code, once."""
    have_streams()
    threading.excepthook = _tell_of_thread
    gc.set_threshold(GC_OBJECTS)
    code = run(sys.argv[1:])
    finish_stdout()
    gc.freeze()  # nothing of it is garbage, and nobody waits for whoever makes sure
    sys.exit(code)


def run(arguments: list[str]) -> int:
    try:
        _require_folder()
        ended = evctl.main(arguments, prog_name="evctl", standalone_mode=False)
    except EvctlError as error:
        tell(error, as_json="--json" in arguments)
        return error.exit_code
    except click.ClickException as error:
        return _tell_of_usage(_with_what_there_is(error), as_json="--json" in arguments)
    except (click.Abort, KeyboardInterrupt):
        click.echo("stopped", err=True)
        return 130
    except (BrokenPipeError, SystemExit):  # click exits when whoever reads its output has gone
        lose_stdout()
        return 0
    except Exception as error:  # noqa: BLE001 - the last resort: no traceback reaches a user
        return _tell_own(error, as_json="--json" in arguments)
    code = ended if isinstance(ended, int) else 0  # click hands back the code of context.exit
    lost = unwritten()
    return code if lost is None or code else _tell_own(lost, as_json=False)


def _tell_of_usage(error: click.ClickException, *, as_json: bool) -> int:
    if as_json:
        context = error.ctx if isinstance(error, click.UsageError) else None
        named = context.command_path if context else "evctl"
        wrong = WrongUsage(error.format_message(), next_step=f"{named} --help")
        echo(json.dumps({"error": wrong.to_json()}))
    error.show()
    return error.exit_code


def _with_what_there_is(error: click.ClickException) -> click.ClickException:
    """Of a command that isn't there, and is like none that is."""
    if not isinstance(error, click.exceptions.NoSuchCommand) or error.possibilities:
        return error
    context, there = (
        error.ctx,
        "`evctl --help` lists all; an app's tools are where its evctl.yaml is",
    )
    if context and context.parent and isinstance(context.command, click.Group):
        there = f"{context.command_path} has {', '.join(context.command.list_commands(context))}"
    message = f"{error.message} {there}."
    return click.exceptions.NoSuchCommand(error.command_name, message, ctx=context)


def tell(error: EvctlError, *, as_json: bool) -> None:
    """What, why, where, and what next."""
    said = error.to_json()
    if as_json:
        echo(json.dumps({"error": said}))
    where = f"{said['where']}: " if said["where"] else ""
    echo(f"{said['code']} {where}{said['what']}", err=True)
    for label, text in (("why", said["why"]), ("next", said["next"])):
        if text:
            echo(f"  {label}: {text}", err=True)


def _tell_own(error: Exception, *, as_json: bool) -> int:
    told = _told(error)
    tell(told, as_json=as_json)
    return told.exit_code


def _tell_of_thread(failed: threading.ExceptHookArgs) -> None:
    if isinstance(failed.exc_value, Exception):
        tell(_told(failed.exc_value), as_json=False)


def _require_folder() -> None:
    """WrongUsage in a folder that someone has removed: nothing is found from there."""
    try:
        Path.cwd()
    except FileNotFoundError as error:
        raise WrongUsage("the folder that you are in is gone", next_step="cd to another") from error


def _told(error: Exception) -> EvctlError:
    said = " ".join((str(error) or type(error).__name__).split())[:300]
    if isinstance(error, OSError) and error.errno in NO_ROOM:
        return NoRoom("no room on this machine", why=said, next_step="df -h; then try again")
    return EvctlError("evctl itself failed", why=said, next_step=f"report it with {_log(error)}")


def _log(error: Exception) -> str:
    """Where it is written down, for whoever mends it."""
    try:
        descriptor, name = tempfile.mkstemp(prefix="evctl-", suffix=".log")
        with os.fdopen(descriptor, "w") as file:
            file.write("".join(traceback.format_exception(error)))
    except OSError as refused:
        return f"what led to it; no log could be written: {refused.strerror}"
    return name
