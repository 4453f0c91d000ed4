"""Erasures that stand. Their table came later than the version of the file: it is made with the
first of them, and an older release doesn't look at it.
"""

import dataclasses
import sqlite3

from eventstore.backends.embedded.database import Database
from eventstore.ports import Order

MAKE = (
    "CREATE TABLE IF NOT EXISTS orders (certificate TEXT PRIMARY KEY, field TEXT NOT NULL,"
    " value_bytes INTEGER NOT NULL, value_sha256 TEXT NOT NULL, at_ms INTEGER NOT NULL,"
    " until_ms INTEGER NOT NULL)"
)
MADE = "SELECT 1 FROM sqlite_master WHERE name = 'orders'"
DROP_OLD = "DELETE FROM orders WHERE until_ms <= ?"
PUT = "INSERT OR REPLACE INTO orders VALUES (?, ?, ?, ?, ?, ?)"
STANDING = (
    "SELECT certificate, field, value_bytes, value_sha256, at_ms, until_ms FROM orders"
    " WHERE until_ms > ? ORDER BY certificate"
)


def put(connection: sqlite3.Connection, order: Order) -> None:
    """Those that are over go."""
    connection.execute(MAKE)
    connection.execute(DROP_OLD, (order.at_ms,))
    connection.execute(PUT, dataclasses.astuple(order))


def standing(database: Database, now_ms: int) -> list[Order]:
    rows = database.rows(STANDING, (now_ms,)) if database.rows(MADE) else []
    return [Order(*row) for row in rows]
