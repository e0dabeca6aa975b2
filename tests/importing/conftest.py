"""A server on this machine with scripted answers, and small pictures."""

import io
import threading
import time
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from PIL import Image


def png(color: str = "red", size: int = 8) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (size, size), color).save(buffer, format="PNG")
    return buffer.getvalue()


class Server:
    """`answers[path]` is a list of (status, body), given in turn, the last again and again; `asked` counts requests.

    `headers` go with every answer; `drip` is the seconds between two bytes of a body.
    """

    def __init__(self) -> None:
        self.answers: dict[str, list[tuple[int, bytes]]] = {}
        self.asked: Counter[str] = Counter()
        self.headers: dict[str, str] = {}
        self.drip = 0.0
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                turns = server.answers.get(self.path, [(404, b"")])
                status, body = turns[min(server.asked[self.path], len(turns) - 1)]
                server.asked[self.path] += 1
                if status == 0:  # no answer at all
                    self.connection.close()
                    return
                self.send_response(status)
                if 300 <= status < 400:
                    self.send_header("Location", body.decode())
                for name, value in server.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                try:
                    for i in range(len(body) if server.drip else 0):
                        self.wfile.write(body[i : i + 1])
                        time.sleep(server.drip)
                    self.wfile.write(b"" if server.drip else body)
                except OSError:
                    self.close_connection = True  # the other side has had enough

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._http.server_address[1]}"
        self._thread = threading.Thread(target=self._http.serve_forever, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    yield made
    made.stop()
