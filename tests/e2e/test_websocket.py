# SPDX-License-Identifier: Apache-2.0
"""WebSockets in the worker class asgi, with a real client and with one that says exactly what goes over
the wire."""

import asyncio
import json
import shutil
import signal

import pytest

from harness import APPLICATIONS, PATIENCE, get, needs, wait_until
from wire import Wire

HANDSHAKE = ("GET {path} HTTP/1.1\r\nHost: test\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
             "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: {version}\r\n\r\n")


@pytest.fixture
def serve(site):
    needs("python3:websockets")
    shutil.copy(APPLICATIONS / "asgi_websocket.py", site.app)

    def start(*arguments, **options):
        return site.start("-w", "1", "-k", "asgi", *arguments, "asgi_websocket:application",
                          **options)
    return start


def notes(site):
    path = site.app / "notes.txt"
    return path.read_text(encoding="utf-8").splitlines() if path.exists() else []


def wait_for_note(site, text):
    return wait_until(lambda: text in notes(site), f"the application to note {text!r}")


def talk(port, path, conversation, **options):
    """Runs `conversation(websocket)` with Debian's client."""
    import websockets

    async def run():
        async with websockets.connect(f"ws://127.0.0.1:{port}{path}", max_size=None,
                                      open_timeout=PATIENCE, **options) as websocket:
            return await asyncio.wait_for(conversation(websocket), PATIENCE)
    return asyncio.run(run())


def refusal(port, path):
    import websockets

    async def run():
        with pytest.raises(websockets.exceptions.InvalidStatusCode) as caught:
            await websockets.connect(f"ws://127.0.0.1:{port}{path}")
        return caught.value
    return asyncio.run(run())


async def until_closed(websocket):
    """How the server ended it."""
    await websocket.wait_closed()
    return websocket.close_code, websocket.close_reason


def opened(port, path="/echo"):
    wire = Wire(port)
    wire.send(HANDSHAKE.format(path=path, version=13))
    assert "101 Switching Protocols" in wire.read_head()
    return wire


def frame(first, payload=b""):
    mask = b"\x01\x02\x03\x04"
    size = len(payload)
    length = bytes([0x80 | size]) if size < 126 else b"\xfe" + size.to_bytes(2, "big")
    return bytes([first]) + length + mask + bytes(b ^ mask[i % 4] for i, b in enumerate(payload))


def read_frame(wire):
    first, size = wire.take(2)
    if size == 126:
        size = int.from_bytes(wire.take(2), "big")
    elif size == 127:
        size = int.from_bytes(wire.take(8), "big")
    return first, wire.take(size)


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_messages_are_echoed(serve, site, loop):
    arbiter = serve("--asgi-loop", loop)

    async def conversation(websocket):
        for message in ("text", "ä€😀", "", b"bytes", b"", "x" * 200_000, b"\xff" * 3_000_000):
            await websocket.send(message)
            assert await websocket.recv() == message
        await websocket.send(["frag", "men", "ted"])
        assert await websocket.recv() == "fragmented"
        await (await websocket.ping())
        await websocket.close(4001, "enough")
    talk(arbiter.port, "/echo", conversation)
    wait_for_note(site, "ended 4001 enough")
    assert get(arbiter.port).body == b"http"
    assert "ERROR" not in arbiter.log()


def test_the_handshake_carries_subprotocol_and_headers(serve):
    async def conversation(websocket):
        assert websocket.subprotocol == "chat"
        assert websocket.response_headers["x-room"] == "1"
    talk(serve().port, "/chat", conversation, subprotocols=["other", "chat"])


def test_the_scope_is_that_of_a_websocket(serve):
    async def conversation(websocket):
        return json.loads(await websocket.recv())
    scope = talk(serve().port, "/scope?x=1", conversation, subprotocols=["a", "b"])
    assert scope["type"] == "websocket" and scope["scheme"] == "ws" and "method" not in scope
    assert scope["subprotocols"] == ["a", "b"] and scope["query_string"] == "x=1"
    assert scope["extensions"] == {"websocket.http.response": {}}


def test_the_application_ends_it(serve):
    arbiter = serve()
    assert talk(arbiter.port, "/close/4003", until_closed) == (4003, "so it is")
    assert talk(arbiter.port, "/return", until_closed)[0] == 1000
    assert talk(arbiter.port, "/raise", until_closed)[0] == 1011
    arbiter.wait_for_log(r"Error handling WebSocket GET /raise\nTraceback")
    assert talk(arbiter.port, "/close/1005", until_closed)[0] == 1011, "no code to be sent"
    arbiter.wait_for_log("code 1005 may not be sent")


def test_the_application_denies_it(serve):
    arbiter = serve()
    assert refusal(arbiter.port, "/deny").status_code == 403
    denial = refusal(arbiter.port, "/denial")
    assert denial.status_code == 404 and denial.headers["x-why"] == "unknown"
    assert refusal(arbiter.port, "/nothing").status_code == 500
    arbiter.wait_for_log("without accepting or closing")


