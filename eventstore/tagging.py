"""Tags: what is known of all events of a pack, stored once for each pack."""

from eventstore.endpoints import Endpoint


def tags_for(endpoint: Endpoint, *, node: str, role: str, release: str) -> dict[str, str]:
    """The endpoint's own tags, and ours, which win.

    `source` is what a client's own ids belong to: a retry that reaches another node, or another
    release, has the same source.
    """
    return {
        **endpoint.tags,
        "endpoint": endpoint.path or "/",
        "tenant": endpoint.tenant,
        "source": endpoint.source or endpoint.path or "/",
        "node": node,
        "role": role,
        "release": release,
    }
