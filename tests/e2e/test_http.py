# SPDX-License-Identifier: Apache-2.0
"""What a request may look like, what the application is told of it, and how the rest is refused:
seen over sockets, with the settings given on the command line."""

import pathlib
import re
import struct

import pytest

from harness import REPOSITORY, wait_until
from wire import MIRROR, Wire, calls

V2_SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"


BROKEN_BODY_ANSWERED = """
def application(environ, start_response):
    try:
        environ["wsgi.input"].read()
    except OSError:
        start_response("422 Unprocessable", [("Content-Length", "0")])
        return []
"""


def start(site, *arguments, **options):
    site.write("mirror.py", MIRROR)
    return site.start(*arguments, "mirror:application", **options)


def ask(port, data, to_head=False):
    with Wire(port) as wire:
        wire.send(data)
        return wire.answer(to_head)


def simple(fields="", line="GET / HTTP/1.1"):
    return f"{line}\r\nHost: test\r\n{fields}\r\n"


# ---- refusals ----

@pytest.mark.parametrize("data, status", [
    ("GET / HTTP/1.1\nHost: test\n\n", 400),
    ("get / HTTP/1.1\r\nHost: test\r\n\r\n", 400),
    ("GET  / HTTP/1.1\r\nHost: test\r\n\r\n", 400),
    ("GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400),
    ("GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", 400),
    ("GET test HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("GET / HTTP/1.1\r\nHost: a\r\nX : 1\r\n\r\n", 400),
    ("GET / HTTP/1.1\r\nHost: a\r\nX: 1\r\n folded\r\n\r\n", 400),
    ("GET / HTTP/1.1\r\nHost: a\r\nX: \0\r\n\r\n", 400),
    ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc", 400),
    ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +3\r\n\r\nabc", 400),
    ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
     400),
    ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0x3\r\nabc\r\n0\r\n\r\n", 400),
    ("GET / HTTP/1.1\r\nHost: a\r\nExpect: a-miracle\r\n\r\n", 417),
    ("GET /" + 5000 * "a" + " HTTP/1.1\r\nHost: a\r\n\r\n", 414),
    ("GET / HTTP/1.1\r\nHost: a\r\nX: " + 9000 * "a" + "\r\n\r\n", 431),
    ("GET / HTTP/1.1\r\n" + 101 * "X: 1\r\n" + "\r\n", 431),
    ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", 501),
    ("CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n", 501),
    ("GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505),
])
def test_a_wrong_request_gets_its_status_and_never_reaches_the_application(site, data, status):
    arbiter = start(site)
    with Wire(arbiter.port) as wire:
        wire.send(data)
        answer = wire.answer()
        assert answer.status == status, answer.head
        assert answer.headers["connection"] == "close"
        assert re.fullmatch(r"\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT", answer.headers["date"])
        assert answer.headers["content-type"].startswith("text/plain")
        assert answer.body.startswith(str(status).encode()) and len(answer.body) < 300
        assert wire.ended()
    assert calls(site) == []


def test_a_refused_head_request_gets_no_body(site):
    arbiter = start(site)
    with Wire(arbiter.port) as wire:
        wire.send("HEAD / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n")
        answer = wire.answer(to_head=True)
        assert answer.status == 400 and "date" in answer.headers
        assert wire.ended()


def corpus_cases():
    """The invalid requests of the corpus that need no settings of their own."""
    for path in sorted((REPOSITORY / "tests/http_corpus/invalid").glob("*.txt")):
        text = path.read_text(encoding="utf-8")
        if not re.search(r"^set ", text, re.MULTILINE):
            yield path


def corpus_bytes(path):
    """What the client sends (tests/http_corpus/README.md), and the status that it is refused with."""
    text = path.read_text(encoding="utf-8")
    sent = re.search(r"^send\n(.*?)^expect\n", text, re.MULTILINE | re.DOTALL).group(1)
    sent = sent.replace("\n", "")

    def byte(match):
        code = match.group(1)
        if code.startswith("*"):
            count, repeated = re.fullmatch(r"\*(\d+)\((.*)\)", code).groups()
            return unescape(repeated) * int(count)
        named = {"r": "\r", "n": "\n", "t": "\t", "\\": "\\"}
        return named.get(code) or chr(int(code[1:], 16))

    def unescape(escaped):
        return re.sub(r"\\(\*\d+\([^)]*\)|x[0-9a-fA-F]{2}|[rnt\\])", byte, escaped)

    statuses = re.findall(r"^error (\d+)", text, re.MULTILINE)
    return unescape(sent).encode("latin-1"), int(statuses[-1]) if statuses else None


def test_the_corpus_of_wrong_requests_is_refused_over_a_socket(site):
    arbiter = start(site, "-k", "gthread", "--threads", "2")
    played = 0
    for path in corpus_cases():
        data, status = corpus_bytes(path)
        if status is None:
            continue
        with Wire(arbiter.port) as wire:
            wire.send(data)
            seen = []
            while not seen or seen[-1] == 200:
                seen.append(wire.answer().status)
            assert seen[-1] == status, (path.name, seen)
            assert wire.ended(), path.name
        played += 1
    assert played > 100
    # Some are good requests with a wrong one behind them; a body that breaks is never read to its end.
    assert not [call for call in calls(site) if call.startswith("raised")]


# ---- bodies that break ----

@pytest.mark.parametrize("framing, sent", [
    ("Content-Length: 10\r\n", b"12345"),
    ("Transfer-Encoding: chunked\r\n", b"5\r\n12345\r\n"),
], ids=["length", "chunked"])
@pytest.mark.parametrize("worker_class", [["-k", "sync"], ["-k", "gthread", "--threads", "3"]],
                         ids=["sync", "gthread"])
def test_a_body_that_ends_early_raises_and_never_ends_in_a_success(site, framing, sent, worker_class):
    arbiter = start(site, *worker_class)
    with Wire(arbiter.port) as wire:
        wire.send(f"POST / HTTP/1.1\r\nHost: test\r\nExpect: 100-continue\r\n{framing}\r\n")
        assert wire.answer().status == 100  # the application is inside, and reads
        wire.send(sent)
        wire.socket.shutdown(1)
        wait_until(lambda: any(call.startswith("raised") for call in calls(site)), "the read to raise")
        assert not wire.rest().startswith(b"HTTP/1.1 2")
    assert not any(call.startswith("read") for call in calls(site))


def test_a_chunk_that_breaks_inside_raises_and_is_answered_with_a_failure(site):
    arbiter = start(site)
    with Wire(arbiter.port) as wire:
        wire.send("POST / HTTP/1.1\r\nHost: test\r\nExpect: 100-continue\r\n"
                  "Transfer-Encoding: chunked\r\n\r\n")
        assert wire.answer().status == 100
        wire.send("3\r\nabcX\r\n0\r\n\r\n")
        assert wire.answer().status == 400
        assert wire.ended()
    assert calls(site)[-1] == "raised OSError"
    log = arbiter.wait_for_log(r"WARNING. Invalid request from ip=127\.0\.0\.1: .*chunk").string
    assert "Traceback" not in log and "ERROR" not in log
    assert arbiter.status()["pools"][0]["errorsTotal"] == "0"


@pytest.mark.parametrize("worker_class", [["-k", "sync"], ["-k", "gthread", "--threads", "3"]],
                         ids=["sync", "gthread"])
def test_a_body_that_stalls_inside_is_answered_408_as_it_is_outside(site, worker_class):
    arbiter = start(site, *worker_class, "--body-timeout", "1")
    with Wire(arbiter.port) as wire:
        wire.send("POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 10\r\n\r\nabc")
        answer = wire.answer()
        assert answer.status == 408 and answer.headers["connection"] == "close"
        assert wire.ended()
    assert calls(site)[-1] == "raised TimeoutError"
    assert "Traceback" not in arbiter.log()


def test_an_application_that_answers_for_a_broken_body_itself_is_left_alone(site):
    site.write("answers.py", BROKEN_BODY_ANSWERED)
    arbiter = site.start("--body-timeout", "1", "answers:application")
    with Wire(arbiter.port) as wire:
        wire.send("POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 10\r\n\r\nabc")
        assert wire.answer().status == 422


# ---- answers that can't be sent ----

STATUS = """
def application(environ, start_response):
    start_response(environ["QUERY_STRING"] + " Odd", [("Content-Length", "2")])
    return [b"ok"]
"""


@pytest.mark.parametrize("status", [100, 103, 150, 199])
def test_an_interim_status_is_no_answer(site, status):
    site.write("status.py", STATUS)
    arbiter = site.start("status:application")
    assert ask(arbiter.port, simple(line=f"GET /?{status} HTTP/1.1")).status == 500
    arbiter.wait_for_log(rf"ValueError: the response's status is {status}, which is interim")
    assert ask(arbiter.port, simple(line="GET /?299 HTTP/1.1")).body == b"ok"


# ---- what the application is told ----

def test_paths_are_percent_decoded_to_latin_1_and_kept_raw_beside(site):
    arbiter = start(site)
    seen = ask(arbiter.port, b"GET /caf%C3%A9/%2e%2e/\xe9?q=%41 HTTP/1.1\r\nHost: test\r\n\r\n").json()
    assert seen["PATH_INFO"] == "/caf\xc3\xa9/../\xe9"
    assert seen["RAW_URI"] == "/caf%C3%A9/%2e%2e/\xe9?q=%41"
    assert seen["QUERY_STRING"] == "q=%41"


def test_an_absolute_target_overrules_the_host_field(site):
    arbiter = start(site)
    seen = ask(arbiter.port, "GET http://other:81/x?y HTTP/1.1\r\nHost: test\r\n\r\n").json()
    assert (seen["PATH_INFO"], seen["QUERY_STRING"], seen["HTTP_HOST"]) == ("/x", "y", "other:81")


@pytest.mark.parametrize("policy, expected", [("drop", None), ("dangerous", "1"), ("refuse", 400)])
def test_header_map_says_what_becomes_of_underscores(site, policy, expected):
    arbiter = start(site, "--header-map", policy)
    answer = ask(arbiter.port, simple("X_Sly: 1\r\n"))
    if expected == 400:
        assert answer.status == 400
    else:
        assert answer.json().get("HTTP_X_SLY") == expected


def test_forwarder_headers_count_from_trusted_peers_only(site):
    fields = "SCRIPT_NAME: /app\r\nX_User: root\r\nX-Forwarded-Proto: https\r\n"
    request = simple(fields, "GET /app/page HTTP/1.1")
    trusted = start(site, "--forwarder-headers", "SCRIPT_NAME,x_user")
    seen = ask(trusted.port, request).json()
    assert (seen["SCRIPT_NAME"], seen["PATH_INFO"], seen["HTTP_X_USER"]) == ("/app", "/page", "root")
    assert seen["wsgi.url_scheme"] == "https"
    stranger = start(site, "--name", "two", "--forwarded-allow-ips", "10.0.0.0/8",
                     "--forwarder-headers", "SCRIPT_NAME,x_user")
    seen = ask(stranger.port, request).json()
    assert (seen["SCRIPT_NAME"], seen["PATH_INFO"]) == ("", "/app/page")
    assert "HTTP_X_USER" not in seen and seen["wsgi.url_scheme"] == "http"
    assert seen["HTTP_X_FORWARDED_PROTO"] == "https"


def test_the_forwarded_scheme_is_told_and_contradictions_are_refused(site):
    arbiter = start(site)
    assert ask(arbiter.port, simple("X-Forwarded-Ssl: on\r\n")).json()["wsgi.url_scheme"] == "https"
    assert ask(arbiter.port, simple("X-Forwarded-Proto: http\r\n")).json()["wsgi.url_scheme"] == "http"
    contradiction = simple("X-Forwarded-Ssl: on\r\nX-Forwarded-Proto: http\r\n")
    assert ask(arbiter.port, contradiction).status == 400


def test_script_name_is_cut_off_at_the_end_of_a_segment_only(site):
    arbiter = start(site, environment={"SCRIPT_NAME": "/app"})
    for target, rest in (("/app/x", "/x"), ("/app", ""), ("/app/", "/")):
        seen = ask(arbiter.port, simple(line=f"GET {target} HTTP/1.1")).json()
        assert (seen["SCRIPT_NAME"], seen["PATH_INFO"]) == ("/app", rest)
    for target in ("/apple", "/ap", "/"):
        answer = ask(arbiter.port, simple(line=f"GET {target} HTTP/1.1"))
        assert answer.status == 500 and b"does not start with SCRIPT_NAME" in answer.body
    assert "GET /apple is not passed on: " in arbiter.log()
    assert "Traceback" not in arbiter.log()
    seen = ask(arbiter.port, simple(line="OPTIONS * HTTP/1.1")).json()
    assert (seen["SCRIPT_NAME"], seen["PATH_INFO"]) == ("", "*")


@pytest.mark.parametrize("script_name, target, expected", [
    ("/app/", "/app/x", ("/app", "/x")), ("/", "/app/x", ("", "/app/x")),
])
def test_path_info_begins_with_a_slash_however_script_name_ends(site, script_name, target, expected):
    arbiter = start(site, environment={"SCRIPT_NAME": script_name})
    seen = ask(arbiter.port, simple(line=f"GET {target} HTTP/1.1")).json()
    assert (seen["SCRIPT_NAME"], seen["PATH_INFO"]) == expected


# ---- leniency ----

LENIENT = [
    ("--permit-obsolete-folding", simple("X: a\r\n\tb\r\n"), {"HTTP_X": "a b"}),
    ("--strip-header-spaces", simple("X  : a\r\n"), {"HTTP_X": "a"}),
    ("--permit-unconventional-http-method", simple(line="get# / HTTP/1.1"),
     {"REQUEST_METHOD": "get#"}),
    ("--permit-unconventional-http-version", simple(line="GET / HTTP/3.1"),
     {"SERVER_PROTOCOL": "HTTP/3.1"}),
]


@pytest.mark.parametrize("option, request_bytes, told", LENIENT, ids=[case[0] for case in LENIENT])
def test_what_a_permit_allows_is_refused_without_it(site, option, request_bytes, told):
    lenient = start(site, option)
    seen = ask(lenient.port, request_bytes).json()
    assert {name: seen[name] for name in told} == told
    strict = start(site, "--name", "strict")
    assert ask(strict.port, request_bytes).status in (400, 505)


def test_methods_are_casefolded_where_permitted(site):
    arbiter = start(site, "--casefold-http-method", "--permit-unconventional-http-method")
    assert ask(arbiter.port, simple(line="get / HTTP/1.1")).json()["REQUEST_METHOD"] == "GET"


# ---- the PROXY protocol ----

def v2(command=1, family=1, block=bytes([203, 0, 113, 9, 192, 0, 2, 1]) + struct.pack(">HH", 4711, 80)):
    return V2_SIGNATURE + bytes([0x20 | command, family << 4 | 1]) + struct.pack(">H", len(block)) + block


V1 = b"PROXY TCP4 203.0.113.9 192.0.2.1 4711 80\r\n"
FROM_PROXY = {"REMOTE_ADDR": "203.0.113.9", "REMOTE_PORT": "4711", "PROXY_PROTOCOL": "TCP4",
              "PROXY_ADDR": "192.0.2.1", "PROXY_PORT": "80"}


@pytest.mark.parametrize("mode, header", [("v1", V1), ("v2", v2()), ("auto", V1), ("auto", v2())],
                         ids=["v1", "v2", "auto-v1", "auto-v2"])
@pytest.mark.parametrize("worker_class", [["-k", "sync"], ["-k", "gthread", "--threads", "3"]],
                         ids=["sync", "gthread"])
def test_addresses_of_a_proxy_header_hold_for_the_whole_connection(site, mode, header, worker_class):
    arbiter = start(site, *worker_class, "--proxy-protocol", mode, "--access-logfile", "access.log")
    with Wire(arbiter.port) as wire:
        wire.send(header)
        for _ in range(3):
            seen = wire.get("/x").json()
            assert {name: seen[name] for name in FROM_PROXY} == FROM_PROXY
        wire.send(simple() + simple())
        for _ in range(2):
            assert wire.answer().json()["REMOTE_ADDR"] == "203.0.113.9"
    with Wire(arbiter.port) as wire:  # byte by byte, and the head behind it likewise
        for byte in header + simple().encode():
            wire.send(bytes([byte]))
        assert wire.answer().json()["REMOTE_PORT"] == "4711"
    log = site.app / "access.log"
    wait_until(lambda: log.exists() and log.read_text().count("203.0.113.9 ") == 6, "six log lines")


def test_a_proxy_header_of_a_stranger_is_answered_403(site):
    arbiter = start(site, "--proxy-protocol", "--proxy-allow-from", "10.1.2.3,10.2.0.0/16")
    for header in (V1, v2()):
        with Wire(arbiter.port) as wire:
            wire.send(header + simple().encode())
            assert wire.answer().status == 403
            assert wire.ended()
    assert calls(site) == []
    assert ask(arbiter.port, simple()).json()["REMOTE_ADDR"] == "127.0.0.1"


def test_a_proxy_header_is_no_request_where_the_protocol_is_off(site):
    arbiter = start(site)
    for header in (V1, v2()):
        assert ask(arbiter.port, header + simple().encode()).status == 400
    assert calls(site) == []


def test_a_proxy_header_is_taken_once_and_checked(site):
    arbiter = start(site, "--proxy-protocol", "auto")
    assert ask(arbiter.port, V1 + V1 + simple().encode()).status == 400
    assert ask(arbiter.port, b"PROXY TCP4 1.2.3.4 5.6.7.8 1\r\n").status == 400
    assert ask(arbiter.port, v2(command=7)).status == 400
    assert calls(site) == []
    with Wire(arbiter.port) as wire:
        assert wire.get().json()["REMOTE_ADDR"] == "127.0.0.1"
        wire.send(V1 + simple().encode())  # no more a place for it
        assert wire.answer().status == 400


def test_a_proxy_header_without_addresses_leaves_the_connections_own(site):
    arbiter = start(site, "--proxy-protocol", "auto")
    for header, name in ((b"PROXY UNKNOWN\r\n", "UNKNOWN"), (v2(command=0, family=0, block=b""), "LOCAL")):
        seen = ask(arbiter.port, header + simple().encode()).json()
        assert seen["REMOTE_ADDR"] == "127.0.0.1" and seen["PROXY_PROTOCOL"] == name
        assert "PROXY_ADDR" not in seen


def test_a_unix_sockets_clients_may_send_a_proxy_header(site):
    path = str(site.root / "web.sock")
    start(site, "--proxy-protocol", "v1", "--proxy-allow-from", "10.0.0.1", bind=f"unix:{path}")
    assert pathlib.Path(path).is_socket()
    assert ask(path, V1 + simple().encode()).json()["REMOTE_ADDR"] == "203.0.113.9"
