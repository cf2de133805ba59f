# SPDX-License-Identifier: Apache-2.0
"""A load of keep-alive clients that accounts for the fate of every request.

Averages hide losses. Here every request is either answered, with its own answer and whole, or it is a
failure with a description; a connection that the server closes without having announced it
counts as a failure of the request that met it. The longest time without any answer is kept too.
"""

import collections
import itertools
import random
import socket
import threading
import time

from harness import PATIENCE, wait_until


class RequestFailed(Exception):
    pass


class KeepAliveClient:
    """One client: a connection that is kept as long as the server keeps it."""

    def __init__(self, address):
        self.address = address
        self.socket = None
        self.pending = b""
        self.served = 0  # requests answered on this connection
        self.opened = 0  # connections
        self.announced = 0  # of their ends by the server, with `Connection: close`
        self.answered_at = None
        self.idle = 0.0  # how long the connection had been idle when the last request was begun

    def close(self):
        if self.socket:
            self.socket.close()
        self.socket = None
        self.pending = b""
        self.served = 0

    def connect(self):
        family = socket.AF_UNIX if isinstance(self.address, str) else socket.AF_INET
        self.socket = socket.socket(family, socket.SOCK_STREAM)
        self.socket.settimeout(PATIENCE)
        self.socket.connect(self.address)
        self.opened += 1
        if family == socket.AF_INET:
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def receive(self, stage):
        data = self.socket.recv(65536)
        if not data:
            raise RequestFailed(f"closed {stage}, after {self.served} requests on the connection")
        self.pending += data

    def request(self, target, body=b""):
        """Sends a GET, or a POST where there is a body; returns (status, headers, body)."""
        method, length = ("POST", f"Content-Length: {len(body)}\r\n") if body else ("GET", "")
        stage = "while connecting"
        self.idle = time.monotonic() - self.answered_at if self.socket else 0.0
        try:
            if self.socket is None:
                self.connect()
            stage = "while sending"
            self.socket.sendall(
                f"{method} {target} HTTP/1.1\r\nHost: test\r\n{length}\r\n".encode() + body)
            stage = "before the response"
            while b"\r\n\r\n" not in self.pending:
                self.receive(stage)
                stage = "within the response's head"
            head, _, self.pending = self.pending.partition(b"\r\n\r\n")
            status_line, *lines = head.decode("latin-1").split("\r\n")
            headers = {name.lower(): value.strip() for name, _, value in
                       (line.partition(":") for line in lines)}
            length = int(headers["content-length"])
            stage = "within the response's body"
            while len(self.pending) < length:
                self.receive(stage)
        except OSError as error:
            raise RequestFailed(f"{type(error).__name__} {stage}, after {self.served} requests on "
                                "the connection") from error
        body, self.pending = self.pending[:length], self.pending[length:]
        self.served += 1
        self.answered_at = time.monotonic()
        if headers.get("connection", "").lower() == "close":
            self.announced += 1
            self.close()
        return int(status_line.split()[1]), headers, body


class Load:
    """Clients in threads, from entering the `with` to leaving it. The application must answer with the
    query string (harness.ECHO_QUERY). Between two requests each client waits a random time between
    the two of `think`, in seconds. A client that a busy machine keeps from its next request until the
    server's `keep_alive` is nearly over is late, and finding its connection closed no failure."""

    def __init__(self, port_or_path, connections=16, target="/?{id}", think=(0, 0),
                 keep_alive=None):
        self.address = port_or_path if isinstance(port_or_path, str) else ("127.0.0.1", port_or_path)
        self.target = target
        self.think = think
        self.keep_alive = keep_alive
        self.late = 0  # clients that found their connection closed since they came too late
        self.stopping = threading.Event()
        self.lock = threading.Lock()
        self.ids = itertools.count(1)
        self.answered = 0
        self.failures = collections.Counter()
        self.servers = collections.Counter()  # requests by the worker that answered
        self.opened = 0  # connections
        self.announced = 0  # ends of connections that the server announced
        self.longest_gap = 0.0
        self.last_answer = None
        self.threads = [threading.Thread(target=self.client, daemon=True)
                        for _ in range(connections)]

    def client(self):
        client = KeepAliveClient(self.address)
        while not self.stopping.is_set():
            with self.lock:
                number = str(next(self.ids))
            try:
                status, headers, body = client.request(self.target.format(id=number))
            except RequestFailed as failure:
                client.close()
                if self.keep_alive and client.idle > 0.8 * self.keep_alive:
                    with self.lock:
                        self.late += 1
                    continue
                self.failed(str(failure))
                continue
            if status != 200:
                self.failed(f"status {status}: {body[:200]!r}")
            elif body != number.encode():
                self.failed("somebody else's answer")
            else:
                self.succeeded(headers.get("x-pid"))
            if self.think[1] > 0:
                self.stopping.wait(random.uniform(*self.think))
        client.close()
        with self.lock:
            self.opened += client.opened
            self.announced += client.announced

    def failed(self, text):
        with self.lock:
            self.failures[text] += 1

    def succeeded(self, server):
        now = time.monotonic()
        with self.lock:
            self.answered += 1
            self.servers[server] += 1
            if self.last_answer is not None:
                self.longest_gap = max(self.longest_gap, now - self.last_answer)
            self.last_answer = now

    def wait_for(self, more):
        """Waits until so many more requests have been answered."""
        goal = self.answered + more
        wait_until(lambda: self.answered >= goal or sum(self.failures.values()) > 1000,
                   f"{more} more requests to be answered")

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        self.wait_for(len(self.threads))
        return self

    def __exit__(self, *_):
        self.stopping.set()
        for thread in self.threads:
            thread.join(2 * PATIENCE)

    def assert_nothing_lost(self):
        lost = sum(self.failures.values())
        assert lost == 0, f"{lost} of {self.answered + lost} requests failed: {dict(self.failures)}"
        assert self.answered > 0

    def assert_nobody_noticed(self):
        """After the end: no request failed, and every client had the same connection all the time."""
        self.assert_nothing_lost()
        assert self.announced == 0, f"{self.announced} answers said `Connection: close`"
        clients = len(self.threads) + self.late
        assert self.opened == clients, f"{self.opened} connections for {clients} clients"
