"""evctl.yaml: what an app is. docs/architecture.md has its keys."""

from __future__ import annotations

import difflib
import re
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import yaml

from artifacts.errors import EvctlError
from artifacts.gates import ALL, NONE, PROBE, read_gate
from artifacts.windows import check_window

FILE = "evctl.yaml"
BOUND_S_MAX = 3600.0
_NAME = re.compile(r"[a-z][a-z0-9-]{0,30}")
_VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._]{0,26}")
_APP_KEYS = {
    *("app", "version", "python", "requirements", "include", "exclude", "fleet", "roles", "closed"),
}
_ROLE_KEYS = {"command", "listen", "ready_s", "drain_s", "schemas", "tools", "serving_min", "gates"}


class AppError(EvctlError):
    code = "E5001"
    exit_code = 2
    explanation = (
        "evctl.yaml says what a release packages and what each role runs; something is wrong in it."
    )


@dataclass(frozen=True)
class Tool:
    """What a role can be asked with: `evctl NAME …` runs command on one of its nodes. probe: with
    which arguments it tells after each wave of a rollout whether the app as a whole works."""

    command: tuple[str, ...]
    says: str
    probe: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        facts: dict[str, Any] = {"command": list(self.command), "says": self.says}
        return facts | ({"probe": list(self.probe)} if self.probe else {})


@dataclass(frozen=True)
class Role:
    """What a role runs. listen: TCP port. ready_s, drain_s: bounds of a swap. reads, writes:
    schema versions. tools: by name. serving_min: never fewer nodes serve during a rollout.
    gates: what is compared after each wave, by name."""

    name: str
    command: tuple[str, ...]
    listen: int
    ready_s: float
    drain_s: float
    reads: dict[str, list[int]]
    writes: dict[str, int]
    tools: dict[str, Tool]
    serving_min: int = 0
    gates: dict[str, dict[str, Any]] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """As manifests have it: what isn't there is left out, as before there was such a thing."""
        facts = asdict(self) | {"command": list(self.command)}
        for key in ("serving_min", "gates"):
            if not facts[key]:
                del facts[key]
        facts["tools"] = {name: tool.to_json() for name, tool in self.tools.items()}
        if not self.tools:
            del facts["tools"]
        return facts


@dataclass(frozen=True)
class App:
    """An app. root: the folder of its evctl.yaml; requirements: its hash-pinned lock; closed: the
    windows of the week in which it isn't rolled out."""

    root: Path
    name: str
    version: str
    python: str
    requirements: Path | None
    include: tuple[str, ...]
    exclude: tuple[str, ...]
    fleet: str | None
    roles: dict[str, Role]
    closed: tuple[str, ...] = ()


def find_app(start: Path) -> Path | None:
    """The nearest evctl.yaml, from `start` upwards."""
    for folder in (start, *start.parents):
        if (folder / FILE).is_file():
            return folder / FILE
    return None


def load_app(path: Path) -> App:
    """An app from its evctl.yaml. AppError names the file, the key, and what it should be."""
    return _Reader(path).app()


