"""The page's address → its host and path.

Columns: url_host (lower case, without user and port), url_path; "" where there is none. A relative
address has no host. Query strings are cut off first: most are unique, the rest is not, and what
is unique is never coded.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import lru_cache
from typing import Any

from eventstore.columnar import Coded, Int64s, Texts, decoded
from eventstore.event import TEXT_CHARS_MAX
from eventstore.processing.columns import Columns
from eventstore.processing.enrichments import options as checked

CACHED_MAX = 8192
CHARS_MAX = 2048
QUESTION_MARK = ord("?")


def make(options: Mapping[str, Any]) -> Callable[[Columns], None]:
    """No options."""
    checked.only("url", options, ())
    return enrich


def enrich(columns: Columns) -> None:
    hosts, paths = divided(columns)
    columns.add("url_host", hosts)
    columns.add("url_path", paths)


def divided(columns: Columns) -> tuple[Coded, Coded]:
    """The pages' hosts, of distinct values, and their paths."""

    def make() -> tuple[Coded, Coded]:
        urls, queries = cut(columns)
        pages, codes = replace(urls, ends=queries).distinct()
        found = list(map(host_and_path, pages))
        paths = Coded([path for _, path in found], codes)
        return paths.merged([host for host, _ in found]), paths

    return columns.once("url: divided", make)


def cut(columns: Columns) -> tuple[Texts, Int64s]:
    """The pages' addresses, and where in each of them its query string begins, with its "?"."""

    def make() -> tuple[Texts, Int64s]:
        urls = columns.read.texts("url")
        if urls.sizes().max(initial=0) > CHARS_MAX:
            urls = Texts.of([one[:CHARS_MAX] for one in urls.texts()])
        return urls, urls.first(QUESTION_MARK)

    return columns.once("url: cut", make)


@lru_cache(maxsize=CACHED_MAX)
def host_and_path(url: bytes) -> tuple[str, str]:
    """Of an address without a query string. urlsplit costs ten times as much."""
    rest = decoded(url).partition("#")[0]
    scheme, slashes, after = rest.partition("//")
    if not slashes or (scheme and (scheme[-1] != ":" or "/" in scheme)):
        return "", rest[:TEXT_CHARS_MAX] if rest.startswith("/") else ""
    authority, slash, path = after.partition("/")
    host = authority.rpartition("@")[2]
    host = host.partition("]")[0] + "]" if host.startswith("[") else host.partition(":")[0]
    return host.lower()[:TEXT_CHARS_MAX], f"{slash}{path}"[:TEXT_CHARS_MAX]
