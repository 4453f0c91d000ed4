"""`evctl release`: from this app's tree to the registry."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import click

from artifacts.app import AppError, find_app, load_app
from artifacts.errors import EvctlError
from artifacts.manifest import Manifest
from cli.announce import record_done, tell_nodes
from cli.fleet import Fleet, FleetNotAllowed
from cli.output import GOOD, NOTE, Output, json_option
from cli.promotion import point, promotion, require_order


@click.command()
@click.option(
    "--channel", help="Point this channel at it, for every role: `stable` is for new nodes."
)
@click.option("--reason", default="", help="Why; kept in the history.")
@click.option("--allow-dirty", is_flag=True, help="Release files that differ from the commit.")
@json_option
@click.pass_obj
def release(
    output: Output, *, channel: str | None, reason: str, allow_dirty: bool, as_json: bool
) -> None:
    """Package this app's tracked files and its wheels, sign, and publish.

    \b
    Examples:
      evctl release                     publish the commit that is checked out
      evctl release --channel stable    and let new nodes start with it

    The same commit gives the same release on any machine. Publishing it again changes nothing.
    """
    from artifacts.release import build

    began = time.monotonic()
    app_file = find_app(Path.cwd())
    if app_file is None:
        raise AppError(
            "there is no evctl.yaml here, nor above",
            next_step="run it inside an app's repository; docs/architecture.md says what an app is",
        )
    app, fleet = load_app(app_file), output.load_fleet()
    signing_key, registry = fleet.signing_key(), fleet.registry()
    if channel is not None:
        fleet.check_channel(channel)
    with _place_to_build(fleet) as folder:
        tarball, manifest = build(
            app,
            folder,
            wheels_cache=fleet.cache() / "wheels",
            allow_dirty=allow_dirty,
            progress=lambda line: output.say(NOTE, line),
        )
        if channel:
            require_order(fleet, manifest.roles, channel, manifest.release)
        published = registry.publish(tarball, manifest, signing_key)
    if published:
        record_done(output, fleet, "release", {"release": manifest.release}, why=reason)
    if channel:
        point(fleet, promotion(fleet, manifest.release, manifest.roles, channel))
        what = {"channel": channel, "release": manifest.release}
        record_done(output, fleet, "channel", what, why=reason)
        tell_nodes(output, fleet)
        output.say(NOTE, f"channel {channel} → {manifest.release}")
    seconds = time.monotonic() - began
    if as_json:
        output.data(
            {
                "release": manifest.release,
                "published": published,
                "channel": channel,
                "commit": manifest.commit,
                "bytes": manifest.tarball_bytes,
                "roles": sorted(manifest.roles),
                "seconds": round(seconds, 3),
            }
        )
        return
    said = "published" if published else "was published already"
    size = manifest.tarball_bytes
    sized = f"{size / 1e6:.1f} MB" if size >= 1e6 else f"{size / 1e3:.0f} kB"
    click.echo(f"{output.mark(GOOD)} {manifest.release} {said} · {sized} · {seconds:.1f} s")
    click.echo(f"next: {_next_step(fleet, manifest)}")


def _next_step(fleet: Fleet, manifest: Manifest) -> str:
    """A rollout to the roles that nodes have."""
    roles = set(manifest.roles)
    with suppress(EvctlError):  # where releases are made, the map of nodes needn't be
        roles &= {node.role for node in fleet.nodes().values() if node.role}
    if not roles:
        return f"name nodes in {fleet.config.nodes}; in a lab: evctl lab up"
    expression = ",".join(f"role:{name}" for name in sorted(roles))
    return f"evctl rollout --range '{expression}' --to {manifest.release}"


@contextmanager
def _place_to_build(fleet: Fleet) -> Iterator[Path]:
    """In the cache; this command's own, since another may release the same. FleetNotAllowed."""
    built = fleet.cache() / "built"
    try:
        built.mkdir(parents=True, exist_ok=True)
        folder = tempfile.TemporaryDirectory(dir=built)
    except PermissionError as error:
        raise FleetNotAllowed(
            f"can't write {fleet.cache()}",
            why=error.strerror or str(error),
            next_step=f"run it as its owner, or name another `cache` in {fleet.path}",
        ) from error
    with folder as name:
        yield Path(name)
