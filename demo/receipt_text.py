"""The receipt on a terminal: plain text, in colour only where somebody sees it."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import TextIO

from demo.receipt import (
    HELP_S_MAX,
    MIB_PSS_MAX,
    POWER_ON_S_MAX,
    ROLLBACK_S_MAX,
    SWAP_S_MAX,
    Receipt,
    count,
)

GREEN, RED, YELLOW, BOLD, FAINT = "32", "31", "33", "1", "2"


def show(receipt: Receipt, reasons: Sequence[str], stream: TextIO) -> None:
    """Prints it; `reasons` are the verdict's."""
    colour = stream.isatty() and "NO_COLOR" not in os.environ
    for line in lines(receipt, reasons, colour=colour):
        print(line, file=stream)


def lines(receipt: Receipt, reasons: Sequence[str], *, colour: bool = False) -> Iterator[str]:
    """The summary, line by line, at most 100 columns wide."""

    def paint(code: str, text: str) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if colour else text

    def zero(found: int, word: str) -> str:
        return paint(GREEN if found == 0 else RED, f"{found:,} {word}")

    requests, events = receipt.requests, receipt.events
    yield paint(BOLD, "Receipt") + paint(FAINT, f"  driver {receipt.driver}: {receipt.why_driver}")
    yield ""
    yield (
        f"  requests    {requests.sent:,} sent, {zero(requests.failed, 'failed')}"
        f"      p50 {requests.p50_ms:g} ms   p99 {requests.p99_ms:g} ms"
        f"   max {requests.max_ms:g} ms"
    )
    if receipt.failures_by_kind:
        kinds = ", ".join(f"{kind} {n:,}" for kind, n in sorted(receipt.failures_by_kind.items()))
        yield paint(RED, f"              {kinds}")
    yield (
        f"  events      {events.acked:,} acknowledged, {events.stored:,} stored:"
        f" {zero(events.lost, 'lost')}, {zero(events.duplicated, 'duplicated')},"
        f" {zero(events.phantom, 'phantom')}"
    )
    yield (
        f"  aggregates  {receipt.aggregates.windows:,} windows,"
        f" {zero(receipt.aggregates.mismatches, 'mismatches')}"
    )
    if receipt.engine == "aws":
        kept = receipt.kept
        yield (
            f"  packs       {kept.packs:,} on SQS and DynamoDB: {kept.in_segments:,} in"
            f" {count(kept.segments, 'segment')} of S3, {kept.with_dictionary:,} with a dictionary"
        )
    if receipt.billed:
        billed = receipt.billed
        yield (
            f"  bill        $ {billed.usd:.4f}: $ {billed.usd_per_billion_events:,.2f} a billion"
            f" events, of {billed.generations} generations, {billed.ended} of them ended"
        )
    yield ""
    for one in receipt.rollouts:
        state = one.state.replace("_", " ")
        glyph = "✔" if state == "converged" else "↩" if state.startswith("roll") else "✗"
        extent = f"{count(one.nodes, 'node')}, {count(one.swaps, 'swap')}, {one.duration_s:.1f} s"
        yield f"  {glyph} {one.id}  {one.from_} → {one.to}  {state}  {extent}"
    yield f"    {count(receipt.swaps, 'swap')} in all"
    yield ""
    for name, node in sorted(receipt.nodes.items()):
        yield f"  {name:<18} {node.role:<14} {node.release}"
    yield ""
    for name, value, bound, unit in speeds(receipt):
        within = value <= bound
        mark = paint(GREEN, "✔") if within else paint(YELLOW, "!")
        yield f"  {mark} {name:<42} {value:>8.2f} {unit:<4} {paint(FAINT, f'aim {bound:g} {unit}')}"
    yield ""
    if reasons:
        yield paint(RED, "✗ not good:")
        for reason in reasons:
            yield paint(RED, f"  - {reason}")
    else:
        yield paint(GREEN, "✔ Nothing was lost.")


def speeds(receipt: Receipt) -> Iterator[tuple[str, float, float, str]]:
    """What was measured: name, value, what it should stay under, unit."""
    speed = receipt.speed
    if speed.power_on_to_serving_s:
        node, slowest = max(speed.power_on_to_serving_s.items(), key=lambda one: one[1])
        yield f"power-on to serving ({node})", slowest, POWER_ON_S_MAX, "s"
    if speed.swap_s is not None:
        yield "swap without its drain, median", speed.swap_s.p50, SWAP_S_MAX, "s"
        yield "swap without its drain, slowest", speed.swap_s.max, SWAP_S_MAX, "s"
    if speed.rollback_one_node_s is not None:
        yield "rollback of one node, no registry", speed.rollback_one_node_s, ROLLBACK_S_MAX, "s"
    for role, mib in sorted(speed.pss_mib.items()):
        yield f"memory of a {role} at rest", mib, MIB_PSS_MAX, "MiB"
    if speed.evctl_help_s is not None:
        yield "evctl --help", speed.evctl_help_s, HELP_S_MAX, "s"
