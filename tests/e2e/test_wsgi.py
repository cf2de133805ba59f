# SPDX-License-Identifier: Apache-2.0
"""PEP 3333 as a client on the network sees it, in all classes that speak it."""

import json
import re
import signal
import socket
import sys
from urllib.parse import quote

import pytest

from harness import PATIENCE, REPOSITORY, SANITIZER, Site, exchange, get, wait_until

APPS = REPOSITORY / "tests" / "apps"
sys.path.insert(0, str(APPS))
import wsgi_cases  # noqa: E402  (the application, for its tables of cases)

CLASSES = {"sync": ["-k", "sync"], "gthread": ["-k", "gthread", "--threads", "4"],
           "gevent": ["-k", "gevent"]}
if "address" in SANITIZER:  # greenlets move stacks, which AddressSanitizer doesn't know
    del CLASSES["gevent"]


@pytest.fixture(scope="module", params=CLASSES)
def server(request):
    """One worker for all tests of a class: none of them may hurt it, which the last test checks."""
    site = Site()
    arbiter = site.start(*CLASSES[request.param], "--chdir", APPS, "--log-level", "debug",
                         "--access-logfile", site.root / "access.log",
                         "--access-logformat", "%(m)s %(U)s %(s)s %(B)s", "wsgi_cases:application")
    arbiter.kind = request.param
    arbiter.first_workers = arbiter.workers()
    arbiter.access_log = site.root / "access.log"
    yield arbiter
    site.close()


def raw(server, path, method="GET", version="1.1", headers="", body=b""):
    """All bytes of the answer to one request, the last on its connection."""
    head = (f"{method} /{path} HTTP/{version}\r\nHost: test\r\nConnection: close\r\n"
            f"{headers}\r\n").encode("latin-1")
    return exchange(server.port, head + body)


def split(answer):
    """Status line, list of (lower-case name, value), body as sent."""
    head, _, body = answer.partition(b"\r\n\r\n")
    status, *lines = head.decode("latin-1").split("\r\n")
    fields = [(name.lower(), value[1:]) for name, _, value in
              (line.partition(":") for line in lines)]
    return status, fields, body


def dechunk(body):
    """The content of a chunked body; fails unless it ends properly."""
    content = b""
    while True:
        size, _, body = body.partition(b"\r\n")
        length = int(size, 16)
        content += body[:length]
        assert body[length:length + 2] == b"\r\n", "the chunked body is cut off"
        body = body[length + 2:]
        if length == 0:
            assert body == b""
            return content


def counts(server):
    return json.loads(get(server.port, "/counts").body)


def assert_closed_once(server, before):
    """Everything made since has been closed, once."""
    def balanced():
        now = counts(server)
        made = now.get("made", 0) - before.get("made", 0)
        closed = now.get("closed", 0) - before.get("closed", 0)
        assert closed <= made == 1, f"{made} made, {closed} closed"
        return made == closed
    wait_until(balanced, "close()")


def logged_since(server, mark, pattern):
    return wait_until(lambda: re.search(pattern, server.log()[mark:]), f"{pattern!r} in the log")


# ---- answers ----

@pytest.mark.parametrize("name", [
    "as_list", "as_tuple", "as_generator", "as_sized", "as_iterator_without_close",
    "as_old_sequence", "as_written", "as_written_and_returned", "as_body"])
def test_whatever_is_iterable_is_an_answer(server, name):
    assert get(server.port, f"/{name}").body == b"one-two-three"
    status, fields, body = split(raw(server, name, version="1.0"))
    assert body == b"one-two-three" and "transfer-encoding" not in dict(fields)
    head = split(raw(server, name, method="HEAD"))
    assert head[0] == "HTTP/1.1 200 OK" and head[2] == b""


@pytest.mark.parametrize("method,path", [
    ("GET", "as_body"), ("HEAD", "as_body"), ("GET", "as_sized"), ("GET", "raises_in_body"),
    ("GET", "raises_before_first_block"), ("GET", "raises_in_close"), ("GET", "exits_in_body"),
    ("GET", "interrupts_in_close"), ("GET", "no_start"), ("GET", "yields_text"), ("GET", "too_long"),
    ("GET", "too_short"), ("GET", "file_in_memory"), ("HEAD", "file_in_memory"),
    ("GET", "headers/close"), ("HEAD", "endless")])
def test_close_is_called_once(server, method, path):
    before = counts(server)
    raw(server, path, method=method)
    assert_closed_once(server, before)


