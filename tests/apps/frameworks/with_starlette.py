# SPDX-License-Identifier: Apache-2.0
"""What people use Starlette for: routes, forms, uploads, streams, files, sessions of background work, sync
views in threads, lifespan, WebSockets."""
import asyncio
import contextlib
import hashlib
import time

from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.responses import (FileResponse, JSONResponse, PlainTextResponse, RedirectResponse,
                                 StreamingResponse)
from starlette.routing import Route, WebSocketRoute


async def hello(request):
    return PlainTextResponse("Hello World")


async def person(request):
    return JSONResponse({"name": request.path_params["name"],
                         "query": dict(request.query_params), "url": str(request.url),
                         "client": request.client.host, "agent": request.headers["user-agent"]})


async def digest(request):
    total = hashlib.sha256()
    async for chunk in request.stream():
        total.update(chunk)
    return PlainTextResponse(total.hexdigest())


async def stream(request):
    async def numbers():
        for number in range(100):
            yield f"{number}\n"
            await asyncio.sleep(0)
    return StreamingResponse(numbers(), media_type="text/plain")


async def ticker(request):
    async def ticks():
        try:
            while True:
                yield "data: tick\n\n"
                await asyncio.sleep(0.01)
        finally:
            note("ticker ended")
    return StreamingResponse(ticks(), media_type="text/event-stream")


def in_thread(request):
    time.sleep(0.2)
    return PlainTextResponse("from a thread")


async def background(request):
    return PlainTextResponse("accepted", background=BackgroundTask(note, "background done"))


async def file(request):
    return FileResponse(__file__, filename="source.py")


async def redirect(request):
    return RedirectResponse("/hello")


async def fail(request):
    raise RuntimeError("meant to fail")


async def echo(websocket):
    await websocket.accept()
    async for message in websocket.iter_text():
        await websocket.send_text(message)
    note("websocket ended")


class Timing(BaseHTTPMiddleware):
    async def dispatch(self, request, call_next):
        answer = await call_next(request)
        answer.headers["x-middleware"] = "yes"
        return answer


def note(text):
    with open("notes.txt", "a", encoding="utf-8") as notes:
        notes.write(text + "\n")


@contextlib.asynccontextmanager
async def lifespan(app):
    note("started")
    yield
    note("stopped")


application = Starlette(
    lifespan=lifespan, middleware=[Middleware(Timing)],
    routes=[Route("/hello", hello), Route("/person/{name}", person),
            Route("/digest", digest, methods=["POST"]), Route("/stream", stream),
            Route("/ticker", ticker), Route("/thread", in_thread),
            Route("/background", background), Route("/file", file), Route("/redirect", redirect),
            Route("/fail", fail), WebSocketRoute("/echo", echo)])
