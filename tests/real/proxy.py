"""A plain-HTTP way to the API server that can hold, refuse, delay or cut a request."""

import contextlib
import json
import ssl
import threading
import time
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tests.real.parts import TOKEN, ControlPlane


class Proxy:
    """What happens on the way: as the attributes say.

    `hold` a PATCH "before" or "after" it took effect; `answers` are statuses that the next PATCHes
    get instead of being forwarded; `delay` seconds before every answer; `cut` = every connection is
    dropped.
    """

    def __init__(self, plane: ControlPlane, folder: Path) -> None:
        self.hold = ""
        self.held = threading.Event()
        self.release = threading.Event()
        self.answers: list[int] = []
        self.delay = 0.0
        self.cut = False
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            def _forward(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                patch = self.command == "PATCH"
                if proxy.cut:
                    self.close_connection = True
                    return
                time.sleep(proxy.delay)
                if "watch=true" in self.path:
                    self._stream()
                    return
                if patch and proxy.answers:
                    status = proxy.answers.pop(0)
                    self._answer(
                        status,
                        json.dumps(
                            {"kind": "Status", "code": status, "message": "the proxy says so"}
                        ).encode(),
                    )
                    return
                if patch and proxy.hold == "before":
                    proxy.held.set()
                    proxy.release.wait(60)
                    return  # the caller was killed: its request never reached the server
                status, text = forward(
                    plane, self.command, self.path, body, headers=dict(self.headers)
                )
                if patch and proxy.hold == "after":
                    proxy.held.set()
                    proxy.release.wait(60)
                self._answer(status, text)

            def _stream(self) -> None:
                """A watch, until it is cut, or nothing is told for a while."""
                watch = opened(plane, "GET", self.path, headers=dict(self.headers))
                with contextlib.suppress(OSError), watch as answer:
                    self.send_response(int(answer.status))
                    self.end_headers()
                    while not proxy.cut and (line := answer.readline()):
                        self.wfile.write(line)

            def _answer(self, status: int, text: bytes) -> None:
                try:
                    self.send_response(status)
                    self.send_header("Content-Type", "application/json")
                    self.send_header("Content-Length", str(len(text)))
                    self.end_headers()
                    self.wfile.write(text)
                except OSError:
                    return

            do_GET = do_POST = do_PATCH = _forward

            def log_message(self, *_: Any) -> None:
                return

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.kubeconfig = folder / "proxied-kubeconfig"
        plane.write_kubeconfig(self.kubeconfig, f"http://127.0.0.1:{self.server.server_address[1]}")

    def stop(self) -> None:
        self.release.set()
        self.server.shutdown()
        self.server.server_close()


def opened(
    plane: ControlPlane, method: str, path: str, body: bytes = b"", *, headers: dict[str, str]
) -> Any:
    """One request to the API server; its answer, to be read. Raises: urllib.error.HTTPError.

    The caller's user agent goes along, the audit log counts by it.
    """
    kept = {
        key: value
        for key, value in headers.items()
        if key.lower() in ("content-type", "accept", "user-agent")
    }
    kept["Authorization"] = f"Bearer {TOKEN}"
    request = urllib.request.Request(plane.url + path, body or None, kept, method=method)
    return urllib.request.urlopen(request, context=ssl._create_unverified_context(), timeout=20)


def forward(
    plane: ControlPlane, method: str, path: str, body: bytes, *, headers: dict[str, str]
) -> tuple[int, bytes]:
    """One request to the API server: the status, and the whole answer."""
    try:
        with opened(plane, method, path, body, headers=headers) as answer:
            return int(answer.status), answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()