@pytest.mark.parametrize("path", ["endless", "endless_pauses", "file_large"])
def test_close_is_called_once_when_the_client_leaves(server, path):
    before = counts(server)
    with socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE) as connection:
        connection.sendall(f"GET /{path} HTTP/1.1\r\nHost: test\r\n\r\n".encode())
        assert connection.recv(1000)
    assert_closed_once(server, before)


def test_empty_blocks_send_nothing(server):
    _, fields, body = split(raw(server, "late_start"))
    assert ("x-late", "yes") in fields and dechunk(body) == b"one-two-three"
    status, fields, body = split(raw(server, "empty_block_then_error_page"))
    assert status == "HTTP/1.1 503 Sorry" and dechunk(body) == b"sorry"
    assert "x-first" not in dict(fields) and dict(fields)["x-second"] == "2"


def test_error_page_that_comes_too_late_cuts_the_answer_off(server):
    mark = len(server.log())
    status, _, body = split(raw(server, "error_page_too_late"))
    assert status == "HTTP/1.1 200 OK" and body == b"5\r\nbegun\r\n"
    logged_since(server, mark, "ValueError: found out too late")


def test_a_block_is_on_its_way_before_the_next_is_made(server, tmp_path):
    gate = tmp_path / "go"
    with socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE) as connection:
        connection.sendall(f"GET /one_by_one?{gate} HTTP/1.1\r\nHost: test\r\n\r\n".encode())
        received = b""
        while b"first" not in received:
            received += connection.recv(1000)
        assert b"second" not in received
        gate.touch()
        while b"second" not in received:
            received += connection.recv(1000)


def test_input_can_be_read_while_output_is_written(server):
    with socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE) as connection:
        connection.sendall(b"POST /echo_as_it_comes HTTP/1.1\r\nHost: test\r\n"
                           b"Expect: 100-continue\r\nTransfer-Encoding: chunked\r\n\r\n")
        received = connection.recv(1000)
        assert received == b"HTTP/1.1 100 Continue\r\n\r\n"
        received = b""
        for word in (b"one\n", b"two\n", b"three\n"):
            connection.sendall(b"%x\r\n%s\r\n" % (len(word), word))
            while word.upper() not in received:
                received += connection.recv(1000)
        connection.sendall(b"0\r\n\r\n")
        while not received.endswith(b"0\r\n\r\n"):
            received += connection.recv(1000)


def test_input_can_be_read_while_output_is_written_without_expect(server):
    with socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE) as connection:
        connection.sendall(b"POST /echo_as_it_comes HTTP/1.1\r\nHost: test\r\n"
                           b"Content-Length: 8\r\n\r\none\n")
        received = b""
        while b"ONE\n" not in received:
            received += connection.recv(1000)
        connection.sendall(b"two\n")
        while not received.endswith(b"0\r\n\r\n"):
            received += connection.recv(1000)
        assert b"TWO\n" in received


# ---- headers ----

def test_repeated_headers_stay_repeated(server):
    _, fields, _ = split(raw(server, "headers/cookies"))
    assert [value for name, value in fields if name == "set-cookie"] == ["a=1", "b=2"]


def test_header_values_are_latin_1(server):
    assert ("x-name", "J\xfcrgen") in split(raw(server, "headers/latin1"))[1]


def test_hop_by_hop_headers_are_dropped(server):
    fields = dict(split(raw(server, "headers/hop_by_hop"))[1])
    assert fields["kept"] == "yes" and fields["connection"] == "close"
    assert not {"keep-alive", "te", "trailer", "upgrade", "proxy-authenticate"} & fields.keys()


@pytest.mark.parametrize("name", ["chunked", "chunked_and_length"])
def test_chunked_set_by_the_application_is_not_doubled(server, name):
    _, fields, body = split(raw(server, f"headers/{name}"))
    assert [value for key, value in fields if key == "transfer-encoding"] == ["chunked"]
    assert "content-length" not in dict(fields)
    assert dechunk(body) == b"body"
    _, fields, body = split(raw(server, f"headers/{name}", version="1.0"))
    assert "transfer-encoding" not in dict(fields) and body == b"body"


def test_headers_in_other_shapes_are_taken_as_by_gunicorn(server):
    assert ("x-pair", "list") in split(raw(server, "headers/pairs_as_lists"))[1]
    assert ("x-mapped", "yes") in split(raw(server, "headers_from_mapping"))[1]
    assert ("x-padded", "x") in split(raw(server, "headers/padded"))[1]
    assert ("x-blank", "") in split(raw(server, "headers/blank_value"))[1]


