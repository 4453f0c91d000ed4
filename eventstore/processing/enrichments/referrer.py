"""Referrer → where the visitor came from.

Columns: referrer_medium ("search", "social", "email", "internal", "unknown"; "" without a
referrer); referrer_source (the site's name, for an unknown one its host, "" for an internal one).
Internal is a referrer with the page's own host.
"""

import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

from eventstore.columnar import Coded, encoded
from eventstore.processing.columns import Columns, paired
from eventstore.processing.enrichments import options as checked
from eventstore.processing.enrichments.url import divided, host_and_path

CACHED_MAX = 8192
# A host is one of these, or below one of these; the longest that fits counts.
SITES = {
    "aol.com": ("search", "AOL"),
    "baidu.com": ("search", "Baidu"),
    "bing.com": ("search", "Bing"),
    "duckduckgo.com": ("search", "DuckDuckGo"),
    "ecosia.org": ("search", "Ecosia"),
    "kagi.com": ("search", "Kagi"),
    "naver.com": ("search", "Naver"),
    "qwant.com": ("search", "Qwant"),
    "search.brave.com": ("search", "Brave"),
    "seznam.cz": ("search", "Seznam"),
    "startpage.com": ("search", "Startpage"),
    "swisscows.com": ("search", "Swisscows"),
    "ya.ru": ("search", "Yandex"),
    "bsky.app": ("social", "Bluesky"),
    "facebook.com": ("social", "Facebook"),
    "fb.com": ("social", "Facebook"),
    "instagram.com": ("social", "Instagram"),
    "lnkd.in": ("social", "LinkedIn"),
    "linkedin.com": ("social", "LinkedIn"),
    "mastodon.social": ("social", "Mastodon"),
    "news.ycombinator.com": ("social", "Hacker News"),
    "pinterest.com": ("social", "Pinterest"),
    "quora.com": ("social", "Quora"),
    "reddit.com": ("social", "Reddit"),
    "snapchat.com": ("social", "Snapchat"),
    "t.co": ("social", "X"),
    "t.me": ("social", "Telegram"),
    "threads.net": ("social", "Threads"),
    "tiktok.com": ("social", "TikTok"),
    "tumblr.com": ("social", "Tumblr"),
    "twitter.com": ("social", "X"),
    "vk.com": ("social", "VK"),
    "wa.me": ("social", "WhatsApp"),
    "whatsapp.com": ("social", "WhatsApp"),
    "x.com": ("social", "X"),
    "xing.com": ("social", "XING"),
    "youtu.be": ("social", "YouTube"),
    "youtube.com": ("social", "YouTube"),
    "mail.aol.com": ("email", "AOL Mail"),
    "mail.google.com": ("email", "Gmail"),
    "mail.proton.me": ("email", "Proton Mail"),
    "mail.ru": ("email", "Mail.ru"),
    "mail.yahoo.com": ("email", "Yahoo Mail"),
    "mail.yandex.ru": ("email", "Yandex Mail"),
    "outlook.live.com": ("email", "Outlook"),
    "outlook.office.com": ("email", "Outlook"),
    "outlook.office365.com": ("email", "Outlook"),
}
# Those that have a domain in every country: google.de, google.co.uk; never google.example.com.
EVERYWHERE = {"google": "Google", "yahoo": "Yahoo", "yandex": "Yandex"}
COUNTRY = re.compile(r"(?:com|[a-z]{2}|(?:co|com)\.[a-z]{2})")


def make(options: Mapping[str, Any]) -> Callable[[Columns], None]:
    """No options."""
    checked.only("referrer", options, ())
    return enrich


def enrich(columns: Columns) -> None:
    # Most visitors come from few places, so these are coded whole, and cut when they are few.
    referrers = columns.source("referrer")
    pages = (encoded(one.partition("?")[0]) for one in referrers.values)
    hosts = referrers.merged(host_and_path(page)[0] for page in pages)
    pairs, codes = paired(hosts, divided(columns)[0])
    found = [came_from(referrer, page) for referrer, page in pairs]
    columns.add("referrer_medium", Coded([medium for medium, _ in found], codes))
    columns.add("referrer_source", Coded([source for _, source in found], codes))


@lru_cache(maxsize=CACHED_MAX)
def came_from(referrer_host: str, page_host: str) -> tuple[str, str]:
    """Medium and source of a visit to one host from another."""
    if not referrer_host:
        return "", ""
    host = referrer_host.removeprefix("www.")
    if host == page_host.removeprefix("www."):
        return "internal", ""
    labels = host.split(".")
    for first in range(len(labels)):
        site = SITES.get(".".join(labels[first:]))
        if site:
            return site
        if labels[first] in EVERYWHERE and COUNTRY.fullmatch(".".join(labels[first + 1 :])):
            return "search", EVERYWHERE[labels[first]]
    return "unknown", host
