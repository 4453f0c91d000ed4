"""evctl.yaml: what is right loads whole; what is wrong is said with the file and the key."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from artifacts.app import AppError, find_app, load_app

REPOSITORY = Path(__file__).parent.parent.parent


def right() -> dict[str, Any]:
    return {
        "app": "shop",
        "version": "1.0.0",
        "python": "3.11",
        "roles": {"web": {"command": ["python", "-m", "shop"], "listen": 80, "ready_s": 5,
                          "drain_s": 2.5, "schemas": {"reads": {"cart": [1, 2]},
                                                      "writes": {"cart": 2}},
                          "tools": {"carts": {"command": ["python", "-m", "shop.carts"],
                                              "says": "Look into carts."}}}},
    }  # fmt: skip


def changed(path: str, value: Any) -> dict[str, Any]:
    raw = right()
    *folders, key = path.split("/")
    at = raw
    for folder in folders:
        at = at[folder]
    at[key] = value
    return raw


def write(folder: Path, raw: Any) -> Path:
    path = folder / "evctl.yaml"
    path.write_text(raw if isinstance(raw, str) else yaml.safe_dump(raw))
    return path


def test_the_repositorys_own() -> None:
    app = load_app(REPOSITORY / "evctl.yaml")
    assert set(app.roles) == {"collector", "processor", "postprocessor", "autoscaler"}
    assert app.requirements is not None
    assert app.requirements.name == "eventstore.lock"
    assert app.roles["collector"].command[0] == "python"


def test_what_is_right_loads_whole(tmp_path: Path) -> None:
    app = load_app(write(tmp_path, right()))
    web = app.roles["web"]
    assert (app.name, app.version, app.python, app.root) == ("shop", "1.0.0", "3.11", tmp_path)
    assert (app.include, app.exclude, app.fleet, app.requirements) == (("**",), (), None, None)
    assert (web.listen, web.ready_s, web.drain_s) == (80, 5.0, 2.5)
    assert (web.reads, web.writes) == ({"cart": [1, 2]}, {"cart": 2})
    assert web.to_json()["command"] == ["python", "-m", "shop"]
    assert web.to_json()["tools"] == right()["roles"]["web"]["tools"]


def test_a_tool_belongs_to_one_role(tmp_path: Path) -> None:
    raw = right()
    raw["roles"]["api"] = raw["roles"]["web"] | {"listen": 81}
    with pytest.raises(AppError, match=r"`roles\.web\.tools\.carts` is a tool of api too"):
        load_app(write(tmp_path, raw))


def test_an_app_has_one_probe(tmp_path: Path) -> None:
    raw = right()
    tools = raw["roles"]["web"]["tools"]
    tools["carts"]["probe"] = ["probe", "http://{web}/"]
    app = load_app(write(tmp_path, raw))
    assert app.roles["web"].to_json()["tools"] == tools
    tools["other"] = tools["carts"]
    with pytest.raises(AppError, match="`roles` has more than one probe: of carts and other"):
        load_app(write(tmp_path, raw))


def test_a_role_without_tools_is_written_as_before_there_were_any(tmp_path: Path) -> None:
    raw = right()
    del raw["roles"]["web"]["tools"]
    assert "tools" not in load_app(write(tmp_path, raw)).roles["web"].to_json()


WRONG: list[tuple[str, Any, str]] = [
    ("app", None, "`app` is missing"),
    ("app", "Shop!", "`app` must be a lower-case name"),
    ("app", "shop\n", "`app` must be a lower-case name"),
    ("app", 7, "`app` must be a text"),
    ("version", None, "`version` is missing"),
    ("version", 1.0, "`version` must be a text"),
    ("version", "1.0-rc", "`version` must be"),
    ("version", "../1", "`version` must be"),
    ("version", "1" * 28, "`version` must be"),
    ("python", 3.11, "`python` must be a text"),
    ("python", "3", "`python` must be a quoted minor version"),
    ("python", "3.11.7", "`python` must be a quoted minor version"),
    ("requirements", "absent.lock", "`requirements` names absent.lock"),
    ("requirements", ["a"], "`requirements` must be a text"),
    ("include", "src/**", "`include` must be a list"),
    ("include", [1], "`include` must be a list"),
    ("exclude", [""], "`exclude` must be a list"),
    ("fleet", 5, "`fleet` must be a text"),
    ("roels", {}, "`roels` isn't a key; did you mean `roles`"),
    ("roles", None, "`roles` must be a mapping"),
    ("roles", [], "`roles` must be a mapping"),
    ("roles", {}, "`roles` must name at least one"),
    ("roles", {1: {}}, "`roles` must be a mapping"),
    ("roles/Web", {}, "`roles.Web` must be a lower-case name"),
    ("roles/../etc", {}, "`roles.../etc`"),
    ("roles/web", None, "`roles.web` must be a mapping"),
    ("roles/web/comand", [], "`roles.web.comand` isn't a key; did you mean `command`"),
    ("roles/web/command", [], "`roles.web.command` must be a list"),
    ("roles/web/command", "python -m shop", "`roles.web.command` must be a list"),
    ("roles/web/listen", None, "`roles.web.listen` must be a TCP port"),
    ("roles/web/listen", True, "`roles.web.listen` must be a TCP port"),
    ("roles/web/listen", "80", "`roles.web.listen` must be a TCP port"),
    ("roles/web/listen", 0, "`roles.web.listen` must be a TCP port"),
    ("roles/web/listen", 65536, "`roles.web.listen` must be a TCP port"),
    ("roles/web/ready_s", None, "`roles.web.ready_s` must be a number"),
    ("roles/web/ready_s", 0, "`roles.web.ready_s` must be above 0"),
    ("roles/web/ready_s", float("nan"), "`roles.web.ready_s` must be above 0"),
    ("roles/web/drain_s", True, "`roles.web.drain_s` must be a number"),
    ("roles/web/drain_s", "5s", "`roles.web.drain_s` must be a number"),
    ("roles/web/drain_s", 3601, "`roles.web.drain_s` must be above 0 and at most 3600"),
    ("roles/web/tools", ["carts"], "`roles.web.tools` must be a mapping"),
    ("roles/web/tools/Carts", {}, "`roles.web.tools.Carts` must be a lower-case name"),
    ("roles/web/tools/carts", "shop.carts", "`roles.web.tools.carts` must be a mapping"),
    ("roles/web/tools/carts", {"says": "x"}, "`roles.web.tools.carts.command` must be a list"),
    ("roles/web/tools/carts/says", "", "`roles.web.tools.carts.says` must say"),
    ("roles/web/tools/carts/probe", "all", "`roles.web.tools.carts.probe` must be a list"),
    ("roles/web/tools/carts/role", "web", "`roles.web.tools.carts.role` isn't a key"),
    ("roles/web/schemas", None, "`roles.web.schemas` must be a mapping"),
    ("roles/web/schemas/read", {}, "`roles.web.schemas.read` isn't a key"),
    ("roles/web/schemas/reads", [1], "`roles.web.schemas.reads` must be a mapping"),
    ("roles/web/schemas/reads", {"cart": 1}, "`roles.web.schemas.reads.cart` must be a list"),
    ("roles/web/schemas/reads", {"cart": ["1"]}, "`roles.web.schemas.reads.cart` must be a list"),
    ("roles/web/schemas/writes", {"cart": [1]}, "`roles.web.schemas.writes.cart` must be a"),
    ("roles/web/schemas/writes", {"cart": True}, "`roles.web.schemas.writes.cart` must be a"),
    ("roles/web/serving_min", -1, "`roles.web.serving_min` must be a number of nodes"),
    ("roles/web/serving_min", "2", "`roles.web.serving_min` must be a number of nodes"),
    ("roles/web/gates", ["x"], "`roles.web.gates` must be a mapping"),
    ("roles/web/gates", {"All": {}}, "`roles.web.gates.All` must be a lower-case name"),
    ("roles/web/gates", {"all": {}}, "`roles.web.gates.all` must be a lower-case name, not"),
    ("roles/web/gates", {"probe": {}}, "`roles.web.gates.probe` must be a lower-case name, not"),
    ("roles/web/gates", {"none": {}}, "`roles.web.gates.none` must be a lower-case name, not"),
    ("roles/web/gates", {"p99": {"gauge": "x"}}, "`roles.web.gates.p99` must say at_most or"),
    ("closed", "Fri 16:00 - Mon 07:00", "`closed` must be a list"),
    ("closed", ["Friday evening"], "`closed` has 'Friday evening', which must look like `Fri"),
    ("closed", ["Fri 16:00 - Mon 07:00 Mars/Base"], "a time zone that isn't known here: Mars/Base"),
]


def test_floors_windows_and_gates(tmp_path: Path) -> None:
    raw = right() | {"closed": ["Fri 16:00 - Mon 07:00 Europe/Berlin"]}
    raw["roles"]["web"]["serving_min"] = 3
    raw["roles"]["web"]["gates"] = {"p99": {"histogram": "took", "at_most": 0.5}}
    app = load_app(write(tmp_path, raw))
    assert app.closed == ("Fri 16:00 - Mon 07:00 Europe/Berlin",)
    assert app.roles["web"].to_json()["serving_min"] == 3
    assert app.roles["web"].to_json()["gates"] == raw["roles"]["web"]["gates"]
    plain = load_app(write(tmp_path, right())).roles["web"].to_json()
    assert not plain.keys() & {"serving_min", "gates"}, "as before there were any"


@pytest.mark.parametrize(("key", "value", "said"), WRONG, ids=[f"{w[0]}={w[1]}" for w in WRONG])
def test_a_wrong_value_is_said_with_file_and_key(
    tmp_path: Path, key: str, value: Any, said: str
) -> None:
    raw = right()
    if key == "roles/../etc":
        raw["roles"]["../etc"] = value
    else:
        raw = changed(key, value)
    path = write(tmp_path, raw)
    with pytest.raises(AppError) as caught:
        load_app(path)
    assert str(path) in caught.value.what
    assert said in caught.value.what
    assert caught.value.exit_code == 2
    assert caught.value.next_step


@pytest.mark.parametrize(
    "body",
    ["", "- a\n", "app: [", "\tapp: x", "app: !!python/object:os.system x", "version: 2024-99-99",
     "[" * 3000, "a: &a [*a]\n? [x]\n: y\n"],
    ids=["empty", "list", "open", "tab", "object", "date", "deep", "odd keys"],
)  # fmt: skip
def test_a_damaged_file_is_said(tmp_path: Path, body: str) -> None:
    path = write(tmp_path, body)
    with pytest.raises(AppError, match=r"evctl\.yaml"):
        load_app(path)


def test_what_is_no_text_is_said(tmp_path: Path) -> None:
    (tmp_path / "evctl.yaml").write_bytes(b"app: \xff\xfe\n")
    with pytest.raises(AppError, match="isn't YAML"):
        load_app(tmp_path / "evctl.yaml")


def test_two_roles_on_one_port(tmp_path: Path) -> None:
    raw = right()
    raw["roles"]["api"] = raw["roles"]["web"]
    with pytest.raises(AppError, match="is the port of"):
        load_app(write(tmp_path, raw))


def test_no_file_and_a_folder(tmp_path: Path) -> None:
    with pytest.raises(AppError, match="can't read"):
        load_app(tmp_path / "evctl.yaml")
    with pytest.raises(AppError, match="can't read"):
        load_app(tmp_path)


def test_the_nearest_upwards(tmp_path: Path) -> None:
    path = write(tmp_path, right())
    below = tmp_path / "a/b"
    below.mkdir(parents=True)
    assert find_app(below) == path
    assert find_app(path.parent) == path
    (tmp_path / "a/evctl.yaml").mkdir()  # a folder of that name is none
    assert find_app(below) == path
