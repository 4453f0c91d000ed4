"""`evctl key`: keys that sign releases."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import click

from cli.output import Output, json_option


@click.group()
def key() -> None:
    """Keys that sign releases.

    \b
    Example:
      evctl key new /etc/evctl/signing.key
    """


@key.command()
@click.argument("path", type=click.Path(path_type=Path, dir_okay=False))
@json_option
@click.pass_obj
def new(output: Output, path: Path, as_json: bool) -> None:
    """Make a private key at PATH, for its owner alone, and print the public half.

    The history of the fleet that is worked on from here tells of it, if there is one yet.

    \b
    Example:
      evctl key new /etc/evctl/signing.key
    """
    from artifacts.trust import new_signing_key

    if path.exists():
        raise click.UsageError(f"{path} exists already; a key is never overwritten.")
    public = new_signing_key(path)
    _tell_the_fleet(output, path, public)
    if as_json:
        output.data({"path": str(path), "public": public})
        return
    click.echo(public)
    output.say("●", "put it under `trust` in fleet.yaml")


def _tell_the_fleet(output: Output, path: Path, public: str) -> None:
    from cli.announce import record_done
    from cli.fleet import FleetError

    with suppress(FleetError):  # the first key is made before there is a fleet
        fleet = output.load_fleet()
        record_done(output, fleet, "key", {"path": str(path), "public": public}, why="")
