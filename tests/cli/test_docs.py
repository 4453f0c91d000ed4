"""The documents and the command line say the same: each names what the other has."""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from cli.main import evctl
from tests.cli.conftest import REPOSITORY, every_command

PAGES = [REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").rglob("*.md"))]
COMMANDS_PAGE = (REPOSITORY / "docs" / "commands.md").read_text()
# What stands for something in an example.
PLACEHOLDERS = {"<release>": "1.0.0-aaaaaaaaaaaa", "R…": "R000001", "E…": "E4003"}


EVERY = dict(every_command())


def _section(path: str) -> str:
    """What docs/commands.md says about a command: its own part, or the part of its group."""
    parts = re.split(r"^## ", COMMANDS_PAGE, flags=re.M)
    title = " ".join(path.split()[:2]) if path != "evctl" else "For all commands"
    found = [part for part in parts if part.startswith(f"{title}\n")]
    assert len(found) == 1, f"docs/commands.md has no part `{title}`"
    return found[0]


@pytest.mark.parametrize("path", EVERY)
def test_every_command_and_option_is_in_the_documents(path):
    section = _section(path)
    assert path in section or path == "evctl"
    for parameter in EVERY[path].params:
        if isinstance(parameter, click.Option) and "--help" not in parameter.opts:
            for option in parameter.opts:
                assert f"`{option}" in section, f"{path} {option}"


@pytest.mark.parametrize("path", EVERY)
def test_every_documented_option_is_there(path):
    """Of a group's part: an option of some command in it."""
    documented = set(re.findall(r"^\| `(--[a-z-]+)", _section(path), re.M))
    group = " ".join(path.split()[:2])
    has = {
        option
        for name, command in EVERY.items()
        if name in (path, group) or name.startswith(f"{group} ")
        for parameter in command.params
        for option in parameter.opts
    }
    assert documented <= has


def _next_steps(path: Path) -> str:
    """Everything that a source file gives as `next_step`, a line each."""
    calls = [node for node in ast.walk(ast.parse(path.read_bytes())) if isinstance(node, ast.Call)]
    steps = [key.value for call in calls for key in call.keywords if key.arg == "next_step"]
    return "\n".join(
        part.value if isinstance(part.value, str) else ""
        for step in steps
        for part in ast.walk(step)
        if isinstance(part, ast.Constant)
    )


def _examples(text: str) -> Iterator[str]:
    """Lines of code blocks that call evctl, `evctl …` in sentences, and in lines of help."""
    for line in text.splitlines():
        called = re.match(r"\s*(?:\$ )?(evctl .*)", line)
        if called:
            yield re.split(r"\s{2,}|\s#\s", called[1])[0]
        else:
            yield from re.findall(r"`(evctl [^`]*)`", line)


def _cases() -> list[tuple[str, str]]:
    cases = [(page.name, line) for page in PAGES for line in _examples(page.read_text())]
    cases += [(path, line) for path, one in EVERY.items() for line in _examples(one.help or "")]
    return sorted(set(cases))


def _parse(words: list[str]) -> None:
    """By click, up to where it would be carried out. click.UsageError when it can't be."""
    command: click.Command = evctl
    context = command.make_context("evctl", words)
    while isinstance(command, click.Group):
        rest = [*context._protected_args, *context.args]
        if not rest:
            return
        name, found, rest = command.resolve_command(context, rest)
        assert found is not None
        command = found
        context = found.make_context(name, rest, parent=context)


@pytest.mark.parametrize(("where", "line"), _cases())
def test_every_example_is_accepted(where, line, monkeypatch):
    monkeypatch.chdir(REPOSITORY)  # whose evctl.yaml has the tools that examples call
    for placeholder, meant in PLACEHOLDERS.items():
        line = line.replace(placeholder, meant)
    words = shlex.split(line)[1:]
    if any(re.search(r"…|[A-Z]{4}|\[|EXPR", word) for word in words) and "'" not in line:
        # A shape rather than an example: its command must be there.
        words = [word for word in words if re.fullmatch(r"[a-z]+", word)]
        assert any(" ".join(["evctl", *words[:n]]) in EVERY for n in (2, 1)), line
        return
    try:
        _parse(words)
    except click.exceptions.Exit:
        pass  # it was `--help`
    except click.UsageError as error:
        bare = " ".join(["evctl", *words])
        assert bare in EVERY, f"{where}: {line}: {error.format_message()}"  # named, not called


_CALLED = re.compile(r"(?<!run )evctl [a-z]+(?: [a-z]+)?(?: --[a-z-]+)?")
SAID = sorted(
    {
        (str(path.relative_to(REPOSITORY)), said)
        for part in ("artifacts", "cli")
        for path in (REPOSITORY / part).rglob("*.py")
        for said in re.findall(
            r"(?<!run )evctl [a-z]+(?: [a-z]+)?(?: --[a-z-]+)?", _next_steps(path)
        )
    }
)


@pytest.mark.parametrize(("where", "said"), SAID)
def test_what_an_error_says_to_do_next_can_be_done(where, said):
    words = said.split()
    option = words.pop() if words[-1].startswith("--") else None
    path = next((" ".join(words[:n]) for n in (3, 2) if " ".join(words[:n]) in EVERY), None)
    assert path, f"{where}: {said}"
    has = {opt for parameter in EVERY[path].params for opt in parameter.opts} | {"--help"}
    assert option is None or option in has, f"{where}: {said}"


def test_there_are_examples():
    named = {Path(where).name for where, _ in _cases()}
    assert {"README.md", "commands.md", "operations.md", "evctl rollout"} <= named
