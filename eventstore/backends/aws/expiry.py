"""When what belongs to a pack goes, by the pack's own age."""

import time
from dataclasses import dataclass
from uuid import UUID

from eventstore.ledger import accepted_at_ms

DAY_S = 86_400


@dataclass(frozen=True, slots=True)
class Expiry:
    """ttl_days: None: never."""

    ttl_days: int | None

    def of(self, pack_id: UUID) -> int | None:
        """In seconds since 1970."""
        if self.ttl_days is None:
            return None
        return accepted_at_ms(pack_id) // 1000 + self.ttl_days * DAY_S

    def is_over(self, pack_id: UUID) -> bool:
        """Whether it may be gone already."""
        expires = self.of(pack_id)
        return expires is not None and expires < time.time()
