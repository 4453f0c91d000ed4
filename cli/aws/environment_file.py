"""Reads aws/<env>.yaml, strictly: docs/aws/README.md has its keys."""

from __future__ import annotations

import difflib
import re
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import yaml

from cli.aws.environment import Alarms, Bucket, Environment, Expects, Group, Queue, Table, Units
from cli.aws.errors import EnvironmentFileError

_NAME = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?", re.ASCII)
_NAME_CHARS_MAX = 63  # a bucket's; all other kinds may have longer ones
_KINDS = {"S", "N", "B"}
DAYS_MAX = 36_500
Read = TypeVar("Read")


def load_environment(env: str, path: Path) -> Environment:
    """EnvironmentFileError names the file, the key, and what it should be."""
    try:
        raw = yaml.safe_load(path.read_text())
    except OSError as error:
        raise EnvironmentFileError(
            f"{path} can't be read",
            why=error.strerror or str(error),
            next_step="write it, as docs/aws/README.md shows; or name another with --file",
        ) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise EnvironmentFileError(
            f"{path} is no YAML", why=" ".join(str(error).split()), next_step="mend the file"
        ) from error
    return _Reader(path).environment(env, raw)


class _Reader:
    def __init__(self, path: Path) -> None:
        self._path = path

    def environment(self, env: str, raw: Any) -> Environment:
        if isinstance(raw, dict) and "env" in raw:
            self._wrong("env", "is no key: --env says it")
        read = self._read(Environment, {**self._mapping(raw, "the file"), "env": env}, "")
        for kind in ("queues", "tables", "buckets", "groups", "roles"):
            for name in getattr(read, kind):
                self._check_name(f"{kind}.{name}", f"{read.prefix}{name}")
        self._check_name("app", read.app)
        self._check_name("--env", read.env)
        if read.account is not None and not re.fullmatch(r"\d{12}", read.account):
            self._wrong("account", "must be twelve digits, in quotes")
        for name, table in read.tables.items():
            self._check_table(f"tables.{name}", table)
        for role, group in read.groups.items():
            if group.min > group.max:
                self._wrong(f"groups.{role}", "has a min above its max")
            if read.account is None:
                self._wrong("account", "is missing: it is where the nodes' machines are")
            if read.master is None:
                self._wrong("master", "is missing: nodes join the Salt master that it names")
        return read

    def _check_name(self, where: str, name: str) -> None:
        if not _NAME.fullmatch(name) or len(name) > _NAME_CHARS_MAX:
            self._wrong(
                where,
                f"makes the name {name!r}: small letters, digits and -, at most {_NAME_CHARS_MAX}"
                " characters",
            )

    def _check_table(self, where: str, table: Table) -> None:
        if len(table.key) not in (1, 2) or not set(table.key.values()) <= _KINDS:
            self._wrong(f"{where}.key", "must have one or two names, each S, N or B")
        if table.warm and table.provisioned:
            self._wrong(where, "is on demand (warm) or provisioned, not both")

    def _read(self, kind: type[Read], raw: Any, where: str) -> Read:
        """A dataclass from a mapping, by its fields' types. None: as if it were empty."""
        given = self._mapping({} if raw is None else raw, where or "the file")
        known = {one.name: one for one in fields(kind)}  # type: ignore[arg-type]  # it is one
        prefix = f"{where}." if where else ""
        for key in given:
            if key not in known:
                near = difflib.get_close_matches(str(key), known, n=1, cutoff=0.0)
                self._wrong(f"{prefix}{key}", "isn't a key", f"did you mean `{near[0]}`?")
        values = {}
        for name, one in known.items():
            if name in given:
                values[name] = self._value(one, given[name], f"{prefix}{name}")
            elif one.default is MISSING and one.default_factory is MISSING:
                self._wrong(f"{prefix}{name}", "is missing")
        return kind(**values)

    def _value(self, one: Any, raw: Any, where: str) -> Any:
        if one.type in _ONE:
            return self._read(_ONE[one.type], raw, where)
        if one.type == "int":
            return self._integer(raw, where, *one.metadata["bounds"])
        if one.type == "tuple[str, ...]":
            return tuple(self._text(text, where) for text in self._list(raw, where))
        if one.type in _MANY:
            return {
                str(name): self._part(_MANY[one.type], part, f"{where}.{name}")
                for name, part in self._mapping(raw, where).items()
            }
        return self._text(raw, where)

    def _part(self, kind: type[Any], raw: Any, where: str) -> Any:
        if kind is int:
            return self._integer(raw, where, 1, DAYS_MAX)
        return self._text(raw, where) if kind is str else self._read(kind, raw, where)

    def _mapping(self, raw: Any, where: str) -> dict[Any, Any]:
        if not isinstance(raw, dict):
            self._wrong(where, "must be keys with values")
        return raw

    def _list(self, raw: Any, where: str) -> list[Any]:
        if not isinstance(raw, list):
            self._wrong(where, "must be a list of texts")
        return raw

    def _integer(self, raw: Any, where: str, low: int, high: int) -> int:
        if not isinstance(raw, int) or isinstance(raw, bool) or not low <= raw <= high:
            self._wrong(where, f"must be a whole number from {low} to {high}")
        return raw

    def _text(self, raw: Any, where: str) -> str:
        if not isinstance(raw, str) or not raw:
            self._wrong(where, "must be a text (in quotes, if it looks like a number)")
        return raw

    def _wrong(self, where: str, why: str, next_step: str = "mend the file") -> NoReturn:
        raise EnvironmentFileError(f"{self._path}: {where} {why}", next_step=next_step)


_MANY: dict[str, type[Any]] = {
    "Mapping[str, str]": str,
    "Mapping[str, int]": int,
    "Mapping[str, Queue]": Queue,
    "Mapping[str, Table]": Table,
    "Mapping[str, Bucket]": Bucket,
    "Mapping[str, Group]": Group,
}
_ONE: dict[str, type[Any]] = {
    "Units | None": Units,
    "Alarms | None": Alarms,
    "Expects | None": Expects,
}
