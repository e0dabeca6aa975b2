"""A real HTTP server on 127.0.0.1 that speaks /v1/chat/completions, and misbehaves on request.

`ChatServer(script)`: `script(body, n)` gets a request's JSON and how many came before it, and returns what to do: a `str` (a
proper reply with this content) or an `Act`.
"""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Act:
    """The reply to one request."""

    content: str = ""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: str | None = None  # instead of a chat completion
    after: float = 0.0  # seconds before anything is sent
    cut: bool = False  # half of the body, then the connection closes
    drop: bool = False  # the connection closes without a byte
    drip: float = 0.0  # seconds between single bytes
    finish: str = "stop"


def error(status: int, message: str, **headers: str) -> Act:
    return Act(status=status, body=json.dumps({"error": {"message": message}}), headers=headers)


class ChatServer:
    def __init__(self, script: Callable[[dict[str, Any], int], Any]):
        self.script = script
        self.bodies: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.paid: list[str] = []  # digests of the requests whose whole reply was sent
        self.at_once = self.most_at_once = 0
        self._lock = threading.Lock()
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, format: str, *args: Any) -> None:
                pass

            def do_POST(self) -> None:
                server._met(self)

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._http.daemon_threads = True
        self._http.handle_error = lambda *_: None  # a client that was killed is no news
        threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._http.server_address[1]}/v1"

    def close(self) -> None:
        self._http.shutdown()
        self._http.server_close()

    def __enter__(self) -> ChatServer:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _met(self, handler: BaseHTTPRequestHandler) -> None:
        raw = handler.rfile.read(int(handler.headers["content-length"]))
        body = json.loads(raw)
        with self._lock:
            n = len(self.bodies)
            self.bodies.append(body)
            self.headers.append({k.lower(): v for k, v in handler.headers.items()})
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            act = self.script(body, n)
            act = act if isinstance(act, Act) else Act(content=str(act))
            whole = self._send(handler, act, body)
        finally:
            with self._lock:
                self.at_once -= 1
        if whole and act.status == 200 and act.body is None:
            with self._lock:
                self.paid.append(hashlib.sha256(raw).hexdigest())

    def _send(self, handler: BaseHTTPRequestHandler, act: Act, body: dict[str, Any]) -> bool:
        time.sleep(act.after)
        handler.close_connection = act.cut or act.drop
        if act.drop:
            return False
        message = {"role": "assistant", "content": act.content}
        completion = {
            "model": body["model"],
            "choices": [{"index": 0, "message": message, "finish_reason": act.finish}],
            "usage": {"prompt_tokens": 100, "completion_tokens": 10},
        }
        data = (json.dumps(completion) if act.body is None else act.body).encode()
        handler.send_response(act.status)
        for name, value in {"content-type": "application/json", **act.headers}.items():
            handler.send_header(name, value)
        handler.send_header("content-length", str(len(data)))
        handler.end_headers()
        try:
            if act.drip:
                for byte in data:
                    handler.wfile.write(bytes([byte]))
                    handler.wfile.flush()
                    time.sleep(act.drip)
                return True
            handler.wfile.write(data[: len(data) // 2] if act.cut else data)
            handler.wfile.flush()
        except OSError:
            return False
        return not act.cut
