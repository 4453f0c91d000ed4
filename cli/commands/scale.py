"""`evctl scale`: how many nodes, what they cost, and why the autoscaler wants what it wants."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
import yaml

from artifacts.errors import EvctlError
from cli import scale_view
from cli.output import Output, json_option
from scaling import figures, prices, trace
from scaling.capacity import capacity as capacity_of
from scaling.capacity import pack_events_at
from scaling.consumption import Placement
from scaling.decide import Target
from scaling.simulate import World
from scaling.simulate import simulate as simulate_trace
from scaling.targets import BadTargets, targets_of

FILE = click.Path(path_type=Path, exists=True, dir_okay=False)
INSTANCES = tuple(prices.load().instances)


class NotScalable(EvctlError):
    code = "E5601"
    exit_code = 2
    explanation = (
        "A file that `evctl scale` was given is not what it should be: a trace has lines of"
        " seconds,events_per_s; targets are {role: {ceiling: 8}}; figures are a bench.json of"
        " `make bench`."
    )


@click.group()
def scale() -> None:
    """How many nodes, what they cost, and why the autoscaler wants what it wants.

    \b
    Examples:
      evctl scale capacity --rate 200000      what that needs and costs, on paper
      evctl scale simulate --trace docs/traces/day.csv
      evctl scale explain                     why there are as many as there are
    """


rate_option = click.option(
    "--rate", type=click.FloatRange(0, 1e9, min_open=True), required=True, help="Events a second."
)
bytes_option = click.option(
    "--event-bytes",
    type=click.FloatRange(1, 1 << 20),
    default=250,
    show_default=True,
    help="Of one event, as it is sent.",
)
pack_option = click.option(
    "--pack-events",
    type=click.FloatRange(1, 100_000),
    help="Events that share a pack; else what comes in a tenth of a second, up to 1 MiB.",
)
instance_option = click.option(
    "--instance",
    type=click.Choice(INSTANCES),
    default="c7g.medium",
    show_default=True,
    help="What each node is.",
)
placement_option = click.option(
    "--placement",
    type=click.Choice(["auto", "items", "segments"]),
    default="auto",
    show_default=True,
    help="Where packs go: into items, into segments of S3, or where it costs less.",
)
figures_option = click.option(
    "--figures", "bench", type=FILE, help="A bench.json of your own instead of evctl's figures."
)


@scale.command()
@rate_option
@bytes_option
@pack_option
@instance_option
@placement_option
@click.option(
    "--client-ids",
    type=click.FloatRange(0, 1),
    default=0,
    show_default=True,
    help="The share of events that bear an id of their client's.",
)
@figures_option
@json_option
@click.pass_obj
def capacity(
    output: Output,
    *,
    rate: float,
    event_bytes: float,
    pack_events: float | None,
    instance: str,
    placement: Placement,
    client_ids: float,
    bench: Path | None,
    as_json: bool,
) -> None:
    """Nodes, queues, units, requests and money for a rate, and what binds first. Asks nobody.

    \b
    Examples:
      evctl scale capacity --rate 200000 --event-bytes 250
      evctl scale capacity --rate 100 --pack-events 10 --placement items
      evctl scale capacity --rate 200000 --client-ids 1 --json
    """
    found = capacity_of(
        rate,
        event_bytes,
        _figures(bench),
        prices.load(),
        instance=instance,
        placement=placement,
        pack_events=pack_events,
        client_ids=client_ids,
    )
    if as_json:
        output.data(found.to_json())
        return
    for line in scale_view.capacity_lines(found, prices.load()):
        click.echo(line)


@scale.command()
@click.option(
    "--trace", "trace_file", type=FILE, required=True, help="Lines of seconds,events_per_s."
)
@click.option("--targets", "targets_file", type=FILE, help="YAML: {role: {ceiling: 8}}.")
@bytes_option
@pack_option
@instance_option
@placement_option
@click.option(
    "--warm-writes",
    type=click.FloatRange(1, 1e6),
    default=4000,
    show_default=True,
    help="Write units a second that the table was made for.",
)
@figures_option
@json_option
@click.pass_obj
def simulate(
    output: Output,
    *,
    trace_file: Path,
    targets_file: Path | None,
    event_bytes: float,
    pack_events: float | None,
    instance: str,
    placement: Placement,
    warm_writes: float,
    bench: Path | None,
    as_json: bool,
) -> None:
    """Replay a traffic trace against the autoscaler's own decisions. The same trace, the same end.

    With --json a line for each look that the autoscaler takes, every 15 s.

    \b
    Examples:
      evctl scale simulate --trace docs/traces/four-fold.csv
      evctl scale simulate --trace docs/traces/day.csv --warm-writes 40000
      evctl scale simulate --trace docs/traces/day.csv --placement items --json
    """
    try:
        traffic = trace.load(trace_file)
    except trace.BadTrace as error:
        raise _not_scalable(trace_file, error) from error
    targets = _targets(targets_file)
    per_pack = pack_events or pack_events_at(traffic.peak, event_bytes, targets["collector"].floor)
    world = World(
        figures=_figures(bench),
        prices=prices.load(),
        instance=instance,
        event_bytes=event_bytes,
        pack_events=per_pack,
        targets=targets,
        placement=placement,
        warm_writes=warm_writes,
    )
    ticks = list(simulate_trace(traffic, world))
    if not ticks:
        raise NotScalable(
            f"{trace_file} ends before the first look",
            why=f"it has {traffic.seconds:g} s, the autoscaler looks every {world.tick_s:g} s",
            next_step="give it a longer trace",
        )
    if as_json:
        for tick in ticks:
            output.data(vars(tick))
        return
    for line in scale_view.simulation_lines(ticks, world.tick_s):
        click.echo(line)


@scale.command()
@json_option
@click.pass_obj
def explain(output: Output, as_json: bool) -> None:
    """Why each role has the nodes that it has: the last decisions of the autoscaler that decides.

    \b
    Examples:
      evctl scale explain
      evctl scale explain --json
    """
    from cli.asked import client_of
    from cli.desired import ask_autoscalers

    fleet = output.load_fleet()
    said = ask_autoscalers(client_of(fleet), fleet.nodes())
    if as_json:
        output.data(vars(said))
        return
    for line in scale_view.decision_lines(said.node, said.at, said.roles, said.changes):
        click.echo(line)


def _figures(bench: Path | None) -> figures.Figures:
    try:
        return figures.load(bench)
    except figures.BadFigures as error:
        raise _not_scalable(bench, error) from error


def _targets(file: Path | None) -> Mapping[str, Target]:
    try:
        document: Any = {} if file is None else yaml.safe_load(file.read_bytes())
        return targets_of(document or {})
    except (BadTargets, OSError, yaml.YAMLError) as error:
        raise _not_scalable(file, error) from error


def _not_scalable(file: Path | None, error: Exception) -> NotScalable:
    return NotScalable(
        f"{file} can't be used", why=" ".join(str(error).split()), next_step="evctl scale --help"
    )