def test_a_wrong_handshake_is_refused_by_the_engine(serve):
    with Wire(serve().port) as wire:
        wire.send(HANDSHAKE.format(path="/echo", version=12))
        answer = wire.answer()
        assert answer.status == 426 and answer.headers["sec-websocket-version"] == "13"
        wire.send(HANDSHAKE.format(path="/echo", version=13).replace("Key: d", "Key: "))
        assert wire.answer().status == 400


@pytest.mark.parametrize("data, code", [
    (b"\x81\x00", 1002), (frame(0xc1), 1002), (frame(0x81, b"\xff"), 1007),
    (frame(0x82, b"x" * 200), 1009),
])
def test_breaches_of_the_protocol_end_it_with_their_code(serve, site, data, code):
    arbiter = serve("--websocket-max-message", "100")
    with opened(arbiter.port) as wire:
        wire.send(data)
        first, payload = read_frame(wire)
        assert first == 0x88 and int.from_bytes(payload[:2], "big") == code
        assert wire.ended()
    wait_until(lambda: any(line.startswith(f"ended {code}") for line in notes(site)), "the end")


def test_frames_sent_with_the_handshake_are_not_lost(serve):
    with Wire(serve().port) as wire:
        wire.send(HANDSHAKE.format(path="/echo", version=13).encode() + frame(0x81, b"early"))
        wire.read_head()
        assert read_frame(wire) == (0x81, b"early")


def test_a_client_that_vanishes_is_noticed(serve, site):
    arbiter = serve()
    opened(arbiter.port).socket.close()
    wait_for_note(site, "ended 1006 ")
    assert "ERROR" not in arbiter.log()


def test_a_silent_client_is_pinged_and_given_up(serve, site):
    arbiter = serve("--websocket-ping-interval", "0.3")
    with opened(arbiter.port) as wire:
        assert read_frame(wire) == (0x89, b"")
        wire.send(frame(0x8a))
        assert read_frame(wire) == (0x89, b"")
        first, payload = read_frame(wire)
        assert first == 0x88 and payload[:2] == (1011).to_bytes(2, "big")
    wait_until(lambda: any(line.startswith("ended 1006") for line in notes(site)), "the end")


def test_an_application_that_takes_nothing_stops_the_client(serve, site):
    arbiter = serve()
    with opened(arbiter.port, "/slow") as wire:
        wire.socket.settimeout(2)
        sent = 0
        with pytest.raises(TimeoutError):
            while sent < 100_000:
                wire.send(frame(0x82, b"x" * 10_000))
                sent += 1
        (site.app / "go").touch()
        wire.socket.settimeout(PATIENCE)
        for _ in range(min(sent, 100)):
            assert read_frame(wire) == (0x82, b"x" * 10_000)


def test_a_client_that_takes_nothing_stops_the_application(serve, site):
    arbiter = serve()
    with Wire(arbiter.port, receive_buffer=4096) as wire:
        wire.send(HANDSHAKE.format(path="/flood", version=13))
        wait_for_note(site, "sent 20")
        assert get(arbiter.port).body == b"http"
        with Wire(arbiter.port) as other:
            assert other.get("/").body == b"http"
        assert len(notes(site)) < 60
    wait_until(lambda: int(arbiter.status()["pools"][0]["workers"][0]["connections"]) == 0
               if "connections" in arbiter.status()["pools"][0]["workers"][0] else True, "the end")


def test_an_open_websocket_is_no_request_in_flight(serve):
    arbiter = serve("--request-timeout", "1", "--timeout", "1")

    async def conversation(websocket):
        await asyncio.sleep(2.5)
        assert int(arbiter.status()["pools"][0]["workers"][0]["inFlight"]) == 0
        await websocket.send("still there")
        assert await websocket.recv() == "still there"
    talk(arbiter.port, "/echo", conversation)
    assert arbiter.exits() == []


@pytest.mark.parametrize("number, code", [(signal.SIGHUP, 1012), (signal.SIGTERM, 1001)])
def test_clients_are_told_when_the_worker_goes(serve, site, number, code):
    arbiter = serve()

    async def conversation(websocket):
        await websocket.send("x")
        await websocket.recv()
        arbiter.send(number)
        return await until_closed(websocket)
    assert talk(arbiter.port, "/echo", conversation)[0] == code
    wait_until(lambda: any(line.startswith(f"ended {code}") for line in notes(site)), "the end")
    if number == signal.SIGTERM:
        assert arbiter.wait_exit() == 0
        site.assert_nothing_left()


def test_it_is_logged_when_it_is_over(serve):
    arbiter = serve("--access-logfile", "-")

    async def conversation(websocket):
        await websocket.send("x")
        await websocket.recv()
    talk(arbiter.port, "/echo", conversation)
    wait_until(lambda: '"GET /echo HTTP/1.1" 101 ' in arbiter.output(), "a line in the access log")
