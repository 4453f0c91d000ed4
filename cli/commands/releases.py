"""`evctl releases`: what is published."""

from __future__ import annotations

import click

from cli.output import Output, json_option

SHOWN_MAX = 50


@click.command()
@json_option
@click.pass_obj
def releases(output: Output, as_json: bool) -> None:
    """List the published releases, newest commit first, and what the channels name.

    \b
    Example:
      evctl releases --json
    """
    fleet = output.load_fleet()
    registry = fleet.registry()
    manifests = sorted(
        (registry.manifest(release) for release in registry.releases()),
        key=lambda manifest: manifest.created_at,
        reverse=True,
    )
    channels = {name: registry.channel(name) for name in fleet.config.channels}
    if as_json:
        listed = [
            {"release": m.release, "commit": m.commit, "created_at": m.created_at, "app": m.app}
            for m in manifests
        ]
        output.data({"releases": listed, "channels": channels})
        return
    for manifest in manifests[:SHOWN_MAX]:
        marks = "".join(
            f"  {name}: {', '.join(named)}"
            for name, roles in channels.items()
            if (named := sorted(role for role in roles if roles[role] == manifest.release))
        )
        click.echo(f"{manifest.release}  {manifest.created_at}  {manifest.commit[:12]}{marks}")
    if not manifests:
        click.echo("none yet · next: evctl release --channel stable")
