"""Short messages from the processes of a job to its supervisor, over TCP: one JSON object a connection.

The supervisor may be on another node than the rank that has something to say, and the launcher's exit status says too
little: Open MPI gives 0 for a job that survives losses also when no rank was left.
"""

from __future__ import annotations

import hmac
import json
import os
import secrets
import socket
import threading
from collections.abc import Callable, Mapping
from typing import Any

SUPERVISOR_VARIABLE = "HPCKIT_SUPERVISOR"  # host:port:token
TIMEOUT_S = 3.0
MESSAGE_BYTES_MAX = 65536
TAKEN, REFUSED = b"+", b"-"


def tell(message: dict[str, Any], environ: Mapping[str, str] | None = None) -> bool:
    """Send `message` to the supervisor; whether there is one and it was reached. Local."""
    return _answer(message, os.environ if environ is None else environ) != b""


def may_speak(origin: int) -> bool:
    """Whether no other rank has asked this before: of several ranks that see the job fail one says so. Local.

    True also where nobody can be asked, for a message said twice is better than none.
    """
    return _answer({"speaks": origin}, os.environ) != REFUSED


def _answer(message: dict[str, Any], environ: Mapping[str, str]) -> bytes:
    """What the supervisor says to `message`: TAKEN, REFUSED, or nothing at all."""
    address = environ.get(SUPERVISOR_VARIABLE, "")
    host, _, rest = address.partition(":")
    port, _, token = rest.partition(":")
    if not port.isdigit():
        return b""
    try:
        with socket.create_connection((host, int(port)), timeout=TIMEOUT_S) as connection:
            connection.sendall(json.dumps({**message, "token": token}).encode())
            connection.shutdown(socket.SHUT_WR)
            connection.settimeout(TIMEOUT_S)
            return connection.recv(1)
    except OSError:
        return b""


class Listener:
    """Takes messages in a thread and hands each to `take`, which may refuse it by False; `address` is what
    SUPERVISOR_VARIABLE should say."""

    def __init__(self, take: Callable[[dict[str, Any]], bool | None], other_nodes: bool) -> None:
        self._take, self._token = take, secrets.token_hex(16)
        self._socket = socket.create_server(("" if other_nodes else "127.0.0.1", 0), backlog=128)
        host = socket.gethostname() if other_nodes else "127.0.0.1"
        self.address = f"{host}:{self._socket.getsockname()[1]}:{self._token}"
        self._thread = threading.Thread(target=self._listen, daemon=True)

    def start(self) -> None:
        """Begin to take messages; those that came before are waiting."""
        self._thread.start()

    def close(self) -> None:
        """Take no more messages."""
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        if self._thread.is_alive():
            self._thread.join(TIMEOUT_S)

    def _listen(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:  # closed
                return
            with connection:
                try:
                    connection.settimeout(TIMEOUT_S)
                    message = json.loads(_read(connection))
                    if hmac.compare_digest(str(message.pop("token")), self._token):
                        connection.sendall(REFUSED if self._take(message) is False else TAKEN)
                except (OSError, ValueError, KeyError, AttributeError):
                    continue  # not one of ours


def _read(connection: socket.socket) -> bytes:
    data = b""
    while chunk := connection.recv(4096):
        data += chunk
        if len(data) > MESSAGE_BYTES_MAX:
            raise ValueError("message too long")
    return data
