# SPDX-License-Identifier: Apache-2.0
"""What becomes of newcomers when a pool goes: whoever has been let in is served, and nobody is let in to wait for
nobody. The listening sockets close at once, however long the last request takes."""

import os
import signal
import socket
import threading

import pytest

from harness import get, wait_until

# /hold makes a file "inside", and stays there until there is a file "go".
GATE = """
import os, time
def application(environ, start_response):
    if environ["PATH_INFO"] == "/hold":
        open("inside", "w").close()
        while not os.path.exists("go"):
            time.sleep(0.01)
    body = environ["QUERY_STRING"].encode()
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]
"""
ASYNC_GATE = """
import asyncio, os
async def application(scope, receive, send):
    assert scope["type"] == "http"
    if scope["path"] == "/hold":
        open("inside", "w").close()
    while scope["path"] == "/hold" and not os.path.exists("go"):
        await asyncio.sleep(0.01)
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": scope["query_string"]})
"""
CLASSES = pytest.mark.parametrize("options", [
    ["-w", "1"], ["-w", "2"], ["-w", "1", "--threads", "4"], ["-w", "2", "-k", "asgi", "agate:application"]],
    ids=["sync", "two-sync", "gthread", "asgi"])


class Held:
    """A request that stays inside until it is released."""

    def __init__(self, site, port):
        self.go = site.app / "go"
        self.answers = []
        self.thread = threading.Thread(target=self.ask, args=(port,))
        self.thread.start()
        wait_until((site.app / "inside").exists, "the request to be inside")

    def ask(self, port):
        try:
            self.answers.append(get(port, "/hold?held").body)
        except OSError as error:
            self.answers.append(error)

    def release(self):
        self.go.touch()
        self.thread.join()
        return self.answers


def start(site, *options, **others):
    site.write("gate.py", GATE)
    site.write("agate.py", ASYNC_GATE)
    application = [] if any("agate" in option for option in options) else ["gate:application"]
    return site.start(*options, *application, **others)


def is_refused(port):
    try:
        socket.create_connection(("127.0.0.1", port), timeout=20).close()
        return False
    except ConnectionRefusedError:
        return True


def waiting_client(port):
    client = socket.create_connection(("127.0.0.1", port), timeout=60)
    client.sendall(b"GET /?queued HTTP/1.0\r\n\r\n")
    return client


def all_of(client):
    with client:
        received = b""
        while piece := client.recv(4096):
            received += piece
        return received


@CLASSES
def test_newcomers_are_refused_while_the_last_request_takes_its_time(site, options):
    arbiter = start(site, *options)
    port = arbiter.port
    held = Held(site, port)
    arbiter.send(signal.SIGTERM)
    wait_until(lambda: is_refused(port), "newcomers to be refused")
    assert arbiter.process.poll() is None and not held.answers
    assert held.release() == [b"held"]
    assert arbiter.wait_exit() == 0
    site.assert_nothing_left()


@CLASSES
def test_clients_in_the_accept_queue_are_served_before_it_closes(site, options):
    arbiter = start(site, *options)
    port = arbiter.port
    held = Held(site, port)
    os.kill(arbiter.pid, signal.SIGSTOP)  # so that none of them is a newcomer
    clients = [waiting_client(port) for _ in range(20)]
    arbiter.send(signal.SIGTERM)
    arbiter.send(signal.SIGCONT)
    wait_until(lambda: is_refused(port), "newcomers to be refused")
    assert held.release() == [b"held"]
    for client in clients:
        assert all_of(client).endswith(b"queued")
    assert arbiter.wait_exit() == 0


def test_the_file_of_a_unix_socket_goes_when_the_shutdown_begins(site):
    path = site.root / "app.sock"
    arbiter = start(site, "-w", "1", "--bind", f"unix:{path}")
    assert path.exists()
    held = Held(site, arbiter.port)
    arbiter.send(signal.SIGTERM)
    wait_until(lambda: not path.exists(), "the socket's file to go")
    assert held.release() == [b"held"]
    assert arbiter.wait_exit() == 0


def test_an_inherited_socket_is_left_to_whoever_gave_it(site):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(60)
        port = listener.getsockname()[1]
        arbiter = start(site, "-w", "1", bind=f"fd://{listener.fileno()}", pass_fds=[listener.fileno()])
        held = Held(site, port)
        arbiter.send(signal.SIGTERM)
        arbiter.wait_for_log("Handling signal: term")
        assert held.release() == [b"held"]
        assert arbiter.wait_exit() == 0
        with waiting_client(port):
            listener.accept()[0].close()


def test_an_address_that_a_reload_gives_up_is_closed_though_an_old_worker_still_serves(site):
    config = site.write("gunicorn.conf.py", 'bind = ["127.0.0.1:0"]\nworkers = 1\n')
    arbiter = start(site, bind=None)
    port = arbiter.port
    held = Held(site, port)
    config.write_text(f'bind = ["unix:{site.root}/app.sock"]\nworkers = 1\n', encoding="utf-8")
    arbiter.send(signal.SIGHUP)
    wait_until(lambda: is_refused(port), "newcomers to be refused")
    assert not held.answers
    assert held.release() == [b"held"]


def test_the_address_of_a_removed_pool_is_closed_though_its_worker_still_serves(site):
    pools = '[pool.web]\nwsgi_app = "gate:application"\nbind = "unix:{0}/web.sock"\n'
    gone = '[pool.gone]\nwsgi_app = "gate:application"\nbind = "127.0.0.1:0"\n'
    config = site.write("corn.toml", (pools + gone).format(site.root))
    site.write("gate.py", GATE)
    arbiter = site.start(bind=None)
    port = arbiter.port
    held = Held(site, port)
    config.write_text(pools.format(site.root), encoding="utf-8")
    arbiter.send(signal.SIGHUP)
    wait_until(lambda: is_refused(port), "newcomers to be refused")
    assert not held.answers
    assert held.release() == [b"held"]
