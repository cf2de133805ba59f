# SPDX-License-Identifier: Apache-2.0
"""The event loop that an ASGI application and the engine live on, and the lifespan protocol.

What happens once a worker is here; what happens once a request is written in C++.
"""
import asyncio
import traceback

CANCEL_PATIENCE = 0.25  # seconds for tasks that were cancelled at the end


class Failure(Exception):
    """Why the worker can't serve: a sentence, and a traceback where there is one."""


def make_loop(kind):
    if kind != "asyncio":
        try:
            import uvloop
        except ImportError:
            if kind == "uvloop":
                raise Failure("asgi_loop is uvloop, which is not installed; install it, or set "
                              "asgi_loop to auto or asyncio") from None
        else:
            return uvloop.new_event_loop()
    return asyncio.new_event_loop()


class Lifespan:
    """The task in which the application hears of the worker's start and end."""

    def __init__(self, application, mode):
        self.application = application
        self.mode = mode
        self.state = {}
        self.task = None
        self.events = asyncio.Queue()
        self.started = asyncio.Event()
        self.stopped = asyncio.Event()
        self.failure = None  # what the application says went wrong
        self.raised = None   # what it has raised
        self.taking_part = False

    async def run(self):
        scope = {"type": "lifespan", "asgi": {"version": "3.0", "spec_version": "2.0"},
                 "state": self.state}
        try:
            await self.application(scope, self.events.get, self.send)
        except BaseException as error:
            self.raised = error
            if isinstance(error, asyncio.CancelledError):
                raise
        finally:
            self.started.set()
            self.stopped.set()

    async def send(self, message):
        kind = message["type"]
        if kind in ("lifespan.startup.complete", "lifespan.startup.failed"):
            if self.started.is_set():
                raise RuntimeError(f"{kind} was sent when the start was over")
            self.taking_part = True
            if kind.endswith("failed"):
                self.failure = message.get("message", "") or "no message was given"
            self.started.set()
        elif kind in ("lifespan.shutdown.complete", "lifespan.shutdown.failed"):
            if self.stopped.is_set():
                raise RuntimeError(f"{kind} was sent when the end was over")
            if kind.endswith("failed"):
                self.failure = message.get("message", "") or "no message was given"
            self.stopped.set()
        else:
            raise RuntimeError(f"{kind!r} is no message of the lifespan protocol")

    async def start(self):
        self.task = asyncio.get_running_loop().create_task(self.run(), name="lifespan")
        self.events.put_nowait({"type": "lifespan.startup"})
        await self.started.wait()
        if self.failure is not None:
            await asyncio.wait([self.task], timeout=CANCEL_PATIENCE)  # for what it raises besides
            raise Failure("the application's startup failed: " + self.failure.rstrip())
        if self.raised is not None and self.mode == "on":
            raise Failure("the application failed in its lifespan (asgi_lifespan is on)\n"
                          + "".join(traceback.format_exception(self.raised)).rstrip())
        if not self.taking_part and self.mode == "on":
            raise Failure("the application takes no part in the lifespan protocol, which "
                          "asgi_lifespan wants (on); set it to auto or off")

    async def stop(self):
        """What went wrong, or None."""
        if not self.taking_part or self.task.done():
            return None
        self.events.put_nowait({"type": "lifespan.shutdown"})
        await self.stopped.wait()
        await asyncio.wait([self.task], timeout=CANCEL_PATIENCE)
        if self.raised is not None:
            return "".join(traceback.format_exception(self.raised)).rstrip()
        return self.failure


class Host:
    def __init__(self, kind):
        self.loop = make_loop(kind)
        self.lifespan = None
        asyncio.set_event_loop(self.loop)

    def start(self, application, mode):
        """The state that requests get a copy of, or None."""
        if mode == "off":
            return None
        self.loop.run_until_complete(self._start(application, mode))
        return self.lifespan.state if self.lifespan.taking_part else None

    async def _start(self, application, mode):
        self.lifespan = Lifespan(application, mode)
        await self.lifespan.start()

    def serve(self, descriptor, turn):
        """Returns when turn() has stopped the loop."""
        self.loop.add_reader(descriptor, turn)
        self.loop.call_soon(turn)
        try:
            self.loop.run_forever()
        finally:
            self.loop.remove_reader(descriptor)

    def finish(self, tasks, patience):
        """Lets the tasks of requests come to an end, for `patience` seconds, then the application. Answers
        what went wrong, or None."""
        return self.loop.run_until_complete(self._finish(tasks, patience))

    async def _finish(self, tasks, patience):
        pending = {task for task in tasks if not task.done()}
        if pending and patience > 0:
            _, pending = await asyncio.wait(pending, timeout=patience)
        for task in pending:
            task.cancel()
        if pending:
            await asyncio.wait(pending, timeout=CANCEL_PATIENCE)
        return await self.lifespan.stop() if self.lifespan is not None else None

    def close(self):
        rest = asyncio.all_tasks(self.loop)
        for task in rest:
            task.cancel()
        if rest:
            self.loop.run_until_complete(asyncio.wait(rest, timeout=CANCEL_PATIENCE))
        self.loop.run_until_complete(self.loop.shutdown_asyncgens())
        asyncio.set_event_loop(None)
        self.loop.close()
