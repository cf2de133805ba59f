# SPDX-License-Identifier: Apache-2.0
"""The corners of PEP 3333: each path is one thing that an application may do, right or wrong. What close() and
clients that left have done to it is counted in /counts.

    /NAME    the function NAME below or in wsgi_files.py
    /counts  JSON: {"closed": ..., "made": ...}
"""
import json
import os
import sys
import time

import wsgi_files
from wsgi_files import counts

BLOCKS = [b"one-", b"two-", b"three"]


class Body:
    """An iterable that counts its close()."""

    def __init__(self, blocks):
        counts["made"] += 1
        self.blocks = iter(blocks)

    def __iter__(self):
        return self

    def __next__(self):
        return next(self.blocks)

    def close(self):
        counts["closed"] += 1


class Sized(Body):
    def __init__(self, blocks):
        super().__init__(blocks)
        self.length = len(blocks)

    def __len__(self):
        return self.length


class OnlyIndexed:
    """The oldest way to be iterable."""

    def __getitem__(self, index):
        return BLOCKS[index]


# ---- what is returned ----

def as_list(environ, start):
    start("200 OK", [])
    return list(BLOCKS)


def as_tuple(environ, start):
    start("200 OK", [])
    return tuple(BLOCKS)


def as_generator(environ, start):
    start("200 OK", [])
    yield from BLOCKS


def as_sized(environ, start):
    start("200 OK", [])
    return Sized(BLOCKS)


def as_iterator_without_close(environ, start):
    start("200 OK", [])
    return map(bytes, BLOCKS)


def as_old_sequence(environ, start):
    start("200 OK", [])
    return OnlyIndexed()


def as_written(environ, start):
    write = start("200 OK", [])
    for block in BLOCKS:
        write(block)
    return []


def as_written_and_returned(environ, start):
    write = start("200 OK", [])
    write(BLOCKS[0])
    write(b"")
    return BLOCKS[1:]


def as_body(environ, start):
    start("200 OK", [])
    return Body(BLOCKS)


def late_start(environ, start):
    """PEP 3333: empty blocks may come before start_response, and send nothing."""
    yield b""
    yield b""
    start("200 OK", [("X-Late", "yes")])
    yield b""
    yield from BLOCKS


def empty_block_then_error_page(environ, start):
    start("200 OK", [("X-First", "1")])
    yield b""
    try:
        raise ValueError("found out late")
    except ValueError:
        start("503 Sorry", [("X-Second", "2")], sys.exc_info())
    yield b"sorry"


def error_page_too_late(environ, start):
    start("200 OK", [])
    yield b"begun"
    try:
        raise ValueError("found out too late")
    except ValueError:
        start("503 Sorry", [], sys.exc_info())
    yield b"never"


def one_by_one(environ, start):
    """A block, then a wait for the file that the query names."""
    start("200 OK", [])
    yield b"first"
    while not os.path.exists(environ["QUERY_STRING"]):
        time.sleep(0.01)
    yield b"second"


def endless(environ, start):
    start("200 OK", [])

    def blocks():
        while True:
            yield b"x" * 65536
    return Body(blocks())


def endless_pauses(environ, start):
    start("200 OK", [])

    def blocks():
        while True:
            yield b"x"
            time.sleep(0.01)
    return Body(blocks())


# ---- headers and status ----

def with_headers(environ, start, status="200 OK", headers=()):
    start(status, headers)
    return Body([b"body"])


HEADERS = {
    "cookies": [("Set-Cookie", "a=1"), ("X", "y"), ("Set-Cookie", "b=2")],
    "latin1": [("X-Name", "J\xfcrgen")],
    "hop_by_hop": [("Connection", "X-Private"), ("Keep-Alive", "timeout=99"), ("TE", "x"),
                   ("Trailer", "x"), ("Upgrade", "x"), ("Proxy-Authenticate", "x"), ("Kept", "yes")],
    "close": [("Connection", "close")],
    "chunked": [("Transfer-Encoding", "chunked")],
    "chunked_and_length": [("Transfer-Encoding", "chunked"), ("Content-Length", "4")],
    "blank_value": [("X-Blank", "")],
    "padded": [("X-Padded", " \tx\t ")],
    "pairs_as_lists": [["X-Pair", "list"]],
    "own_date": [("Date", "yesterday"), ("Server", "mine")],
}
WRONG_HEADERS = {
    "value_crlf": [("X", "a\r\nSet-Cookie: admin=1")],
    "value_cr": [("X", "a\rb")],
    "value_lf": [("X", "a\nb")],
    "value_nul": [("X", "a\0b")],
    "value_folded": [("X", "a\r\n b")],
    "value_escape": [("X", "a\x1bb")],
    "value_delete": [("X", "a\x7fb")],
    "name_crlf": [("X\r\nY", "a")],
    "name_colon": [("X:", "a")],
    "name_blank": [("X Y", "a")],
    "name_empty": [("", "a")],
    "name_nul": [("X\0", "a")],
    "name_latin1": [("X\xe9", "a")],
    "name_bytes": [(b"X", "a")],
    "name_number": [(1, "a")],
    "value_number": [("X", 1)],
    "value_none": [("X", None)],
    "value_bytes": [("X", b"a")],
    "value_wide": [("X", "\u20ac")],
    "not_pairs": ["Xa"],
    "three": [("X", "a", "b")],
    "none": None,
    "length_text": [("Content-Length", "four")],
    "length_negative": [("Content-Length", "-4")],
    "length_empty": [("Content-Length", "")],
    "length_signed": [("Content-Length", "+4")],
    "lengths": [("Content-Length", "4"), ("Content-Length", "5")],
}
WRONG_STATUS = {
    "number": 200, "bytes": b"200 OK", "word": "OK", "two_digits": "20 OK", "four_digits": "2000 OK",
    "no_space": "200OK", "crlf": "200 OK\r\nX: y", "nul": "200 O\0K", "wide": "200 \u20ac", "empty": "",
    "none": None, "zero": "099 Low",
}