class _Reader:
    def __init__(self, path: Path) -> None:
        self._path = path

    def app(self) -> App:
        raw = self._mapping(self._yaml(), "the file")
        self._refuse_unknown(raw, _APP_KEYS, "")
        requirements = raw.get("requirements")
        lock = None if requirements is None else self._path.parent / self._text(raw, "requirements")
        if lock is not None and not lock.is_file():
            raise self._wrong("requirements", f"names {requirements}, which isn't there")
        version, name = self._text(raw, "version"), self._text(raw, "app")
        if not _VERSION.fullmatch(version):
            raise self._wrong("version", "must be at most 27 letters, digits, dots")
        if not _NAME.fullmatch(name):
            raise self._wrong("app", "must be a lower-case name")
        python = self._text(raw, "python")
        if not re.fullmatch(r"3\.\d{1,2}", python):
            raise self._wrong("python", 'must be a quoted minor version, such as "3.11"')
        return App(
            root=self._path.parent.resolve(),
            name=name,
            version=version,
            python=python,
            requirements=lock,
            include=self._texts(raw, "include", ["**"]),
            exclude=self._texts(raw, "exclude", []),
            fleet=None if raw.get("fleet") is None else self._text(raw, "fleet"),
            roles=self._roles(raw),
            closed=self._windows(raw),
        )

    def _windows(self, raw: dict[str, Any]) -> tuple[str, ...]:
        windows = self._texts(raw, "closed", [])
        for window in windows:
            try:
                check_window(window)
            except ValueError as error:
                raise self._wrong("closed", f"has {window!r}, which {error}") from error
        return windows

    def _roles(self, raw: dict[str, Any]) -> dict[str, Role]:
        roles = self._mapping(raw.get("roles"), "roles")
        if not roles:
            raise self._wrong("roles", "must name at least one role")
        read = {name: self._role(name, facts) for name, facts in roles.items()}
        ports: dict[int, str] = {}
        for role in read.values():
            if role.listen in ports:
                raise self._wrong(
                    f"roles.{role.name}.listen", f"is the port of {ports[role.listen]} too"
                )
            ports[role.listen] = role.name
        offered: dict[str, str] = {}
        for role in read.values():
            for tool in role.tools:
                if tool in offered:
                    raise self._wrong(
                        f"roles.{role.name}.tools.{tool}", f"is a tool of {offered[tool]} too"
                    )
                offered[tool] = role.name
        probes = [t for role in read.values() for t, tool in role.tools.items() if tool.probe]
        if len(probes) > 1:
            raise self._wrong("roles", f"has more than one probe: of {' and '.join(probes)}")
        return read

    def _role(self, name: str, raw: object) -> Role:
        where = f"roles.{name}"
        if not _NAME.fullmatch(name):
            raise self._wrong(where, "must be a lower-case name")
        facts = self._mapping(raw, where)
        self._refuse_unknown(facts, _ROLE_KEYS, f"{where}.")
        command = self._texts(facts, "command", [], where)
        if not command:
            raise self._wrong(f"{where}.command", "must be a list of words, at least one")
        listen = facts.get("listen")
        if isinstance(listen, bool) or not isinstance(listen, int) or not 0 < listen < 65536:
            raise self._wrong(f"{where}.listen", "must be a TCP port")
        schemas = self._mapping(facts.get("schemas", {}), f"{where}.schemas")
        self._refuse_unknown(schemas, {"reads", "writes"}, f"{where}.schemas.")
        return Role(
            name=name,
            command=command,
            listen=listen,
            ready_s=self._seconds(facts, "ready_s", where),
            drain_s=self._seconds(facts, "drain_s", where),
            reads=self._reads(schemas, f"{where}.schemas.reads"),
            writes=self._writes(schemas, f"{where}.schemas.writes"),
            tools=self._tools(facts, f"{where}.tools"),
            serving_min=self._count(facts, "serving_min", where),
            gates=self._gates(facts, f"{where}.gates"),
        )

    def _gates(self, facts: dict[str, Any], where: str) -> dict[str, dict[str, Any]]:
        gates = self._mapping(facts.get("gates", {}), where)
        for name, raw in gates.items():
            if not _NAME.fullmatch(name) or name in (ALL, NONE, PROBE):
                raise self._wrong(
                    f"{where}.{name}", f"must be a lower-case name, not {ALL}, {NONE} or {PROBE}"
                )
            try:
                read_gate(name, self._mapping(raw, f"{where}.{name}"))
            except ValueError as error:
                raise self._wrong(f"{where}.{name}", str(error)) from error
        return gates

    def _tools(self, facts: dict[str, Any], where: str) -> dict[str, Tool]:
        tools = {}
        for name, raw in self._mapping(facts.get("tools", {}), where).items():
            if not _NAME.fullmatch(name):
                raise self._wrong(f"{where}.{name}", "must be a lower-case name")
            tool = self._mapping(raw, f"{where}.{name}")
            self._refuse_unknown(tool, {"command", "says", "probe"}, f"{where}.{name}.")
            command = self._texts(tool, "command", [], f"{where}.{name}")
            if not command:
                raise self._wrong(
                    f"{where}.{name}.command", "must be a list of words, at least one"
                )
            if not isinstance(tool.get("says"), str) or not tool["says"]:
                raise self._wrong(f"{where}.{name}.says", "must say what it is for")
            probe = self._texts(tool, "probe", [], f"{where}.{name}")
            tools[name] = Tool(command, tool["says"], probe)
        return tools

    def _reads(self, schemas: dict[str, Any], where: str) -> dict[str, list[int]]:
        reads = self._mapping(schemas.get("reads", {}), where)
        for name, versions in reads.items():
            if not isinstance(versions, list) or not all(map(_is_whole, versions)):
                raise self._wrong(f"{where}.{name}", "must be a list of whole numbers")
        return reads

    def _writes(self, schemas: dict[str, Any], where: str) -> dict[str, int]:
        writes = self._mapping(schemas.get("writes", {}), where)
        for name, version in writes.items():
            if not _is_whole(version):
                raise self._wrong(f"{where}.{name}", "must be a whole number")
        return writes

    def _yaml(self) -> object:
        try:
            return yaml.safe_load(self._path.read_text(encoding="utf-8"))
        except OSError as error:
            raise AppError(
                f"can't read {self._path}",
                why=error.strerror or str(error),
                next_step="run evctl where the app is, or below",
            ) from error
        except (yaml.YAMLError, ValueError, RecursionError) as error:
            # ValueError: no UTF-8, or a date that is none; RecursionError: nested too deep.
            raise AppError(
                f"{self._path} isn't YAML",
                why=" ".join(str(error).split()),
                next_step="mend that line",
            ) from error

    def _wrong(self, key: str, what: str) -> AppError:
        return AppError(
            f"{self._path}: `{key}` {what}", next_step="docs/architecture.md has every key"
        )

    def _refuse_unknown(self, raw: dict[str, Any], known: set[str], where: str) -> None:
        for key in raw:
            if key not in known:
                near = difflib.get_close_matches(key, sorted(known), n=1, cutoff=0.0)[0]
                raise self._wrong(f"{where}{key}", f"isn't a key; did you mean `{near}`?")

    def _mapping(self, raw: object, where: str) -> dict[str, Any]:
        if not isinstance(raw, dict) or not all(isinstance(key, str) for key in raw):
            raise self._wrong(where, "must be a mapping")
        return raw

    def _text(self, raw: dict[str, Any], key: str) -> str:
        value = raw.get(key)
        if not isinstance(value, str) or not value:
            raise self._wrong(key, "is missing" if value is None else "must be a text")
        return value

    def _texts(
        self, raw: dict[str, Any], key: str, default: list[str], where: str = ""
    ) -> tuple[str, ...]:
        value = raw.get(key, default)
        if not isinstance(value, list) or not all(isinstance(v, str) and v for v in value):
            raise self._wrong(f"{where}.{key}".lstrip("."), "must be a list of texts")
        return tuple(value)

    def _count(self, facts: dict[str, Any], key: str, where: str) -> int:
        value = facts.get(key, 0)
        if not _is_whole(value) or not 0 <= value < 1_000_000:
            raise self._wrong(f"{where}.{key}", "must be a number of nodes")
        return int(value)

    def _seconds(self, raw: dict[str, Any], key: str, where: str) -> float:
        value = raw.get(key)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self._wrong(f"{where}.{key}", "must be a number of seconds")
        if not 0 < value <= BOUND_S_MAX:
            raise self._wrong(f"{where}.{key}", f"must be above 0 and at most {BOUND_S_MAX:.0f}")
        return float(value)


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
