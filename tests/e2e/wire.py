# SPDX-License-Identifier: Apache-2.0
"""A client that says exactly what goes over the wire, and reads answers by their framing alone."""

import json
import socket

from harness import PATIENCE

# Answers with what it was given, as JSON: the variables of environ that are text, and the body. What
# happens inside is noted in calls.txt, a line each.
MIRROR = """
import json, os

def note(text):
    with open("calls.txt", "a", encoding="utf-8") as calls:
        calls.write(text + "\\n")

def application(environ, start_response):
    note(f"called {environ['REQUEST_METHOD']} {environ['RAW_URI']}")
    try:
        body = environ["wsgi.input"].read()
    except Exception as error:
        note(f"raised {type(error).__name__}")
        raise
    note(f"read {len(body)}")
    shown = {name: value for name, value in environ.items() if isinstance(value, str)}
    shown["body"] = body.decode("latin-1")
    shown["pid"] = os.getpid()
    answer = json.dumps(shown).encode()
    start_response("200 OK", [("Content-Type", "application/json"),
                              ("Content-Length", str(len(answer)))])
    return [answer]
"""


class Answer:
    def __init__(self, status, headers, body, head):
        self.status, self.headers, self.body, self.head = status, headers, body, head

    def json(self):
        assert self.status == 200, (self.status, self.body)
        return json.loads(self.body)


class Wire:
    """One connection."""

    def __init__(self, address, receive_buffer=None, host="127.0.0.1"):
        family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
        self.socket = socket.socket(family, socket.SOCK_STREAM)
        self.socket.settimeout(PATIENCE)
        if receive_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.connect(address if isinstance(address, str) else (host, address))
        if family == socket.AF_INET:
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.pending = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def send(self, data):
        self.socket.sendall(data if isinstance(data, bytes) else data.encode("latin-1"))

    def get(self, target="/", fields="", method="GET"):
        self.send(f"{method} {target} HTTP/1.1\r\nHost: test\r\n{fields}\r\n")
        return self.answer(to_head=method == "HEAD")

    def fill(self):
        data = self.socket.recv(65536)
        self.pending += data
        return len(data)

    def read_head(self):
        while b"\r\n\r\n" not in self.pending:
            if not self.fill():
                raise AssertionError(f"the connection ended before an answer: {self.pending!r}")
        head, _, self.pending = self.pending.partition(b"\r\n\r\n")
        return head.decode("latin-1")

    def take(self, size):
        parts, missing = [self.pending], size - len(self.pending)
        while missing > 0:
            data = self.socket.recv(min(missing, 1 << 20))
            if not data:
                raise AssertionError(f"the connection ended {missing} bytes early")
            parts.append(data)
            missing -= len(data)
        data = b"".join(parts)
        self.pending = data[size:]
        return data[:size]

    def read_chunks(self):
        body = b""
        while True:
            while b"\r\n" not in self.pending:
                assert self.fill(), "the connection ended within a chunked body"
            line, _, self.pending = self.pending.partition(b"\r\n")
            size = int(line, 16)
            body += self.take(size)
            assert self.take(2) == b"\r\n"
            if size == 0:
                return body

    def answer(self, to_head=False):
        """The next answer, whose end is found as RFC 9112 section 6.3 says."""
        head = self.read_head()
        status_line, *lines = head.split("\r\n")
        status = int(status_line.split()[1])
        headers = {name.lower(): value.strip() for name, _, value in
                   (line.partition(":") for line in lines)}
        if to_head or status in (204, 304) or status < 200:
            body = b""
        elif headers.get("transfer-encoding") == "chunked":
            body = self.read_chunks()
        elif "content-length" in headers:
            body = self.take(int(headers["content-length"]))
        else:
            body = self.rest()
        return Answer(status, headers, body, head)

    def rest(self):
        """Everything up to the end of the connection, which must be a regular one."""
        while self.fill():
            pass
        data, self.pending = self.pending, b""
        return data

    def ended(self):
        """The server ends the connection without a byte more."""
        return self.rest() == b""


def calls(site):
    """What the mirror application has noted."""
    path = site.app / "calls.txt"
    return path.read_text(encoding="utf-8").splitlines() if path.exists() else []
