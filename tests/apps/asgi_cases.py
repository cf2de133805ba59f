# SPDX-License-Identifier: Apache-2.0
"""An ASGI application with one path for each case of the protocol.

/scope           the scope as JSON, bytes as latin-1 text, with the lifespan's state
/echo            the body, as it comes: each message is sent back at once; X-Messages is not known before
/count           number of messages and bytes of the body, read to its end, as JSON
/query           the query string, and the worker's pid in X-Pid (for load)
/pieces/N        N pieces of 64 KiB, waited for one by one; notes "sent I" for each in notes.txt
/sleep/S         "slept" after S seconds; /block/S: the same, but the loop is blocked
/disconnect      waits for http.disconnect and notes "disconnected"
/wait            ignores the disconnect; notes "cancelled" when its task is cancelled
/background/S    answers, then goes on for S seconds and notes "finished in the background"
/raise           raises; /raise-late: when the head is out; /nothing: returns without an answer
/short           announces 10 bytes and sends 3; /twice: starts twice; /injection: a field with CR LF
/list            headers as lists; a bytearray and a memoryview as body
/context         how many requests have seen the same context variable
/tasks           receive() as a task of its own beside the answer
"""
import asyncio
import contextvars
import json
import os
import time

seen = contextvars.ContextVar("seen", default=0)


def note(text):
    with open("notes.txt", "a", encoding="utf-8") as notes:
        notes.write(text + "\n")


def plain(value):
    if isinstance(value, bytes):
        return value.decode("latin-1")
    if isinstance(value, dict):
        return {name: plain(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return value


async def read_body(receive):
    body, messages = b"", 0
    while True:
        message = await receive()
        assert message["type"] == "http.request", message
        messages += 1
        body += message["body"]
        if not message["more_body"]:
            return body, messages


async def answer(send, body, status=200, headers=()):
    if not isinstance(body, bytes):
        body = json.dumps(body).encode()
    await send({"type": "http.response.start", "status": status, "headers": list(headers)})
    await send({"type": "http.response.body", "body": body})


async def lifespan(scope, receive, send):
    while True:
        message = await receive()
        if message["type"] == "lifespan.startup":
            scope["state"]["started_by"] = os.getpid()
            note("startup")
            await send({"type": "lifespan.startup.complete"})
        else:
            note("shutdown")
            await send({"type": "lifespan.shutdown.complete"})
            return


async def echo(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": []})
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            note("disconnected")
            return
        await send({"type": "http.response.body", "body": message["body"],
                    "more_body": message["more_body"]})
        if not message["more_body"]:
            return


async def pieces(receive, send, count):
    await send({"type": "http.response.start", "status": 200, "headers": []})
    for number in range(count):
        await send({"type": "http.response.body", "body": b"x" * 65536, "more_body": True})
        note(f"sent {number}")
    await send({"type": "http.response.body", "body": b""})


async def wait(receive):
    note("waiting")
    try:
        await asyncio.sleep(3600)
    except asyncio.CancelledError:
        note("cancelled")
        raise


async def with_task(receive, send):
    await read_body(receive)
    disconnect = asyncio.create_task(receive())
    await asyncio.sleep(0)
    assert not disconnect.done()
    await answer(send, b"answered")
    message = await asyncio.wait_for(disconnect, 10)
    note(f"task saw {message['type']}")


async def application(scope, receive, send):
    if scope["type"] == "lifespan":
        return await lifespan(scope, receive, send)
    assert scope["type"] == "http", scope
    _, name, *rest = scope["path"].split("/")
    if name == "scope":
        return await answer(send, plain(scope))
    if name == "echo":
        return await echo(scope, receive, send)
    if name == "count":
        body, messages = await read_body(receive)
        return await answer(send, {"bytes": len(body), "messages": messages})
    if name == "query":
        await read_body(receive)
        return await answer(send, scope["query_string"],
                            headers=[(b"content-length", str(len(scope["query_string"])).encode()),
                                     (b"x-pid", str(os.getpid()).encode())])
    if name == "pieces":
        return await pieces(receive, send, int(rest[0]))
    if name == "sleep":
        note("sleeping")
        await asyncio.sleep(float(rest[0]))
        return await answer(send, b"slept")
    if name == "block":
        this_function_blocks(float(rest[0]))
        return await answer(send, b"slept")
    if name == "disconnect":
        await read_body(receive)
        note("waiting")
        message = await receive()
        note(message["type"])
        return None
    if name == "wait":
        return await wait(receive)
    if name == "background":
        await answer(send, b"answered")
        await asyncio.sleep(float(rest[0]))
        note("finished in the background")
        return None
    if name == "raise":
        raise RuntimeError("meant to fail")
    if name == "raise-late":
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"begun", "more_body": True})
        raise RuntimeError("meant to fail late")
    if name == "nothing":
        return None
    if name == "short":
        return await answer(send, b"abc", headers=[(b"content-length", b"10")])
    if name == "twice":
        await send({"type": "http.response.start", "status": 200, "headers": []})
        return await send({"type": "http.response.start", "status": 200, "headers": []})
    if name == "injection":
        return await answer(send, b"", headers=[(b"x-evil", b"a\r\nSet-Cookie: b")])
    if name == "list":
        await send({"type": "http.response.start", "status": 201,
                    "headers": [[b"x-one", b"1"], [b"x-two", b"2"]]})
        await send({"type": "http.response.body", "body": bytearray(b"array "), "more_body": True})
        return await send({"type": "http.response.body", "body": memoryview(b"view")})
    if name == "context":
        seen.set(seen.get() + 1)
        return await answer(send, str(seen.get()).encode())
    if name == "tasks":
        return await with_task(receive, send)
    return await answer(send, b"Hello World")


def this_function_blocks(seconds):
    time.sleep(seconds)
