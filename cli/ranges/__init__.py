"""Range expressions: which nodes. Node sets are ClusterShell's; the rest is read left to right.

collector-01            a node            collector-[01-04]   several      '*-01'   by pattern
role:collector          all of a role     az:a  channel:canary             by the fleet's map
@group                  by the fleet's map, and the node's pillar as its Salt master gave it
ver:1.2.0  state:idle   by what the nodes answer             all           every node
A,B   either            A&B   both        A!B   A without B   A^B   one but not both
(…)                     first             role:collector/10%  A/3          a sample, always the same
salt{G@os:Debian and not web3}            what Salt's own compound matcher says on each node

errors     what can be wrong with an expression, and where in it
grammar    expression → parts
sets       what the operators do with nodes, also with those of which it can't be told
meaning    parts → nodes: those that are named, and those of which it can't be told

What only the nodes can say is asked by `cli.asked`.
"""

from __future__ import annotations

from cli.ranges.errors import NotTold, RangeError
from cli.ranges.grammar import ALL, EXPRESSION_BYTES_MAX
from cli.ranges.meaning import counted, fold, is_whole_fleet, meaning_of, nodes_in

__all__ = [
    "ALL",
    "EXPRESSION_BYTES_MAX",
    "NotTold",
    "RangeError",
    "counted",
    "fold",
    "is_whole_fleet",
    "meaning_of",
    "nodes_in",
]
