"""The ledger's entries, in the file whose transactions make them true."""

import sqlite3

from eventstore.ledger import DIGEST_MASK, Entries, Key, Tally

SCHEMA = (
    "CREATE TABLE ledger (minute INTEGER NOT NULL, endpoint TEXT NOT NULL, hop TEXT NOT NULL,"
    " events INTEGER NOT NULL, digest INTEGER NOT NULL, PRIMARY KEY (minute, endpoint, hop))"
    " WITHOUT ROWID",
)
ADD = (
    "INSERT INTO ledger VALUES (?, ?, ?, ?, ?) ON CONFLICT (minute, endpoint, hop) DO UPDATE SET"
    " events = events + excluded.events, digest = (digest + excluded.digest) & ?"
)
SINCE = "SELECT minute, endpoint, hop, events, digest FROM ledger WHERE minute >= ?"


def add(connection: sqlite3.Connection, entries: Entries) -> None:
    """Adds to what is there, in the caller's transaction."""
    rows = [(*key, one.events, one.digest, DIGEST_MASK) for key, one in entries.items()]
    connection.executemany(ADD, rows)


def since(connection: sqlite3.Connection, minute: int) -> dict[Key, Tally]:
    """The entries of this minute and of later ones."""
    return {
        Key(*key): Tally(events, digest)
        for *key, events, digest in connection.execute(SINCE, (minute,))
    }
