"""`evctl explain`: what an error's code means."""

from __future__ import annotations

import importlib
import pkgutil
import textwrap

import click

from artifacts.errors import EvctlError, error_catalogue
from cli.output import Output, json_option

# Importing these makes every kind of error known.
_PACKAGES = (
    "artifacts",
    "cli",
    "cli.commands",
    "cli.rollout",
    "cli.ranges",
    "cli.doctor",
    "cli.lab",
)


@click.command()
@click.argument("code", required=False)
@json_option
@click.pass_obj
def explain(output: Output, code: str | None, as_json: bool) -> None:
    """What CODE means; without one, all codes.

    \b
    Example:
      evctl explain E2201
    """
    known = catalogue()
    if code is None:
        if as_json:
            output.data({name: kind.explanation for name, kind in known.items()})
            return
        for name, kind in known.items():
            click.echo(f"{name}  {textwrap.shorten(kind.explanation, 90)}")
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
    click.echo(textwrap.fill(kind.explanation, 90, initial_indent="  ", subsequent_indent="  "))


def catalogue() -> dict[str, type[EvctlError]]:
    for package_name in _PACKAGES:
        package = importlib.import_module(package_name)
        for module in pkgutil.iter_modules(package.__path__, f"{package_name}."):
            if not module.ispkg:
                importlib.import_module(module.name)
    kinds: dict[str, type[EvctlError]] = {EvctlError.code: EvctlError, **error_catalogue()}
    return dict(sorted(kinds.items()))
