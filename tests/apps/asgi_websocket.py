# SPDX-License-Identifier: Apache-2.0
"""A WebSocket application with one path for each case of the protocol.

/echo            sends back what comes, text as text and bytes as bytes; notes how it ended
/chat            accepts with the subprotocol "chat" and a header
/scope           sends its scope as JSON
/close/N         closes with code N and a reason
/deny            closes before it accepts (403); /denial: an HTTP answer of its own (404)
/raise           raises once it is open; /return: returns; /nothing: returns without an answer
/slow            takes nothing before it is told "go" by a file of that name, then echoes
/flood           sends until the client is gone
"""
import asyncio
import json
import os


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


async def echo(receive, send):
    while True:
        message = await receive()
        if message["type"] == "websocket.disconnect":
            note(f"ended {message['code']} {message['reason']}")
            return
        assert message["type"] == "websocket.receive", message
        kind = "text" if "text" in message else "bytes"
        await send({"type": "websocket.send", kind: message[kind]})


async def application(scope, receive, send):
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200, "headers": []})
        return await send({"type": "http.response.body", "body": b"http"})
    if scope["type"] == "lifespan":
        raise RuntimeError("no lifespan")
    assert (await receive()) == {"type": "websocket.connect"}
    _, name, *rest = scope["path"].split("/")
    if name == "deny":
        return await send({"type": "websocket.close"})
    if name == "denial":
        await send({"type": "websocket.http.response.start", "status": 404,
                    "headers": [(b"x-why", b"unknown")]})
        return await send({"type": "websocket.http.response.body", "body": b"no such room"})
    if name == "nothing":
        return None
    if name == "chat":
        await send({"type": "websocket.accept", "subprotocol": "chat",
                    "headers": [(b"x-room", b"1")]})
        return await echo(receive, send)
    await send({"type": "websocket.accept"})
    note("accepted")
    if name == "scope":
        await send({"type": "websocket.send", "text": json.dumps(plain(scope))})
    if name == "close":
        return await send({"type": "websocket.close", "code": int(rest[0]), "reason": "so it is"})
    if name == "raise":
        raise RuntimeError("meant to fail")
    if name == "return":
        return None
    if name == "slow":
        while not os.path.exists("go"):
            await asyncio.sleep(0.01)
    if name == "flood":
        count = 0
        while scope.get("going", True):
            await send({"type": "websocket.send", "bytes": b"x" * 65536})
            count += 1
            if count % 20 == 0:
                note(f"sent {count}")
                await asyncio.sleep(0)
    return await echo(receive, send)
