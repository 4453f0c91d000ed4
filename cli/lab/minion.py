"""What a node knows when it first boots: its id, its master and a one-time token."""

from __future__ import annotations

from pathlib import Path

import yaml

from cli.lab.spec import Lab, NodeSpec
from cli.tokens import GRAIN


def config(lab: Lab, node: NodeSpec, token: str) -> str:
    """The minion's settings file. Its role is not among them: that is the master's to say."""
    return yaml.safe_dump(
        {
            "id": node.id,
            "master": lab.master_address,
            "grains": {GRAIN: token},
            "autosign_grains": [GRAIN],
            "startup_states": "highstate",
            "acceptance_wait_time": 1,
            "random_reauth_delay": 1,
            "recon_default": 200,
            "recon_max": 2000,
            "recon_randomize": True,
            # A master gives up a node that it can't write to for a minute, and tells nobody who is
            # cut off: by Salt's own 300 s such a node would hear nothing for five minutes more.
            "tcp_keepalive_idle": 20,
            "tcp_keepalive_intvl": 5,
            "tcp_keepalive_cnt": 3,
            "auth_timeout": 5,
            "master_alive_interval": 0,
            "autoload_dynamic_modules": False,  # the toolkit's states bring its own
            "enable_fqdns_grains": False,
            "enable_gpu_grains": False,
            "grains_cache": False,
            "log_level": "warning",
            "log_level_logfile": "warning",
            "mine_enabled": False,
        }
    )


def config_below(lab: Lab, node: NodeSpec, token: str, root: Path, user: str) -> str:
    """The same for a minion that lives in a folder of its own instead of on a machine."""
    below = {
        "user": user,
        "root_dir": "/",  # Salt puts it before every path below, were it another
        "pki_dir": str(root / "etc/salt/pki"),
        "cachedir": str(root / "var/cache/salt"),
        "sock_dir": str(lab.run / node.id / "s"),
        "log_file": str(root / "var/log/salt/minion"),
        "pidfile": str(root / "run/salt-minion.pid"),
        "extension_modules": str(root / "var/cache/salt/extmods"),
    }
    return config(lab, node, token) + yaml.safe_dump(below)
