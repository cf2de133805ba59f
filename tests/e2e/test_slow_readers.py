# SPDX-License-Identifier: Apache-2.0
"""Clients that are slow to take large answers hold no application: what they don't take lies in memory and
in a file, and others are served at once."""

import hashlib
import http.client
import os
import time

import pytest

from harness import SANITIZER, get, wait_until
from wire import Wire

MEGABYTE = 1_000_000
APPLICATION = """
import hashlib, time

def content(size):
    block = b"".join(hashlib.sha256(b"%d" % i).digest() for i in range(3125))  # 100,000 bytes
    return block * (size // len(block))

DONE = []
def application(environ, start_response):
    kind, _, size = environ["PATH_INFO"][1:].partition("/")
    if kind == "done":
        body = str(len(DONE)).encode()
    elif kind == "hang":
        while True:
            time.sleep(1)
    elif kind == "file":
        start_response("200 OK", [("Content-Length", size)])
        DONE.append(1)
        return environ["wsgi.file_wrapper"](open(size, "rb"), 65536)
    elif kind == "pieces":
        start_response("200 OK", [])
        return pieces(int(size))
    else:
        body = content(int(size or 0))
    start_response("200 OK", [("Content-Length", str(len(body)))])
    if len(body) > 1000000:
        DONE.append(1)
    return [body]

def pieces(size):
    body = content(size)
    for begin in range(0, size, 100000):
        yield body[begin:begin + 100000]
    DONE.append(1)
"""
CLASSES = pytest.mark.parametrize("options", [["-k", "sync"], ["-k", "gthread", "--threads", "2"]],
                                  ids=["sync", "gthread"])


BLOCK = b"".join(hashlib.sha256(b"%d" % i).digest() for i in range(3125))


def digest(size):
    whole = hashlib.sha256()
    for _ in range(size // len(BLOCK)):
        whole.update(BLOCK)
    return whole.hexdigest()


class SlowReader:
    """Has asked for a large answer and takes nothing of it until it is told to."""

    def __init__(self, port, path):
        self.wire = Wire(port, receive_buffer=8192)
        self.wire.send(f"GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n")

    def take(self):
        """Digest of the whole answer's body."""
        response = http.client.HTTPResponse(self.wire.socket)
        response.begin()
        whole = hashlib.sha256()
        while data := response.read(1 << 20):
            whole.update(data)
        self.wire.socket.close()
        return whole.hexdigest()


@pytest.fixture(name="big")
def fixture_big(site):
    site.write("big.py", APPLICATION)
    return site


@CLASSES
@pytest.mark.parametrize("kind", ["big", "pieces", "file"])
def test_others_are_served_while_slow_readers_have_50_megabytes_to_take(big, options, kind):
    arbiter = big.start("-w", "1", *options, "--keep-alive", "30", "big:application")
    size = 50 * MEGABYTE
    (big.app / str(size)).write_bytes(BLOCK * (size // len(BLOCK)))
    readers = [SlowReader(arbiter.port, f"/{kind}/{size}") for _ in range(4)]
    with Wire(arbiter.port) as other:
        wait_until(lambda: other.get("/done").body == b"4", "the application to be done with all")
        slowest = 0.0
        for _ in range(50):
            began = time.monotonic()
            assert other.get("/0").status == 200 and get(arbiter.port, "/0").status == 200
            slowest = max(slowest, time.monotonic() - began)
        assert slowest < (20 if SANITIZER else 2), f"two small requests took {slowest:.2f} s"
    wanted = digest(size)
    assert [reader.take() for reader in readers] == [wanted] * 4
    assert arbiter.exits() == []


@CLASSES
def test_an_answer_beyond_the_file_limit_is_waited_for_and_complete(big, options):
    arbiter = big.start("-w", "1", *options, "big:application")
    size = 150 * MEGABYTE
    reader = SlowReader(arbiter.port, f"/big/{size}")
    assert reader.take() == digest(size)
    assert get(arbiter.port, "/0").status == 200


@CLASSES
def test_without_room_for_a_file_answers_are_complete_all_the_same(big, options):
    """The directory disappears: the application waits for its clients then, and the log says so."""
    (big.app / "spool").mkdir()
    arbiter = big.start("-w", "1", *options, "--config", str(big.write(
        "conf.py", f"tmp_upload_dir = {str(big.app / 'spool')!r}\n")), "big:application")
    os.rmdir(big.app / "spool")
    size = 5 * MEGABYTE
    reader = SlowReader(arbiter.port, f"/big/{size}")
    arbiter.wait_for_log("cannot make a file for an answer .*spool")
    assert reader.take() == digest(size)
    assert get(arbiter.port, "/0").status == 200


def test_an_answer_on_its_way_survives_a_hanging_request(big):
    arbiter = big.start("-w", "1", "--request-timeout", "2", "big:application")
    size = 20 * MEGABYTE
    reader = SlowReader(arbiter.port, f"/big/{size}")
    wait_until(lambda: get(arbiter.port, "/done").body == b"1", "the application to be done")
    assert get(arbiter.port, "/hang").status == 504
    assert arbiter.exits() == [], "its worker has an answer to finish"
    assert get(arbiter.port, "/0").status == 200, "its successor serves meanwhile"
    assert reader.take() == digest(size)
    assert wait_until(arbiter.exits, "the worker's end")[0]["cause"] == "request-timeout"
