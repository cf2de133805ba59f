# SPDX-License-Identifier: Apache-2.0
"""Asynchronous frameworks as Debian packages them, unmodified, in the worker class asgi."""

import asyncio
import hashlib
import json
import shutil
import threading

import pytest

from harness import APPLICATIONS, PATIENCE, get, needs, wait_until
from wire import Wire

CONTENT = bytes(range(256)) * 20_000


@pytest.fixture(params=["asyncio", "uvloop"])
def serve(request, site):
    def start(framework):
        needs(f"python3:{framework}", f"python3:{request.param}")
        shutil.copytree(APPLICATIONS / "frameworks", site.app, dirs_exist_ok=True)
        return site.start("-w", "1", "-k", "uvicorn.workers.UvicornWorker", "--asgi-loop",
                          request.param, f"with_{framework}:application")
    return start


def notes(site):
    return (site.app / "notes.txt").read_text(encoding="utf-8").splitlines()


def converse(port, path, message):
    import websockets

    async def run():
        async with websockets.connect(f"ws://127.0.0.1:{port}{path}") as websocket:
            await websocket.send(message)
            return await asyncio.wait_for(websocket.recv(), PATIENCE)
    return asyncio.run(run())


def test_starlette(serve, site):
    needs("python3:websockets")
    arbiter = serve("starlette")
    port = arbiter.port
    answer = get(port, "/hello")
    assert answer.body == b"Hello World" and answer.headers["x-middleware"] == "yes"
    person = json.loads(get(port, "/person/J%C3%B6rg?a=1", headers={"User-Agent": "t"}).body)
    assert person["name"] == "Jörg" and person["query"] == {"a": "1"} and person["agent"] == "t"
    assert person["client"] == "127.0.0.1"
    assert get(port, "/digest", "POST", CONTENT).body.decode() == hashlib.sha256(CONTENT).hexdigest()
    assert get(port, "/stream").body == b"".join(b"%d\n" % n for n in range(100))
    assert get(port, "/redirect").status == 307
    source = (site.app / "with_starlette.py").read_bytes()
    assert get(port, "/file").body == source
    assert get(port, "/missing").status == 404
    answer = get(port, "/fail")
    assert answer.status == 500
    arbiter.wait_for_log("RuntimeError: meant to fail")
    assert converse(port, "/echo", "hello") == "hello"
    wait_until(lambda: "websocket ended" in notes(site), "the WebSocket's end")
    assert get(port, "/background").body == b"accepted"
    wait_until(lambda: "background done" in notes(site), "the work in the background")
    assert arbiter.stop() == 0
    assert notes(site)[0] == "started" and notes(site)[-1] == "stopped"


def test_starlettes_threads_and_streams(serve, site):
    arbiter = serve("starlette")
    answers = []
    threads = [threading.Thread(target=lambda: answers.append(get(arbiter.port, "/thread").body))
               for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [b"from a thread"] * 8
    with Wire(arbiter.port) as wire:
        wire.send("GET /ticker HTTP/1.1\r\nHost: test\r\n\r\n")
        assert "text/event-stream" in wire.read_head()
        wire.take(200)
    wait_until(lambda: "ticker ended" in notes(site), "the stream to end with its client")


def test_fastapi(serve):
    needs("python3:websockets")
    arbiter = serve("fastapi")
    port = arbiter.port
    assert json.loads(get(port, "/items/7?skip=3").body) == {"number": 7, "skip": 3, "limit": 10}
    assert get(port, "/items/404").status == 404
    assert get(port, "/items/seven").status == 422
    item = json.dumps({"name": "nail", "price": 0.5}).encode()
    answer = get(port, "/items", "POST", item, {"Content-Type": "application/json"})
    assert answer.status == 201 and json.loads(answer.body) == {"name": "nail", "price": 0.5}
    assert "/items/{number}" in json.loads(get(port, "/openapi.json").body)["paths"]
    assert converse(port, "/echo", '{"a": 1}') == '{"a": 1}'