def test_own_date_and_server_are_sent_once(server):
    fields = split(raw(server, "headers/own_date"))[1]
    assert [value for name, value in fields if name in ("date", "server")] == ["yesterday", "mine"]


@pytest.mark.parametrize("path", [f"wrong-headers/{name}" for name in wsgi_cases.WRONG_HEADERS] +
                         [f"wrong-status/{name}" for name in wsgi_cases.WRONG_STATUS])
def test_wrong_headers_and_status_are_answered_500(server, path):
    mark = len(server.log())
    status, fields, body = split(raw(server, path))
    assert status == "HTTP/1.1 500 Internal Server Error"
    assert not {"x", "y", "set-cookie"} & dict(fields).keys()
    logged_since(server, mark, rf"(?s)\[ERROR\] Error handling request /{path}\nTraceback.*"
                               r"(ValueError|TypeError): \S+")


# ---- Content-Length ----

@pytest.mark.parametrize("path", ["too_long", "too_long_list"])
def test_surplus_over_content_length_is_cut_off_and_logged(server, path):
    mark = len(server.log())
    answer = exchange(server.port, f"GET /{path} HTTP/1.1\r\nHost: test\r\n\r\n"
                                   f"GET /as_list HTTP/1.1\r\nHost: test\r\n"
                                   "Connection: close\r\n\r\n".encode())
    _, fields, rest = split(answer)
    assert dict(fields)["content-length"] == "4"
    assert rest[:4] == b"0123" and rest[4:].startswith(b"HTTP/1.1 200 OK\r\n")
    logged_since(server, mark, f"more bytes than its Content-Length for GET /{path}")


@pytest.mark.parametrize("path", ["too_short", "too_short_list", "too_short_written",
                                  "too_short_without_body", "file_too_short"])
def test_less_than_content_length_closes_the_connection_and_is_logged(server, path):
    mark = len(server.log())
    answer = exchange(server.port, f"GET /{path} HTTP/1.1\r\nHost: test\r\n\r\n"
                                   "GET /as_list HTTP/1.1\r\nHost: test\r\n\r\n".encode())
    _, fields, body = split(answer)
    assert dict(fields)["content-length"] == "100" and body in (b"0123", b"")
    logged_since(server, mark, rf"\[ERROR\] GET /{path}: the response ended after \d of the 100")


# ---- failures ----

@pytest.mark.parametrize("path,error", [
    ("raises", "RuntimeError: at once"),
    ("raises_after_start", "RuntimeError: after start_response"),
    ("raises_before_first_block", "RuntimeError: before the first block"),
    ("exits", "SystemExit: 3"),
    ("interrupts", "KeyboardInterrupt"),
    ("generator_exits", "GeneratorExit"),
    ("no_start", "AssertionError"),
    ("no_start_empty", "AssertionError"),
    ("returns_none", "TypeError"),
    ("returns_text", "TypeError"),
    ("returns_number", "TypeError"),
    ("yields_text", "TypeError"),
    ("yields_bytearray", "TypeError"),
    ("yields_none", "TypeError"),
    ("starts_twice", "AssertionError"),
    ("writes_text", "TypeError"),
    ("deep_recursion", "RecursionError"),
    ("early_hints_wrong", "ValueError")])
def test_a_failed_request_is_answered_500_and_logged(server, path, error):
    mark = len(server.log())
    assert get(server.port, f"/{path}").status == 500
    logged_since(server, mark, rf"(?sm)\[ERROR\] Error handling request /{path}\n.*^{error}")


@pytest.mark.parametrize("path,error", [("raises_in_body", "RuntimeError: in the body"),
                                        ("exits_in_body", "SystemExit: enough")])
def test_a_failure_within_the_body_is_no_regular_end(server, path, error):
    mark = len(server.log())
    assert split(raw(server, path))[2] == b"5\r\nbegun\r\n"
    logged_since(server, mark, error)


@pytest.mark.parametrize("path,error", [("raises_in_close", "RuntimeError"),
                                        ("interrupts_in_close", "KeyboardInterrupt")])
def test_a_failure_in_close_is_logged(server, path, error):
    mark = len(server.log())
    assert get(server.port, f"/{path}").body == b"body"
    logged_since(server, mark, error)


# ---- files ----

