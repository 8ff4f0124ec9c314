"""A local HTTP server that can cut, corrupt and refuse, on demand."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Behaviour:
    """Files by path and what goes wrong with the next requests, one entry each."""

    files: dict[str, bytes] = field(default_factory=dict)
    tag: str | None = '"one"'
    cuts: list[int] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    ignore_ranges: bool = False
    ranges: list[str | None] = field(default_factory=list)
    url: str = ""


@contextmanager
def serving(files: dict[str, bytes]) -> Iterator[Behaviour]:
    """Serve `files` on a free local port until the block ends."""
    behaviour = Behaviour(files)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answer(self, behaviour)

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    behaviour.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield behaviour
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def answer(request: BaseHTTPRequestHandler, behaviour: Behaviour) -> None:
    behaviour.ranges.append(request.headers.get("Range"))
    data = behaviour.files.get(request.path.lstrip("/"))
    status = behaviour.statuses.pop(0) if behaviour.statuses else 200
    if status != 200 or data is None:
        request.send_error(404 if data is None else status)
        return
    start = wanted(request, behaviour)
    if start >= len(data) and start:
        request.send_error(416)
        return
    request.send_response(206 if start else 200)
    if start:
        request.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
    if behaviour.tag:
        request.send_header("ETag", behaviour.tag)
    request.send_header("Content-Length", str(len(data) - start))
    request.end_headers()
    end = start + behaviour.cuts.pop(0) if behaviour.cuts else len(data)
    request.wfile.write(data[start:end])


def wanted(request: BaseHTTPRequestHandler, behaviour: Behaviour) -> int:
    asked = request.headers.get("Range")
    if asked is None or behaviour.ignore_ranges or request.headers["If-Range"] != behaviour.tag:
        return 0
    return int(asked.removeprefix("bytes=").removesuffix("-"))
