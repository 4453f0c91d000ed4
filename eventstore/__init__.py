"""The reference event store.

An event's way:
endpoint → format → tags → pack → QUEUE → lease → enrich → STORE → partials → windows.

Imports point one way: event, errors ← ports ← formats, tagging, packing ← collector, processing,
postprocessing ← service ← roles. `docs/wire-format.md` has the pack, `docs/settings.md` the
settings.
"""
