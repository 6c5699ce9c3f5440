"""Hypercorn's connections with a quarter of the turns of the event loop a request.

For one small answer Hypercorn's trio worker goes back to the event loop 22 times: it writes head, body and end one by
one, each through a lock; passes every event to the application through a full turn; and starts and cancels a task for
each pause between two requests, which also holds a connection that its peer has closed until the pause is over. Here a
head goes out together with what follows it, what needs no waiting does not wait, and one task a connection watches its
pauses. Measured in docs/performance.md.

It reads and writes no HTTP: that is h11's, driven by Hypercorn. It refines parts of Hypercorn that are not promised to
stay (0.17 and 0.18 have them); tests/integration/test_connection.py says what must hold of any version.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import h11
import hypercorn.trio.run
import hypercorn.trio.tcp_server
import trio
from hypercorn.events import Closed, Event, RawData
from hypercorn.trio.task_group import TaskGroup, _handle
from hypercorn.trio.tcp_server import MAX_RECV, TCPServer


class Pause:
    """Closes a connection that no request has used for too long; takes the place of a task for each pause."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._since_s = 0.0
        self._is_idle = False
        self._watch: trio.CancelScope | None = None

    async def restart(self, task_group: TaskGroup, _action: Callable[[], Awaitable[None]]) -> None:
        """Note that a pause begins."""
        self._is_idle, self._since_s = True, trio.current_time()
        if self._watch is None:
            self._watch = trio.CancelScope()
            task_group.spawn(self._run, self._watch)

    async def stop(self) -> None:
        """Note that a request has come."""
        self._is_idle = False

    def end(self) -> None:
        """Watch no more."""
        if self._watch is not None:
            self._watch.cancel()

    async def _run(self, watch: trio.CancelScope) -> None:
        terminated = self._connection.context.terminated
        longest_s = self._connection.config.keep_alive_timeout
        with watch:
            while not terminated.is_set():
                left_s = self._since_s + longest_s - trio.current_time() if self._is_idle else longest_s
                if left_s <= 0:
                    break
                with trio.move_on_after(left_s):
                    await terminated.wait()
            if self._is_idle:
                watch.shield = True
                await self._connection.close_idle()


class Connection(TCPServer):
    """One TCP connection, plain or TLS."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.idle_task: Pause = Pause(self)  # type: ignore[assignment]
        self._head = b""
        self._is_in_body = False

    async def protocol_send(self, event: Event) -> None:
        """Write what the protocol says, a response's head together with what follows it."""
        if not isinstance(event, RawData):
            await super().protocol_send(event)
            return
        is_in_body = getattr(getattr(self.protocol.protocol, "connection", None), "our_state", None) is h11.SEND_BODY
        if is_in_body and not self._is_in_body:
            self._head, self._is_in_body = event.data, True
            return
        data, self._head, self._is_in_body = self._head + event.data, b"", is_in_body
        if data:
            await self._write(data)

    async def _write(self, data: bytes) -> None:
        """Write, unless cancelled: only a server that stops cancels, and it must not wait for one who reads no more."""
        try:
            self.send_lock.acquire_nowait()
        except trio.WouldBlock:
            await self.send_lock.acquire()
        try:
            await self.stream.send_all(data)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            await self.protocol.handle(Closed())
        finally:
            self.send_lock.release()

    async def _read_data(self) -> None:
        try:
            await self._read()
            await self.protocol.handle(Closed())
        finally:
            self.idle_task.end()

    async def _read(self) -> None:
        while True:
            try:
                data = await self.stream.receive_some(MAX_RECV)
            except (trio.ClosedResourceError, trio.BrokenResourceError):
                return
            await self.protocol.handle(RawData(bytes(data)))
            if not data:
                return

    async def close_idle(self) -> None:
        """Close the connection, which no request uses."""
        await self._initiate_server_close()


class Tasks(TaskGroup):
    """A connection's tasks: what an application is told reaches it at once if there is room."""

    async def spawn_app(self, app: Any, config: Any, scope: Any, send: Any) -> Any:
        """Start the application for one request; return the function that tells it what happens."""
        teller, told = trio.open_memory_channel[Any](config.max_app_queue_size)

        async def tell(event: Any) -> None:
            try:
                teller.send_nowait(event)
            except trio.WouldBlock:
                await teller.send(event)

        async def receive() -> Any:
            try:
                return told.receive_nowait()
            except trio.WouldBlock:
                return await told.receive()

        self.spawn(_handle, app, config, scope, receive, send, trio.to_thread.run_sync, trio.from_thread.run)
        return tell


def refine() -> None:
    """Let Hypercorn's trio worker use these connections."""
    worker: Any = hypercorn.trio.run
    worker.TCPServer = Connection
    server: Any = hypercorn.trio.tcp_server
    server.TaskGroup = Tasks
