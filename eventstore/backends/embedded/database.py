"""One SQLite file that several processes of one machine write to, durably and with patience.

WAL with synchronous=FULL: a commit that returned has reached the disk. Writers take turns: SQLite's
own waiting sleeps for up to 100 ms, which under two steady writers starves one of them, so the
waiting is done here in random steps of about a millisecond, bounded by busy_s.
"""

import os
import random
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

from eventstore.errors import EngineUnavailable, EngineVersion

Result = TypeVar("Result")
PRIMARY_CODE = 0xFF  # SQLite's extended error codes keep the primary one in the lowest byte
WAL_BYTES_KEPT = 64 << 20


class Database:
    """A connection for each thread that asks; schema: statements that make version 1. wipes: what
    is deleted is overwritten."""

    def __init__(
        self,
        path: Path,
        schema: Sequence[str],
        version: int,
        *,
        busy_s: float,
        wipes: bool = False,
    ) -> None:
        self.path = path
        self._wipes = wipes
        self._busy_s = busy_s
        self._local = threading.local()
        self._lock = threading.Lock()
        self._connections: list[sqlite3.Connection] = []
        self._made = False
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise EngineUnavailable(f"cannot make {path.parent}: {error}") from error
        self._make_schema(schema, version)
        self._made = True

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Holds the write lock inside; committed and on the disk after; rolled back on an error."""
        connection = self._connection()
        self._patiently(lambda: connection.execute("BEGIN IMMEDIATE"))
        try:
            yield connection
            connection.execute("COMMIT")
        except sqlite3.Error as error:
            self._abandon(connection)
            raise EngineUnavailable(f"cannot write {self.path}: {error}") from error
        except BaseException:
            self._rollback(connection)
            raise

    def rows(self, sql: str, parameters: Sequence[Any] = ()) -> list[Any]:
        """All rows of a query, outside any transaction."""
        connection = self._connection()
        return self._patiently(lambda: connection.execute(sql, parameters).fetchall())

    @contextmanager
    def snapshot(self) -> Iterator[sqlite3.Connection]:
        """Several reads of one moment. Keep it short: it holds back the reuse of the WAL."""
        connection = self._connection()
        self._patiently(lambda: connection.execute("BEGIN"))
        try:
            yield connection
        except sqlite3.Error as error:
            self._abandon(connection)
            raise EngineUnavailable(f"cannot read {self.path}: {error}") from error
        except BaseException:
            self._rollback(connection)
            raise
        self._rollback(connection)

    def empty_log(self) -> None:
        """Moves everything out of the WAL, which has what pages held before they were wiped, and
        cuts it off."""
        deadline = time.monotonic() + self._busy_s
        while self.rows("PRAGMA wal_checkpoint(TRUNCATE)")[0][0]:
            if time.monotonic() > deadline:
                raise EngineUnavailable(
                    f"{self.path}: others kept reading its log for {self._busy_s:g} s, so it still"
                    " has what was erased; try again"
                )
            time.sleep(random.uniform(0.0002, 0.001))  # noqa: S311 -- spreads writers, no secret

    def close(self) -> None:
        """Closes every thread's connection: call it when they have ended."""
        with self._lock:
            for connection in self._connections:
                connection.close()
            self._connections.clear()
        self._local = threading.local()

    def _connection(self) -> sqlite3.Connection:
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = self._patiently(self._connect)
            self._local.connection = connection
            with self._lock:
                self._connections.append(connection)
        return connection

    def _connect(self) -> sqlite3.Connection:
        # A file that was there and is gone is missed, not made again: it holds what was kept.
        mode = "rw" if self._made else "rwc"
        connection = sqlite3.connect(
            f"file:{quote(str(self.path))}?mode={mode}",
            uri=True,
            timeout=0.002,
            isolation_level=None,
            check_same_thread=False,
        )
        try:
            connection.execute("PRAGMA page_size = 16384")  # before the file's first page
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute(f"PRAGMA journal_size_limit = {WAL_BYTES_KEPT}")
            connection.execute("PRAGMA cache_size = -2048")
            connection.execute(f"PRAGMA secure_delete = {int(self._wipes)}")
        except BaseException:
            connection.close()
            raise
        return connection

    def _make_schema(self, schema: Sequence[str], version: int) -> None:
        found = self.rows("PRAGMA user_version")[0][0]
        if found == 0:
            with self.transaction() as connection:
                # Another process may have been quicker.
                if connection.execute("PRAGMA user_version").fetchone()[0] == 0:
                    for statement in schema:
                        connection.execute(statement)
                    connection.execute(f"PRAGMA user_version = {version}")
            _sync_folder(self.path.parent)
            found = self.rows("PRAGMA user_version")[0][0]
        if found != version:
            self.close()
            raise EngineVersion(f"{self.path} has schema {found}: this release reads {version}")

    def _patiently(self, operation: Callable[[], Result]) -> Result:
        deadline = time.monotonic() + self._busy_s
        while True:
            try:
                return operation()
            except sqlite3.Error as error:
                code = getattr(error, "sqlite_errorcode", 0) & PRIMARY_CODE
                if code not in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
                    self._abandon(getattr(self._local, "connection", None))
                    raise EngineUnavailable(f"cannot use {self.path}: {error}") from error
                if time.monotonic() > deadline:
                    raise EngineUnavailable(
                        f"{self.path} was locked by others for {self._busy_s:g} s"
                    ) from error
            time.sleep(random.uniform(0.0002, 0.001))  # noqa: S311 -- spreads writers, no secret

    def _abandon(self, connection: sqlite3.Connection | None) -> None:
        """This thread's connection: after an error of the disk it may be of no use for ever, and
        would keep the file system from being taken away and put back."""
        if connection is None:
            return
        self._local.connection = None
        with self._lock:
            self._connections.remove(connection)
        connection.close()

    @staticmethod
    def _rollback(connection: sqlite3.Connection) -> None:
        if connection.in_transaction:
            connection.execute("ROLLBACK")


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