def headers_from_mapping(environ, start):
    start("200 OK", {"X-Mapped": "yes"}.items())
    return [b"body"]


# ---- Content-Length ----

def too_long(environ, start):
    start("200 OK", [("Content-Length", "4")])
    return Body([b"0123", b"4567", b"89"])


def too_long_list(environ, start):
    start("200 OK", [("Content-Length", "4")])
    return [b"0123456789"]


def too_short(environ, start):
    start("200 OK", [("Content-Length", "100")])
    return Body([b"0123"])


def too_short_list(environ, start):
    start("200 OK", [("Content-Length", "100")])
    return [b"0123"]


def too_short_written(environ, start):
    start("200 OK", [("Content-Length", "100")])(b"0123")
    return []


def too_short_without_body(environ, start):
    start("200 OK", [("Content-Length", "100")])
    return []


# ---- failures ----

def raises(environ, start):
    raise RuntimeError("at once")


def raises_after_start(environ, start):
    start("200 OK", [])
    raise RuntimeError("after start_response")


def raises_in_body(environ, start):
    start("200 OK", [])

    def blocks():
        yield b"begun"
        raise RuntimeError("in the body")
    return Body(blocks())


def raises_before_first_block(environ, start):
    start("200 OK", [])

    def blocks():
        raise RuntimeError("before the first block")
        yield b""
    return Body(blocks())


def raises_in_close(environ, start):
    start("200 OK", [])

    class Closing(Body):
        def close(self):
            super().close()
            raise RuntimeError("in close()")
    return Closing([b"body"])


def exits(environ, start):
    sys.exit(3)


def exits_in_body(environ, start):
    start("200 OK", [])

    def blocks():
        yield b"begun"
        sys.exit("enough")
    return Body(blocks())


def interrupts(environ, start):
    raise KeyboardInterrupt


def interrupts_in_close(environ, start):
    start("200 OK", [])

    class Closing(Body):
        def close(self):
            super().close()
            raise KeyboardInterrupt
    return Closing([b"body"])


def generator_exits(environ, start):
    raise GeneratorExit


def no_start(environ, start):
    return Body([b"body"])


def no_start_empty(environ, start):
    return []


def returns_none(environ, start):
    start("200 OK", [])


def returns_text(environ, start):
    start("200 OK", [])
    return "text"


def returns_number(environ, start):
    start("200 OK", [])
    return 5


def yields_text(environ, start):
    start("200 OK", [])
    return Body(["text"])


def yields_bytearray(environ, start):
    start("200 OK", [])
    return Body([bytearray(b"x")])


def yields_none(environ, start):
    start("200 OK", [])
    return Body([None])


def starts_twice(environ, start):
    start("200 OK", [])
    start("200 OK", [])
    return []


def writes_text(environ, start):
    start("200 OK", [])("text")
    return []


def deep_recursion(environ, start):
    return deep_recursion(environ, start)


# ---- input ----

def reads(environ, start):
    """Evaluates the query over `body`, the input."""
    from urllib.parse import unquote
    body = environ["wsgi.input"]
    answer = repr(eval(unquote(environ["QUERY_STRING"]), {"body": body})).encode()
    start("200 OK", [("Content-Length", str(len(answer)))])
    return [answer]


def echo_as_it_comes(environ, start):
    start("200 OK", [])
    for line in environ["wsgi.input"]:
        yield line.upper()


# ---- the rest ----

def early_hints(environ, start):
    hints = environ["wsgi.early_hints"]
    hints([("Link", "</style.css>; rel=preload")])
    hints([("Link", "</script.js>; rel=preload")])
    write = start("200 OK", [("X-Final", "yes")])
    write(b"body")
    hints([("Link", "</late.css>; rel=preload")])
    return []


def early_hints_wrong(environ, start):
    environ["wsgi.early_hints"]([("Link", "a\r\nX: y")])


def show(environ, start):
    answer = json.dumps({key: value if isinstance(value, (str, bool, list, tuple)) else
                         f"<{type(value).__name__}>" for key, value in environ.items()}).encode()
    start("200 OK", [("Content-Length", str(len(answer)))])
    return [answer]


def marks(environ, start):
    """Changes the environ as middleware does."""
    environ["REMOTE_USER"] = 'J\xfcrgen "x"\n'
    environ["REMOTE_ADDR"] = "203.0.113.9"
    environ["my.number"] = 42
    start("200 OK", [("X-Out", "o"), ("X-Out", "last")])
    return [b"body"]


def validated(environ, start):
    from wsgiref.validate import validator

    def inner(environ, start_response):
        environ["wsgi.input"].read(10)
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b"valid"]
    return validator(inner)(environ, start)


def application(environ, start_response):
    path = environ["PATH_INFO"].lstrip("/")
    kind, _, name = path.partition("/")
    if kind == "counts":
        answer = json.dumps(counts).encode()
        start_response("200 OK", [("Content-Length", str(len(answer)))])
        return [answer]
    if kind == "headers":
        return with_headers(environ, start_response, headers=HEADERS[name])
    if kind == "wrong-headers":
        return with_headers(environ, start_response, headers=WRONG_HEADERS[name])
    if kind == "wrong-status":
        return with_headers(environ, start_response, status=WRONG_STATUS[name])
    case = globals().get(kind) or getattr(wsgi_files, kind)
    return case(environ, start_response)
