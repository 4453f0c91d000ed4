"""What can be told of the Salt master by looking at it: nothing is published, no node is asked."""

from __future__ import annotations

import socket
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from cli.salt_client import enter_network, refused, settings_of_master, unreachable

Key = Literal["joined", "waiting", "refused"]

# Where Salt keeps the keys of the nodes, below its pki_dir. A node may be in two of them: what is
# accepted counts first.
_FOLDERS: tuple[tuple[str, Key], ...] = (
    ("minions", "joined"),
    ("minions_rejected", "refused"),
    ("minions_denied", "refused"),
    ("minions_pre", "waiting"),
)
LISTENS_S = 2.0


@dataclass(frozen=True)
class SaltMaster:
    """The master whose settings lie in `config`. network: the namespace of its sockets."""

    config: Path
    network: str | None

    def keys(self) -> dict[str, Key]:
        """Node → what the master makes of its key. MasterUnreachable, MasterRefused."""
        pki = Path(self.options()["pki_dir"])
        found: dict[str, Key] = {}
        try:
            for folder, key in _FOLDERS:
                if (pki / folder).is_dir():
                    for file in (pki / folder).iterdir():
                        found.setdefault(file.name, key)
        except PermissionError as error:
            raise refused(error) from error
        return found

    def pillars(self, nodes: Collection[str]) -> dict[str, dict[str, Any]]:
        """Node → the pillar that the master gave it last, also while both are down; a node that has
        never asked for one isn't in it. MasterUnreachable, MasterRefused."""
        options = self.options()
        from salt.cache import factory
        from salt.exceptions import SaltCacheError

        cache = factory(options)
        try:
            found = {node: cache.fetch("pillar", node) for node in nodes}
        except (SaltCacheError, PermissionError) as error:
            raise refused(error) from error
        return {node: pillar for node, pillar in found.items() if pillar}

    def check_listens(self) -> None:
        """MasterUnreachable when nothing accepts a connection where nodes and clients send what
        they have to say. This thread moves to the master's network for good."""
        options = self.options()
        enter_network(self.network)
        interface = options["interface"]
        address = "127.0.0.1" if interface == "0.0.0.0" else interface  # noqa: S104 - not bound
        try:
            socket.create_connection((address, options["ret_port"]), LISTENS_S).close()
        except OSError as error:
            where = f"{address}:{options['ret_port']}"
            raise unreachable(f"{where}: {error.strerror or error}") from error

    def options(self) -> Any:
        """All its settings, with Salt's own defaults. MasterUnreachable, MasterRefused."""
        settings = settings_of_master(self.config)
        import salt.config

        return salt.config.master_config(str(settings))


def version() -> str:
    """Of the Salt that is installed here."""
    from salt.version import __version__

    return str(__version__)
