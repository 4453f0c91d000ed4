"""The tree of errors.

EventStoreError
├── SettingsError        the settings file is wrong: the process does not start
├── Refused              what a sender gets for an unusable request: status, code, reason, next
├── PackCorrupt          bytes that are no pack, or no longer the pack they were
│   └── DictionaryMissing    the dictionary that a pack is compressed with can't be found
├── EventErased          the event that was asked for was erased, and by which certificate
├── ImpossibleId         no pack or event ever had this id
├── QueueFull            the queue's bound is reached: try again later
└── EngineUnavailable    an engine cannot do its work now: locked for too long, disk full, gone
    └── EngineVersion    the engine's files were written by a version this one does not read
"""


class EventStoreError(Exception):
    """Anything the event store raises on purpose."""


class SettingsError(EventStoreError):
    """The settings are wrong; the message names the key, the reason and what would be right."""


class Refused(EventStoreError):
    """A request that cannot be taken, as its sender will read it.

    status: HTTP status, 4xx or 503. retry_after_s: seconds, for those that may be sent again.
    """

    def __init__(
        self,
        status: int,
        code: str,
        reason: str,
        next_step: str,
        *,
        retry_after_s: int | None = None,
        close: bool = False,
        allow: tuple[str, ...] = (),
    ) -> None:
        super().__init__(f"{code}: {reason}")
        self.status = status
        self.code = code
        self.reason = reason
        self.next_step = next_step
        self.retry_after_s = retry_after_s
        self.allow = allow  # the methods that would be taken
        self.close = close  # the body was not read to its end: the connection is unusable

    def to_json(self) -> dict[str, dict[str, str]]:
        """The body of the answer: {"error": {"code", "reason", "next"}}."""
        return {"error": {"code": self.code, "reason": self.reason, "next": self.next_step}}


class PackCorrupt(EventStoreError):
    """These bytes are not a pack that this version can read."""


class DictionaryMissing(PackCorrupt):
    """This pack can't be read without the dictionary that the message names."""


class EventErased(EventStoreError):
    """What this event said was erased; the message names the certificate."""


class ImpossibleId(EventStoreError):
    """No pack or event ever had this id; the message says how one knows."""


class QueueFull(EventStoreError):
    """The queue holds as much as it may; nothing of this put was kept."""


class EngineUnavailable(EventStoreError):
    """Operation, object and cause of an engine's failure; nothing of the operation is promised."""


class EngineVersion(EngineUnavailable):
    """The files on disk have a schema version that this release does not know."""
