"""Which place of AWS a URL names: scheme://name/path?region=…&endpoint=…"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, urlsplit

from eventstore.errors import SettingsError

EVERYWHERE = frozenset({"region", "endpoint"})


@dataclass(frozen=True, slots=True)
class Place:
    """A queue, a table, or a bucket with a prefix. region, endpoint: None: as boto3 finds them."""

    url: str
    name: str
    path: str
    region: str | None
    endpoint: str | None
    options: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, url: str, scheme: str, options: Collection[str] = ()) -> "Place":
        """options: which more the URL may have. Raises SettingsError."""
        parts = urlsplit(url)
        given = dict(parse_qsl(parts.query, keep_blank_values=True))
        allowed = EVERYWHERE.union(options)
        example = f"{scheme}://<name>?region=eu-central-1"
        if parts.scheme != scheme or not parts.netloc:
            raise SettingsError(f"{url!r}: expected {example}")
        for name, value in given.items():
            if name not in allowed or not value:
                raise SettingsError(
                    f"{url!r}: {name}={value}: expected values for {', '.join(sorted(allowed))}"
                )
        endpoint = given.pop("endpoint", None)
        if endpoint and not endpoint.startswith(("http://", "https://")):
            raise SettingsError(f"{url!r}: endpoint={endpoint}: expected http:// or https://")
        region = given.pop("region", None)
        return cls(url, parts.netloc, parts.path.strip("/"), region, endpoint, given)
