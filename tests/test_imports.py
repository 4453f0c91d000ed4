"""Imports point one way; each library has its place. Read from the source, never by importing."""

import ast
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PARTS = ("eventstore", "artifacts", "cli", "scaling", "demo", "bench", "faults", "salt")

# What a part of the repository may not import.
FORBIDDEN = {
    "eventstore": {"cli", "artifacts", "demo", "faults", "salt"},
    "artifacts": {"cli", "eventstore", "demo", "faults"},
    "cli": {"eventstore", "demo", "faults"},
    "scaling": {"artifacts", "cli", "eventstore", "demo", "faults"},
    "demo": {"faults"},
}

# Where a library may be imported, as globs of paths.
PLACES = {
    "aiohttp": (
        "eventstore/collector/*",
        "eventstore/service.py",
        "eventstore/console/*",
        "demo/*",
        "bench/glue.py",
    ),
    "boto3": ("artifacts/objects_s3*", "cli/aws/account.py", "eventstore/backends/aws/*"),
    "botocore": (
        "artifacts/objects_s3*",
        "cli/aws/account.py",
        "eventstore/backends/aws/*",
        "bench/aws_role.py",
    ),
    "click": ("cli/*",),
    "salt": ("salt/*", "cli/salt_client*", "cli/salt_master*", "cli/lab/*"),
}

# Inside eventstore: what each layer may import of the others. Unlisted modules are checked too.
BASE = {"columnar", "errors", "event", "ledger", "metrics", "times"}
LOW = BASE | {"ports", "settings", "endpoints"}
MIDDLE = LOW | {"address", "dictionaries", "formats", "tagging", "packing"}
LAYERS = {
    "errors": set(),
    "ledger": set(),
    "event": {"errors"},
    "metrics": set(),
    "notify": set(),
    "endpoints": {"errors", "event"},
    "settings": {"errors", "event", "endpoints"},
    "address": set(),
    "columnar": set(),
    "times": {"columnar"},
    "ports": {"errors", "event", "ledger"},
    "dictionaries": {"errors"},
    "packing": {"dictionaries", "errors", "event", "times"},
    "tagging": {"endpoints"},
    "formats": {"columnar", "errors", "event", "times"},
    "backends": {"errors", "event", "ledger", "metrics", "ports"},
    "collector": MIDDLE,
    "worker": BASE,
    "processing": MIDDLE | {"worker"},
    "postprocessing": MIDDLE | {"worker"},
    "autoscaling": BASE | {"ports", "worker", "collector"},
    "engines": LOW | {"backends"},
    "query": MIDDLE | {"engines", "processing", "postprocessing"},
    "console": MIDDLE | {"query"},
    "tools": MIDDLE | {"engines", "processing", "query"},
    "ended": {"metrics"},
    "service": MIDDLE | {"collector", "ended", "notify"},
    "__main__": {"roles"},
    "bare_package": set(),
    "roles": MIDDLE
    | {
        *(
            "bare_package",
            "service",
            "engines",
            "collector",
            "processing",
            "postprocessing",
            "autoscaling",
        ),
        *("query", "tools"),
    },
    "__init__": set(),
}


def sources(part: str) -> list[Path]:
    return sorted((ROOT / part).rglob("*.py"))


def imported(path: Path) -> Iterator[tuple[int, str]]:
    """Line and full dotted name of everything that a file imports."""
    for node in ast.walk(ast.parse(path.read_bytes(), str(path))):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            package = list(path.relative_to(ROOT).parent.parts)
            if node.level:
                package = package[: len(package) - node.level + 1]
                base = ".".join([*package, *(node.module.split(".") if node.module else [])])
            else:
                base = node.module or ""
            yield from ((node.lineno, f"{base}.{alias.name}") for alias in node.names)


@pytest.mark.parametrize("part", PARTS)
def test_parts_and_libraries_are_imported_where_they_may_be(part: str):
    wrong = []
    for path in sources(part):
        name = str(path.relative_to(ROOT))
        for line, module in imported(path):
            top = module.split(".")[0]
            if top in FORBIDDEN.get(part, ()):
                wrong.append(f"{name}:{line} imports {module}")
            if top in PLACES and not any(fnmatch(name, place) for place in PLACES[top]):
                wrong.append(f"{name}:{line} imports {module}: only in {', '.join(PLACES[top])}")
    assert wrong == []


def test_layers_of_the_event_store():
    wrong = []
    for path in sources("eventstore"):
        parts = path.relative_to(ROOT / "eventstore").with_suffix("").parts
        layer = parts[0]
        for line, module in imported(path):
            names = module.split(".")
            if names[0] != "eventstore" or names[1] == layer:
                continue
            if names[1] not in LAYERS[layer]:
                wrong.append(f"{path.relative_to(ROOT)}:{line}: {layer} imports {module}")
    assert wrong == []


def test_there_is_no_package_below_salt_and_no_junk_drawer():
    assert list((ROOT / "salt").rglob("__init__.py")) == []
    names = {path.stem for part in PARTS for path in sources(part)}
    assert names & {"utils", "helpers", "common", "misc"} == set()


def test_the_reader_of_imports_sees_every_kind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(globals(), "ROOT", tmp_path)
    folder = tmp_path / "eventstore" / "collector"
    folder.mkdir(parents=True)
    file = folder / "x.py"
    file.write_text(
        "def f():\n    import cli.main\nfrom ..ports import Queue\nfrom . import body\n"
    )
    assert sorted(name for _, name in imported(file)) == [
        "cli.main",
        "eventstore.collector.body",
        "eventstore.ports.Queue",
    ]
