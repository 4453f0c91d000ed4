"""The dictionaries that packs need. Their table came later than the version of the file: it is made
with the first of them, and an older release doesn't look at it.
"""

import sqlite3
from collections.abc import Iterator

from eventstore.backends.embedded.database import Database
from eventstore.errors import EventStoreError
from eventstore.ports import Trained

MAKE = (
    "CREATE TABLE IF NOT EXISTS dictionaries (id INTEGER PRIMARY KEY, tenant TEXT NOT NULL,"
    " at_ms INTEGER NOT NULL, data BLOB NOT NULL)"
)
MADE = "SELECT 1 FROM sqlite_master WHERE name = 'dictionaries'"
ADD = "INSERT OR IGNORE INTO dictionaries VALUES (?, ?, ?, ?)"
DATA = "SELECT data FROM dictionaries WHERE id = ?"
ALL = "SELECT id, tenant, at_ms, data FROM dictionaries ORDER BY id"


def put(connection: sqlite3.Connection, trained: Trained) -> None:
    """Raises EventStoreError when the id is another's."""
    connection.execute(MAKE)
    row = (trained.dictionary_id, trained.tenant, trained.at_ms, trained.data)
    connection.execute(ADD, row)
    if connection.execute(DATA, (trained.dictionary_id,)).fetchone()[0] != trained.data:
        raise EventStoreError(f"dictionary {trained.dictionary_id} is another one; train again")


def get(database: Database, dictionary_id: int) -> bytes | None:
    """None: there is none of this id."""
    rows = database.rows(DATA, (dictionary_id,)) if database.rows(MADE) else []
    return rows[0][0] if rows else None


def every(database: Database) -> Iterator[Trained]:
    """All of them, by id."""
    yield from (Trained(*row) for row in (database.rows(ALL) if database.rows(MADE) else ()))
