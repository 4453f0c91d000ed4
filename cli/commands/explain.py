"""`evctl explain`: what an error's code means, or why a node is on its release."""

from __future__ import annotations

import difflib
import importlib
import pkgutil
import re
import textwrap

import click

from artifacts.errors import EvctlError, error_catalogue
from cli.output import Output, json_option

_CODE = re.compile(r"[Ee]\d{4}", re.ASCII)
# Importing these makes every kind of error known.
_PACKAGES = (
    "artifacts",
    "cli",
    "cli.commands",
    "cli.rollout",
    "cli.ranges",
    "cli.doctor",
    "cli.lab",
    "cli.aws",
)


@click.command()
@click.argument("code", required=False, metavar="[CODE|NODE]")
@json_option
@click.pass_obj
def explain(output: Output, code: str | None, as_json: bool) -> None:
    """What CODE means; without one, all codes. Of a NODE: why it is on its release.

    \b
    Examples:
      evctl explain E2201
      evctl explain collector-01
    """
    known = catalogue()
    if code is None:
        if as_json:
            output.data({name: kind.explanation for name, kind in known.items()})
            return
        for name, kind in known.items():
            click.echo(f"{name}  {textwrap.shorten(kind.explanation, 90)}")
        return
    if not _CODE.fullmatch(code):
        _explain_node(output, code, as_json=as_json)
        return
    if code.upper() not in known:
        raise click.UsageError(f"No error has the code {code}. `evctl explain` lists them all.")
    kind = known[code.upper()]
    if as_json:
        output.data(
            {"code": kind.code, "exit_code": kind.exit_code, "explanation": kind.explanation}
        )
        return
    click.echo(f"{kind.code} (exit code {kind.exit_code})")
    click.echo(textwrap.fill(kind.explanation, 80, initial_indent="  ", subsequent_indent="  "))


def _explain_node(output: Output, node: str, *, as_json: bool) -> None:
    from cli.commands.explain_node import explain_node  # codes need neither Salt nor a fleet

    fleet = output.load_fleet()
    nodes = fleet.nodes()
    if node not in nodes:
        near = difflib.get_close_matches(node, nodes, n=1)
        meant = f" Did you mean {near[0]!r}?" if near else ""
        raise click.UsageError(
            f"{node} is neither a code, such as E4003, nor a node of the fleet.{meant}"
        )
    explain_node(output, fleet, node, as_json=as_json)


def catalogue() -> dict[str, type[EvctlError]]:
    for package_name in _PACKAGES:
        package = importlib.import_module(package_name)
        for module in pkgutil.iter_modules(package.__path__, f"{package_name}."):
            if not module.ispkg:
                importlib.import_module(module.name)
    kinds: dict[str, type[EvctlError]] = {EvctlError.code: EvctlError, **error_catalogue()}
    return dict(sorted(kinds.items()))