@pytest.mark.parametrize("path,size", [("file_whole", 1 << 20), ("file_with_length", 1 << 20),
                                       ("file_in_memory", 10000), ("file_empty", 0)])
def test_files_arrive_whole_and_are_counted(server, path, size):
    answer = get(server.port, f"/{path}")
    assert len(answer.body) == size
    if size == 1 << 20:
        assert answer.body == bytes(range(256)) * 4096
    assert len(split(raw(server, path, version="1.0"))[2]) == size
    assert split(raw(server, path, method="HEAD"))[2] == b""
    wait_until(lambda: {f"GET /{path} 200 {size}", f"HEAD /{path} 200 0"} <=
               set(server.access_log.read_text().splitlines()), "the access log")


@pytest.mark.parametrize("path,content", [
    ("file_part", b"5678901234"), ("file_after_read", b"56789"), ("file_length_padded", b"0123"),
    ("file_from_pipe", b"through a pipe"), ("file_after_write", b"before:file")])
def test_a_file_is_sent_from_its_position_up_to_the_length(server, path, content):
    assert get(server.port, f"/{path}").body == content


def test_a_file_that_hides_its_size_is_read(server):
    assert get(server.port, "/file_of_kernel").body.startswith(b"Name:\tworkerd")


# ---- wsgi.input ----

BODY = b"line one\nline two\n\nlast"
READS = {
    "body.read()": BODY,
    "body.read(-1)": BODY,
    "body.read(-10**30)": BODY,
    "body.read(None)": BODY,
    "body.read(10**30)": BODY,
    "body.read(2**62)": BODY,
    "body.read(0)": b"",
    "body.read(4)": b"line",
    "[body.read(), body.read(), body.read(5), body.readline(), body.readlines(), list(body)]":
        [BODY, b"", b"", b"", [], []],
    "body.readline()": b"line one\n",
    "body.readline(4)": b"line",
    "body.readline(0)": b"",
    "body.readline(-5)": b"line one\n",
    "body.readline(10**30)": b"line one\n",
    "body.readlines()": BODY.splitlines(True),
    "body.readlines(10)": BODY.splitlines(True)[:2],
    "list(body)": BODY.splitlines(True),
    "[body.readline(), body.read(4), next(iter(body)), body.read()]":
        [b"line one\n", b"line", b" two\n", b"\nlast"],
    "[iter(body) is body]": [True],
}


@pytest.mark.parametrize("expression", READS)
@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunked"])
def test_input_reads_as_a_file_does(server, expression, chunked):
    if chunked:
        headers = "Transfer-Encoding: chunked\r\n"
        body = b"".join(b"1\r\n%c\r\n" % byte for byte in BODY) + b"0\r\n\r\n"
    else:
        headers, body = f"Content-Length: {len(BODY)}\r\n", BODY
    answer = raw(server, f"reads?{quote(expression)}", "POST", headers=headers, body=body)
    assert split(answer)[2].decode() == repr(READS[expression])


def test_a_request_without_body_reads_empty(server):
    answer = raw(server, "reads?" + quote("[body.read(), body.readline(), list(body)]"))
    assert split(answer)[2] == b"[b'', b'', []]"


# ---- environ ----

def test_environ_has_what_pep_3333_and_gunicorn_promise(server):
    answer = raw(server, "sh%6fw?a=%20b", "POST",
                 headers="Content-Type: text/x\r\nContent-Length: 0\r\nCookie: a\r\nCookie: b\r\n"
                         "X-Twice: 1\r\nX-Twice: 2\r\n")
    environ = json.loads(split(answer)[2])
    assert re.fullmatch(r"corn/\d+\.\d+\S*", environ.pop("SERVER_SOFTWARE"))
    assert environ.pop("REMOTE_PORT").isdigit()
    assert environ == {
        "REQUEST_METHOD": "POST", "SCRIPT_NAME": "", "PATH_INFO": "/show", "QUERY_STRING": "a=%20b",
        "RAW_URI": "/sh%6fw?a=%20b", "SERVER_NAME": "127.0.0.1", "SERVER_PORT": environ["SERVER_PORT"],
        "SERVER_PROTOCOL": "HTTP/1.1", "REMOTE_ADDR": "127.0.0.1", "CONTENT_TYPE": "text/x",
        "CONTENT_LENGTH": "0", "HTTP_HOST": "test", "HTTP_CONNECTION": "close",
        "HTTP_COOKIE": "a; b", "HTTP_X_TWICE": "1,2",
        "wsgi.version": [1, 0], "wsgi.url_scheme": "http", "wsgi.input": "<Input>",
        "wsgi.errors": "<ErrorStream>", "wsgi.file_wrapper": "<type>",
        "wsgi.early_hints": "<EarlyHints>", "gunicorn.socket": "<Socket>",
        "wsgi.input_terminated": True, "wsgi.run_once": False, "wsgi.multiprocess": False,
        "wsgi.multithread": server.kind != "sync"}
    assert environ["SERVER_PORT"] == str(server.port)


