"""Built-in steps on a pack's events, one file each: each reads columns and adds columns, and is
pure. The explicit table; the settings choose which of them run, and in which order.
"""

from collections.abc import Callable, Mapping
from typing import Any

from eventstore.processing.columns import Columns
from eventstore.processing.enrichments import (
    anonymise_ip,
    asn,
    bots,
    campaign,
    geoip,
    pseudonymise,
    referrer,
    schema,
    session,
    url,
    user_agent,
)

Enrichment = Callable[[Columns], None]

# name → makes it, from its own options in the settings. SettingsError when they are wrong.
ENRICHMENTS: dict[str, Callable[[Mapping[str, Any]], Enrichment]] = {
    "anonymise_ip": anonymise_ip.make,
    "asn": asn.make,
    "bots": bots.make,
    "campaign": campaign.make,
    "geoip": geoip.make,
    "pseudonymise": pseudonymise.make,
    "referrer": referrer.make,
    "schema": schema.make,
    "session": session.make,
    "url": url.make,
    "user_agent": user_agent.make,
}
