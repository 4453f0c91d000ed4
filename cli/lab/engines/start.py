"""A lab's event store on local servers that speak AWS's protocols: started, and made ready."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from cli.lab import namespaces
from cli.lab.engines import servers
from cli.lab.errors import LabFailed
from cli.lab.image import Progress
from cli.lab.launch import launch
from cli.lab.spec import REPOSITORY, Lab
from cli.lab.waiting import listens, until

REGION = "eu-central-1"
# The servers take any; the roles find these where they would find those of an account.
VARIABLES = {
    "AWS_ACCESS_KEY_ID": "lab",
    "AWS_SECRET_ACCESS_KEY": "lab",
    "AWS_EC2_METADATA_DISABLED": "true",
}
PORTS = {"sqs": 9324, "dynamodb": 8000, "s3": 9000}
MAKERS = {"sqs": servers.elasticmq, "dynamodb": servers.dynamodb_local, "s3": servers.s3}
START_S = 120.0
CREATE_S = 120.0


def settings_of(lab: Lab) -> dict[str, str]:
    """Where the lab's event store is, in the settings of its roles."""

    def url(scheme: str, name: str) -> str:
        endpoint = f"http://{lab.master_address}:{PORTS[scheme]}"
        return f"{scheme}://{name}?region={REGION}&endpoint={endpoint}"

    return {
        "queue": url("sqs", "packs"),
        "store": url("dynamodb", "events"),
        "segments": url("s3", "lab/segments"),
        "aggregates": url("s3", "lab/aggregates"),
        "claims": url("s3", "lab/claims"),
    }


def start(lab: Lab, progress: Progress) -> None:
    """Those that don't answer; then the queue, the table and the bucket, where they are missing."""
    for scheme, port in PORTS.items():
        if listens(lab, port):
            continue
        home = lab.engines / scheme
        home.mkdir(parents=True, exist_ok=True, mode=0o700)
        server = MAKERS[scheme](lab.master_address, port, home, durable=True)
        progress(f"{server.name} on {lab.master_address}:{port}")
        network = lab.network if lab.driver == "nspawn" else None
        launch(lab, server.argv, log=_log(lab, scheme), network=network, env=server.environment)
    for scheme, port in PORTS.items():
        if not until(lambda port=port: listens(lab, port), START_S):  # type: ignore[misc]
            said = _log(lab, scheme).read_text()[-300:].strip()
            raise LabFailed(
                f"the server for {scheme} doesn't answer",
                why=f"not within {START_S:.0f} s; it said: {said}",
                next_step=f"see {_log(lab, scheme)}; then evctl lab down",
            )
    _create(lab)


def _log(lab: Lab, scheme: str) -> Path:
    return lab.root / "engines" / f"{scheme}.log"


def _create(lab: Lab) -> None:
    inside = namespaces.inside(lab)
    tool = (sys.executable, "-m", "eventstore", "events", "create")
    done = subprocess.run(
        (*inside, *tool, "--settings", str(lab.store_settings), "--yes"),
        cwd=REPOSITORY,
        env={"PATH": os.environ["PATH"], **VARIABLES},
        capture_output=True,
        text=True,
        timeout=CREATE_S,
        check=False,
    )
    if done.returncode:
        raise LabFailed(
            "queue, table and bucket could not be made",
            why=done.stderr.strip()[-300:],
            next_step=f"see {lab.root / 'engines'}; then evctl lab down",
        )