def test_wsgiref_validate_finds_nothing(server):
    assert get(server.port, "/validated").body == b"valid"


def test_early_hints_go_out_before_the_answer(server):
    answer = raw(server, "early_hints")
    first, second, rest = answer.split(b"\r\n\r\n", 2)
    assert first == b"HTTP/1.1 103 Early Hints\r\nLink: </style.css>; rel=preload"
    assert second == b"HTTP/1.1 103 Early Hints\r\nLink: </script.js>; rel=preload"
    status, fields, body = split(rest)
    assert status == "HTTP/1.1 200 OK" and dict(fields)["x-final"] == "yes"
    assert dechunk(body) == b"body"
    assert b"103" not in raw(server, "early_hints", version="1.0")


# ---- gunicorn.socket ----

def test_the_connection_can_be_looked_at(server):
    first = "GET /socket_looked_at HTTP/1.1\r\nHost: test\r\n\r\n".encode()
    last = b"GET /as_list HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n"
    answer = exchange(server.port, first + last)
    assert f"['127.0.0.1', {server.port}, True, None]".encode() in answer
    assert answer.count(b"HTTP/1.1 200 OK") == 2


def test_the_connection_can_be_taken_over(server):
    mark = len(server.log())
    with socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE) as connection:
        connection.sendall(b"GET /socket_taken_over HTTP/1.1\r\nHost: test\r\n"
                           b"Connection: Upgrade\r\nUpgrade: echo\r\n\r\n")
        stream = connection.makefile("rb")
        assert stream.readline() == b"HTTP/1.1 101 Switching Protocols\r\n"
        assert [stream.readline(), stream.readline()] == [b"Upgrade: echo\r\n", b"\r\n"]
        for word in (b"one\n", b"two\n"):
            connection.sendall(word)
            assert stream.readline() == word.upper()
        connection.sendall(b"\n")
        assert stream.read() == b""
    wait_until(lambda: "GET /socket_taken_over 101 0" in server.access_log.read_text(), "the log")
    assert "[ERROR]" not in server.log()[mark:]
    assert raw(server, "socket_taken_over_by_error") == b"mine"
    logged_since(server, mark, "RuntimeError: after taking over")


# ---- last ----

def test_none_of_this_has_stopped_a_worker(server):
    assert server.workers() == server.first_workers


@pytest.mark.parametrize("kind", CLASSES)
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGQUIT])
def test_close_is_called_once_when_the_worker_is_told_to_end(site, kind, number):
    record = site.root / "closed"
    site.write("closing.py", f"""
import time
class Body:
    count = 0
    def __iter__(self):
        yield b"first"
        for _ in range(20):
            time.sleep(0.05)
            yield b"more"
    def close(self):
        with open({str(record)!r}, "a") as file:
            file.write("closed\\n")
def application(environ, start_response):
    start_response("200 OK", [])
    return Body()
""")
    arbiter = site.start(*CLASSES[kind], "closing:application")
    with socket.create_connection(("127.0.0.1", arbiter.port), timeout=PATIENCE) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: test\r\n\r\n")
        received = b""
        while b"first" not in received:
            received += connection.recv(1000)
        arbiter.send(number)
        try:
            while chunk := connection.recv(1000):
                received += chunk
        except ConnectionResetError:
            pass
    assert arbiter.wait_exit() == 0
    assert record.read_text() == "closed\n"
    assert received.endswith(b"0\r\n\r\n") == (number == signal.SIGTERM)


@pytest.mark.parametrize("body,message", [
    ("import sys; sys.exit('no licence')", r"called sys.exit\('no licence'\) while it was imported"),
    ("raise KeyboardInterrupt", "KeyboardInterrupt")])
def test_an_import_that_exits_is_a_failed_boot(site, body, message):
    site.write("exiting.py", body + "\n")
    ended = site.run_arbiter("--bind", "127.0.0.1:0", "exiting:application")
    assert ended.returncode == 4
    assert re.search(message, ended.stderr), ended.stderr
