"""How each local server is started: commands as data. Each listens on one address alone.

durable: what was acknowledged survives a kill -9; without it all is kept in memory.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from cli.lab.engines import build
from cli.lab.engines.fetch import jars_of, python_environment
from cli.lab.errors import LabNotPossible

QUICK_START = ("-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")


@dataclass(frozen=True)
class Server:
    """environment: beside PATH and HOME. port: takes connections once the server serves."""

    name: str
    argv: tuple[str, ...]
    port: int
    environment: Mapping[str, str] = field(default_factory=dict)


def elasticmq(address: str, port: int, home: Path, *, durable: bool) -> Server:
    """SQS. Its database acknowledges before it has written, unless it is told otherwise."""
    files, java = _java("elasticmq")
    settings = {
        "node-address.host": address,
        "node-address.port": port,
        "node-address.context-path": "",
        "rest-sqs.bind-hostname": address,
        "rest-sqs.bind-port": port,
        "rest-sqs.sqs-limits": "strict",
        "rest-stats.enabled": "false",
    }
    if durable:
        settings |= {
            "messages-storage.enabled": "true",
            "messages-storage.uri": f"jdbc:h2:{home}/messages;WRITE_DELAY=0",
        }
    options = tuple(f"-D{name}={value}" for name, value in settings.items())
    main = ("-cp", f"{files}/*", "org.elasticmq.server.Main")
    return Server("ElasticMQ", (java, *QUICK_START, *options, *main), port)


def dynamodb_local(address: str, port: int, home: Path, *, durable: bool) -> Server:
    files, java = _java("dynamodb-local")
    kept = ("-dbPath", str(home)) if durable else ("-inMemory",)
    options = (f"-Djava.library.path={files}", f"-Daddress={address}")
    main = ("-cp", f"{files}:{files}/*", "OneAddress")
    arguments = ("-port", str(port), "-sharedDb", "-disableTelemetry", *kept)
    return Server("DynamoDB Local", (java, *QUICK_START, *options, *main, *arguments), port)


def s3(address: str, port: int, home: Path, *, durable: bool) -> Server:
    program = environment("s3server") / "bin/ministack"
    variables = {"BIND_HOST": address, "GATEWAY_PORT": str(port), "TMPDIR": str(home)}
    if durable:
        variables |= {"S3_PERSIST": "1", "S3_DATA_DIR": str(home / "objects")}
    return Server("the S3 server", (str(program),), port, variables)


def versitygw(
    address: str,
    port: int,
    home: Path,
    *,
    durable: bool,  # noqa: ARG001 -- it always is, on disk
    region: str,
) -> Server:
    """S3 over a folder. It checks secrets: the credentials of this process."""
    program = build.program()
    if not program.exists():
        raise LabNotPossible(
            "versitygw is not here", why=f"{program} is missing", next_step="make versitygw"
        )
    keys = {
        "ROOT_ACCESS_KEY": os.environ["AWS_ACCESS_KEY_ID"],
        "ROOT_SECRET_KEY": os.environ["AWS_SECRET_ACCESS_KEY"],
    }
    objects = home / "objects"
    objects.mkdir(exist_ok=True)
    where = ("-p", f"{address}:{port}", "--region", region)
    argv = (str(program), *where, "posix", str(objects))
    return Server("versitygw", argv, port, keys)


def environment(name: str) -> Path:
    """A server's own virtual environment, by requirements/<name>.lock; made when it is missing."""
    try:
        return python_environment(name)
    except (OSError, subprocess.SubprocessError) as error:
        raise LabNotPossible(
            f"the server {name} can't be installed", why=str(error), next_step="see why pip fails"
        ) from error


def _java(engine: str) -> tuple[Path, str]:
    files, java = jars_of(engine), shutil.which("java")
    if java is None or not files.exists():
        raise LabNotPossible(
            f"the engine {engine} is not here",
            why="no Java" if java is None else f"{files} is missing",
            next_step="make engines",
        )
    return files, java
