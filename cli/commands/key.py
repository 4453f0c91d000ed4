"""`evctl key`: keys that sign releases."""

from __future__ import annotations

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

    \b
    Example:
      evctl key new /etc/evctl/signing.key
    """
    from artifacts.trust import new_signing_key

    if path.exists():
        raise click.UsageError(f"{path} exists already; a key is never overwritten.")
    public = new_signing_key(path)
    if as_json:
        output.data({"path": str(path), "public": public})
        return
    click.echo(public)
    output.say("●", "put it under `trust` in fleet.yaml")
