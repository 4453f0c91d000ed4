"""How the C library keeps the memory that a process lets go of, some megabytes with each pack."""

import ctypes
import logging

log = logging.getLogger("eventstore.processor")
# mallopt(3)
TRIM_THRESHOLD, MMAP_THRESHOLD, ARENA_MAX = -1, -3, -8
KEPT_BYTES_MAX = 32 << 20
ONE_BYTES_MAX = 8 << 20


def keep_freed() -> None:
    """Before the first thread: what one pack has used is kept for the next one. Otherwise blocks
    of more than 128 KiB go back to the kernel, and their pages are made and zeroed anew for every
    pack; and each thread has a heap of its own."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # GNU's; others know better, or nothing
    if mallopt is None or not all(
        mallopt(option, value)
        for option, value in (
            (MMAP_THRESHOLD, ONE_BYTES_MAX),
            (TRIM_THRESHOLD, KEPT_BYTES_MAX),
            (ARENA_MAX, 1),
        )
    ):
        log.info("freed memory goes back to the kernel")
