"""CORS: browsers ask whether a page of another origin may send here. Pure.

Cookies may come along (Allow-Credentials), so the origin is named and never `*`. It lets nobody in:
who may send is what keys say; without these headers a browser keeps the answer from the page.
"""

import re
from collections.abc import Mapping, Sequence

ORIGIN = re.compile(r"[!-~]{1,300}")
NAMES = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+(?: *, *[A-Za-z0-9!#$%&'*+.^_`|~-]+)*")
NAMES_CHARS_MAX = 1000
MAX_AGE_S = 7200  # browsers keep an answer no longer than that


def headers_for(origins: Sequence[str], request: Mapping[str, str]) -> dict[str, str]:
    """What an answer says, a refusal too. Without origins nothing."""
    if not origins:
        return {}
    origin = request.get("Origin", "")
    if not ORIGIN.fullmatch(origin) or not ("*" in origins or origin in origins):
        return {"Vary": "Origin"}
    return {
        "Vary": "Origin",
        "Access-Control-Allow-Origin": origin,
        "Access-Control-Allow-Credentials": "true",
        "Access-Control-Expose-Headers": "Retry-After, X-Event-Receipt",
    }


def preflight(
    origins: Sequence[str], methods: Sequence[str], request: Mapping[str, str]
) -> dict[str, str]:
    """What the answer to OPTIONS says besides: any header may be sent, since none of them is
    believed without a key or a signature."""
    if "Access-Control-Allow-Origin" not in headers_for(origins, request):
        return {}
    wanted = request.get("Access-Control-Request-Headers", "")
    answer = {
        "Access-Control-Allow-Methods": ", ".join(methods),
        "Access-Control-Max-Age": str(MAX_AGE_S),
    }
    if len(wanted) <= NAMES_CHARS_MAX and NAMES.fullmatch(wanted):
        answer["Access-Control-Allow-Headers"] = wanted
    return answer
