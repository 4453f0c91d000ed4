"""What a machine does when it first boots: it becomes a node of its role, and joins its master.

Its id is its role and its instance's id. Its one-time token comes as the tag evctl-token, which
`evctl aws join` puts on the instance; nothing that could join a second node is in a template.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from cli.tokens import GRAIN

TOKEN_TAG = "evctl-token"  # noqa: S105 -- the name of a tag
WAITS_MAX = 900  # a second each

_SCRIPT = """\
#!/bin/sh
# A node of {place} with the role {role}. Written by `evctl aws apply`.
set -eu
imds=http://169.254.169.254/latest
session=$(curl -sf -X PUT -H 'X-aws-ec2-metadata-token-ttl-seconds: 21600' $imds/api/token)
ask() {{ curl -sf -H "X-aws-ec2-metadata-token: $session" "$imds/meta-data/$1"; }}
{install}id={role}-$(ask instance-id)
waits=0
until token=$(ask tags/instance/{tag}); do
  waits=$((waits + 1))
  [ $waits -lt {waits_max} ] || {{ echo "$id was given no token: evctl aws join" >&2; exit 1; }}
  sleep 1
done
umask 077
mkdir -p /etc/salt
cat > /etc/salt/minion <<MINION
id: $id
master: {master}
grains: {{{grain}: $token}}
autosign_grains: [{grain}]
startup_states: highstate
acceptance_wait_time: 1
random_reauth_delay: 1
recon_default: 200
recon_max: 2000
recon_randomize: true
tcp_keepalive_idle: 20
tcp_keepalive_intvl: 5
tcp_keepalive_cnt: 3
autoload_dynamic_modules: false
enable_fqdns_grains: false
enable_gpu_grains: false
grains_cache: false
mine_enabled: false
MINION
systemctl enable --now salt-minion
"""


def user_data(place: str, role: str, master: str, install: Sequence[str]) -> str:
    """A shell script for cloud-init. place: <app>-<env>."""
    return _SCRIPT.format(
        place=place,
        role=role,
        master=shlex.quote(master),
        install="".join(f"{command}\n" for command in install),
        tag=TOKEN_TAG,
        waits_max=WAITS_MAX,
        grain=GRAIN,
    )
