"""A server on 127.0.0.1 that answers every request with bytes that need not be HTTP."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable


class RawServer:
    """`answer(connection)` is called when a request has arrived, and the connection is closed when it returns."""

    def __init__(self, answer: Callable[[socket.socket], None]):
        self._answer = answer
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._stopped = threading.Event()
        self.calls = 0
        threading.Thread(target=self._serve, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._listening.getsockname()[1]}/v1"

    def __enter__(self) -> RawServer:
        return self

    def __exit__(self, *error: object) -> None:
        self._stopped.set()
        self._listening.close()

    def wait(self, seconds: float) -> None:
        """Do nothing for this long, or until the server ends."""
        self._stopped.wait(seconds)

    def answer(self, connection: socket.socket, body: bytes) -> None:
        """Answer a request with this body."""
        self._answer(connection)

    def _serve(self) -> None:
        while not self._stopped.is_set():
            try:
                connection, _ = self._listening.accept()
            except OSError:
                return
            threading.Thread(target=self._one, args=(connection,), daemon=True).start()

    def _one(self, connection: socket.socket) -> None:
        with connection:
            try:
                data = b""
                while b"\r\n\r\n" not in data:
                    data += connection.recv(65536)
                head, _, body = data.partition(b"\r\n\r\n")
                length = next(
                    (int(x.split(b":")[1]) for x in head.lower().split(b"\r\n") if x.startswith(b"content-length")), 0
                )
                while len(body) < length:
                    body += connection.recv(65536)
                self.calls += 1
                self.answer(connection, body)
            except OSError:
                pass


def response(body: bytes, *, status: str = "200 OK", length: int | None = None, headers: str = "") -> bytes:
    """The bytes of an HTTP response."""
    size = len(body) if length is None else length
    return f"HTTP/1.1 {status}\r\ncontent-length: {size}\r\n{headers}connection: close\r\n\r\n".encode("latin-1") + body


def sending(*parts: bytes, pause: float = 0.0) -> Callable[[socket.socket], None]:
    """An answer that sends these parts, with pauses between them."""

    def answer(connection: socket.socket) -> None:
        for part in parts:
            connection.sendall(part)
            time.sleep(pause)

    return answer
