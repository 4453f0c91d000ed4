"""systemd's notification protocol, the part that the process contract asks for."""

import os
import socket


def ready() -> None:
    """Says READY=1 to NOTIFY_SOCKET; nothing when there is none. Raises OSError."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
        # A leading @ stands for the zero byte of Linux' abstract addresses.
        sender.connect("\0" + address[1:] if address.startswith("@") else address)
        sender.sendall(b"READY=1")
