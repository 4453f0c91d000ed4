"""`evctl lab`: a fleet of real nodes on this machine."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any, Literal

import click

from artifacts.errors import EvctlError
from cli.announce import tell_nodes
from cli.fleet import Fleet, find_fleet
from cli.lab import operate
from cli.lab.errors import LabUsageError
from cli.lab.spec import REPOSITORY, EngineName, Lab, load_lab
from cli.output import Output

LABS = REPOSITORY / "build" / "labs"
FOLLOW_S = 1.0

name_option = click.option("--name", default="default", show_default=True, help="Which lab.")
json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")


@click.group()
def lab() -> None:
    """A fleet of real nodes on this machine: to rehearse on and to test with.

    \b
    Examples:
      evctl lab up                      a Salt master and the usual five nodes
      evctl lab up --nodes web-01=web   this node, of role `web`, and those it has
      evctl lab shell collector-01 -- systemctl status 'ev-*'
      evctl lab kill collector-01       a power cut; `evctl lab up` turns it on
      evctl lab follow                  as many nodes as the autoscaler says
      evctl lab down                    leaves nothing behind
    """


@lab.command()
@name_option
@click.option(
    "--driver",
    type=click.Choice(["auto", "nspawn", "process"]),
    default="auto",
    show_default=True,
    help="Machines with their own systemd, or processes without privileges.",
)
@click.option(
    "--engine",
    type=click.Choice(["embedded", "aws"]),
    help="What the event store runs on: its own files, which is the default, or local servers that "
    "speak SQS, DynamoDB and S3.",
)
@click.option(
    "--nodes",
    help="Also these: ID or ID=ROLE, by commas; `none` for a master without nodes. Without it: "
    "those that the lab has, or the usual five.",
)
@json_option
@click.pass_obj
def up(
    output: Output,
    *,
    name: str,
    driver: Literal["auto", "nspawn", "process"],
    engine: EngineName | None,
    nodes: str | None,
    as_json: bool,
) -> None:
    """Bring up a Salt master and nodes, or what is missing of them.

    \b
    Examples:
      evctl lab up                   a Salt master and the usual five nodes
      evctl lab up --driver process --name mine
      evctl lab up --nodes web-01=web
      evctl lab up --engine aws      on DynamoDB Local, ElasticMQ, an S3 server
    """
    made, powered_on = operate.up(
        _root(name), name, driver, _wanted(nodes), _say, wanted_engine=engine
    )
    _show(made, as_json, {"powered_on": powered_on})
    fleet = Fleet.load(made.fleet_file)
    if made.nodes:
        tell_nodes(output, fleet)
    if not as_json:
        if not _is_found_from_here(output, made):
            click.echo(f"from here: export EVCTL_FLEET={made.fleet_file}")
        step = "evctl status" if fleet.registry().releases() else "evctl release --channel stable"
        click.echo(f"next: {step} · undo: evctl lab down --name {name}")


@lab.command()
@name_option
@json_option
def down(name: str, as_json: bool) -> None:
    """Take away all that the lab has running, mounted or written.

    \b
    Examples:
      evctl lab down
      evctl lab down --name mine --json
    """
    found = operate.down(_root(name), name)
    said = "gone" if found else "was not up"
    click.echo(json.dumps({"name": name, "found": found}) if as_json else f"lab {name} {said}")


@lab.command()
@name_option
@json_option
def status(name: str, as_json: bool) -> None:
    """What the lab has, and what of it is on.

    \b
    Examples:
      evctl lab status
      evctl lab status --name mine --json
    """
    _show(_existing(name), as_json)


@lab.command()
@name_option
@click.argument("node")
@json_option
def kill(name: str, node: str, as_json: bool) -> None:
    """Cut a node's power: nothing gets to say goodbye.

    \b
    Examples:
      evctl lab kill collector-01
      evctl lab kill collector-01 --name mine --json
    """
    operate.power_off(_existing(name), node)
    undo = f"evctl lab up --name {name}"
    said = {"name": name, "node": node, "on": False}
    click.echo(json.dumps(said) if as_json else f"{node} is off · undo: {undo}")


@lab.command()
@name_option
@click.option("--once", is_flag=True, help="One step, then end.")
@json_option
def follow(name: str, once: bool, as_json: bool) -> None:
    """Make the lab's nodes as many as its autoscaler says, until Ctrl-C.

    What an Auto Scaling group does elsewhere: nodes come and become their role; others are drained,
    and go with their keys. The lab needs a node of the role autoscaler.

    \b
    Examples:
      evctl lab follow               after `evctl lab up --nodes autoscaler-01`
      evctl lab follow --name mine --once --json
    """
    from cli.lab import following

    _existing(name)
    follower = following.Follower(_root(name), name, _say)
    try:
        if once:
            step = follower.step()
            said = {"name": name, "come": step.come, "go": step.go}
            told = [*(f"+ {one}" for one in step.come), *(f"- {one}" for one in step.go)]
            click.echo(json.dumps(said) if as_json else "\n".join(told) or "as many as wanted")
        else:
            following.follow(follower, FOLLOW_S, _say)
    finally:
        follower.close()


@lab.command()
@name_option
@click.argument("node")
@click.argument("command", nargs=-1, type=click.UNPROCESSED)
def shell(name: str, node: str, command: tuple[str, ...]) -> None:
    """A shell on a node, or one command there (after `--`).

    \b
    Examples:
      evctl lab shell collector-01
      evctl lab shell collector-01 -- systemctl status 'ev-*'
    """
    argv = operate.inside(_existing(name), node, command or ("/bin/bash",))
    sys.stdout.flush()
    os.execvp(argv[0], argv)  # noqa: S606 - the very point: the shell takes this process's place


def _is_found_from_here(output: Output, made: Lab) -> bool:
    """Whether a command that is given here, as this one was, finds this lab's fleet."""
    try:
        return find_fleet(output.fleet, Path.cwd()).resolve() == made.fleet_file.resolve()
    except EvctlError:
        return False


def _root(name: str) -> Path:
    if not name.replace("-", "").isalnum():
        raise LabUsageError(
            f"{name!r} can't be a lab's name",
            why="a name has letters, digits and dashes",
            next_step="for example: --name mine",
        )
    return LABS / name


def _existing(name: str) -> Lab:
    found = load_lab(_root(name))
    if found is None:
        raise LabUsageError(f"there is no lab {name}", next_step=f"evctl lab up --name {name}")
    return found


def _wanted(nodes: str | None) -> tuple[str, ...] | None:
    if nodes is None:
        return None
    return () if nodes == "none" else tuple(filter(None, nodes.split(",")))


def _say(line: str) -> None:
    click.echo(line, err=True)


def _show(shown: Lab, as_json: bool, more: dict[str, Any] | None = None) -> None:
    state: dict[str, Any] = operate.status(shown) | (more or {})
    if as_json:
        click.echo(json.dumps(state))
        return
    click.echo(
        f"lab {shown.name} · driver {shown.driver} · engine {shown.engine}"
        f" · master {shown.master_address}"
    )
    for node_id, node in state["nodes"].items():
        glyph, word = ("●", "on") if node["on"] else ("○", "off")
        click.echo(f"  {glyph} {node_id:20} {node['role']:16} {node['address']:15} {word}")
