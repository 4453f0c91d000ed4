"""Join tokens: issued to one id, good for one first join."""

from __future__ import annotations

import stat
from concurrent.futures import ThreadPoolExecutor

from cli.tokens import GRAIN, issue, redeem


def _unused(folder) -> list[str]:
    return (folder / GRAIN).read_text().split()


def test_a_token_is_good_for_its_own_id_and_goes_on_being_so(tmp_path):
    token = issue(tmp_path, "web-01")
    assert _unused(tmp_path) == [token]
    assert redeem(tmp_path, "web-01", token)
    assert _unused(tmp_path) == [], "no other node can join with it"
    assert redeem(tmp_path, "web-01", token), "the node itself stays who it is"


def test_another_ones_token_is_refused_and_used_up(tmp_path):
    token = issue(tmp_path, "web-01")
    assert not redeem(tmp_path, "web-02", token)
    assert _unused(tmp_path) == []


def test_what_is_no_token_is_refused(tmp_path):
    assert not redeem(tmp_path, "web-01", "")
    token = issue(tmp_path, "web-01")
    for wrong in ("", token[:-1], token + "0", "é", "\n"):
        assert not redeem(tmp_path, "web-01", wrong)
    assert _unused(tmp_path) == [token]


def test_a_new_token_voids_the_ids_earlier_one(tmp_path):
    first, other = issue(tmp_path, "web-01"), issue(tmp_path, "web-02")
    second = issue(tmp_path, "web-01")
    assert not redeem(tmp_path, "web-01", first)
    assert sorted(_unused(tmp_path)) == sorted([other, second])
    assert redeem(tmp_path, "web-01", second)
    assert redeem(tmp_path, "web-02", other)


def test_used_tokens_are_nowhere_in_the_clear_and_no_file_is_open_to_others(tmp_path):
    token = issue(tmp_path, "web-01")
    redeem(tmp_path, "web-01", token)
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert files
    for path in files:
        assert token not in path.read_text()
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_many_at_once_lose_no_token(tmp_path):
    ids = [f"web-{number:02}" for number in range(12)]
    with ThreadPoolExecutor(6) as pool:
        tokens = list(pool.map(lambda node: issue(tmp_path, node), ids))
        assert sorted(_unused(tmp_path)) == sorted(tokens)
        assert all(pool.map(lambda pair: redeem(tmp_path, *pair), zip(ids, tokens, strict=True)))
    assert _unused(tmp_path) == []
