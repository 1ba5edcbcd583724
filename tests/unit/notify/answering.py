"""Servers on loopback that answer whatever they are asked with the same bytes."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Answering:
    """Where it listens, and what it was sent."""

    def __init__(self, text: bytes) -> None:
        self.text = text
        self.seen: list[bytes] = []
        self.address = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answers once, and hangs up."""
        try:
            self.seen.append(await reader.readuntil(b"\r\n\r\n"))
            writer.write(self.text)
            await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        writer.close()


@asynccontextmanager
async def answering(text: bytes) -> AsyncIterator[Answering]:
    """A server that answers everything with these bytes."""
    made = Answering(text)
    async with await asyncio.start_server(made.serve, "127.0.0.1", 0) as listening:
        made.address = f"127.0.0.1:{listening.sockets[0].getsockname()[1]}"
        yield made


def http(status: str, kind: str, body: bytes, more: str = "") -> bytes:
    """An answer in HTTP."""
    head = f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n{more}"
    return f"{head}\r\n".encode() + body
