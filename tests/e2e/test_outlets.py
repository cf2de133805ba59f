# SPDX-License-Identifier: Apache-2.0
"""Where logs and metrics go beside the files: StatsD and syslog, as gunicorn's users expect them there."""

import re
import socket
import threading

import pytest

from harness import ECHO_QUERY, PATIENCE, exchange, free_port, get, wait_until
from load import Load

FAILING = """
def application(environ, start_response):
    if environ["PATH_INFO"] == "/fail":
        raise RuntimeError("oh")
    start_response("200 OK", [("Content-Length", "2")])
    return [b"ok"]
"""


class Server:
    """Takes datagrams, or whatever comes on connections, until it is closed."""

    def __init__(self, kind=socket.SOCK_DGRAM, path=None, port=0):
        self.socket = socket.socket(socket.AF_UNIX if path else socket.AF_INET, kind)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(str(path) if path else ("127.0.0.1", port))
        self.kind, self.received, self.connections = kind, [], []
        if kind == socket.SOCK_STREAM:
            self.socket.listen()
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()

    @property
    def port(self):
        return self.socket.getsockname()[1]

    def serve(self):
        while True:
            try:
                if self.kind == socket.SOCK_DGRAM:
                    self.received.append(self.socket.recv(1 << 17).decode())
                    continue
                connection = self.socket.accept()[0]
            except OSError:
                return
            self.connections.append(connection)
            threading.Thread(target=self.read, args=[connection], daemon=True).start()

    def read(self, connection):
        rest = b""
        try:
            while data := connection.recv(65536):
                *whole, rest = (rest + data).split(b"\0")
                self.received.extend(message.decode() + "\0" for message in whole)
        except OSError:
            pass

    def close(self):
        try:
            self.socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.socket.close()
        for connection in self.connections:
            connection.close()

    def lines(self):
        return [line for datagram in list(self.received) for line in datagram.split("\n")]

    def wait_for(self, pattern, count=1):
        def search():
            found = [m for line in self.lines() if (m := re.fullmatch(pattern, line))]
            return found if len(found) >= count else None
        try:
            return wait_until(search, f"{count} times {pattern!r}")
        except AssertionError as error:
            raise AssertionError(f"{error}\n" + "\n".join(map(repr, self.lines()))) from None


@pytest.fixture
def server():
    opened = Server()
    yield opened
    opened.close()


# ---- StatsD ----

def test_requests_are_told_to_statsd_under_gunicorns_names(site, server):
    arbiter = site.start("--statsd-host", f"127.0.0.1:{server.port}", "wsgi_test:application")
    get(arbiter.port)
    server.wait_for(r"gunicorn\.request\.status\.200:1\|c\|@1\.0")
    [datagram] = [text for text in server.received if "request" in text]
    assert re.fullmatch(r"gunicorn\.request\.duration:\d+\.\d{1,3}\|ms\n"
                        r"gunicorn\.requests:1\|c\|@1\.0\n"
                        r"gunicorn\.request\.status\.200:1\|c\|@1\.0", datagram)


def test_prefix_and_tags_stand_around_every_metric(site, server):
    site.write("shop.py", FAILING)
    arbiter = site.start("--statsd-host", f"127.0.0.1:{server.port}", "--statsd-prefix", "shop",
                         "--dogstatsd-tags", "env:test,zone:a", "-w", "2", "shop:application")
    get(arbiter.port, "/fail")
    server.wait_for(r"shop\.gunicorn\.request\.status\.500:1\|c\|@1\.0\|#env:test,zone:a")
    server.wait_for(r"shop\.gunicorn\.log\.exception:1\|c\|@1\.0\|#env:test,zone:a")
    server.wait_for(r"shop\.gunicorn\.workers:2\|g\|#env:test,zone:a")
    assert all(line.startswith("shop.gunicorn.") and line.endswith("|#env:test,zone:a")
               for line in server.lines())


def test_the_number_of_workers_is_told_when_it_changes(site, server):
    arbiter = site.start("--statsd-host", f"127.0.0.1:{server.port}", "wsgi_test:application")
    arbiter.cornctl("scale", "3")
    server.wait_for(r"gunicorn\.workers:3\|g")
    arbiter.cornctl("scale", "2")
    server.wait_for(r"gunicorn\.workers:2\|g")
    values = [line for line in server.lines() if line.startswith("gunicorn.workers:")]
    assert all(before != after for before, after in zip(values, values[1:])), values


def test_log_entries_and_refused_requests_are_counted(site, server):
    port = free_port()
    site.start("--statsd-host", f"127.0.0.1:{server.port}", "--log-level", "critical",
               "wsgi_test:application", bind=f"127.0.0.1:{port}")
    exchange(port, b"NONSENSE\r\n\r\n")
    server.wait_for(r"gunicorn\.log\.warning:1\|c\|@1\.0")  # whatever the level of the log is
    server.wait_for(r"gunicorn\.request\.status\.400:1\|c\|@1\.0")


def test_the_backlog_is_told_where_it_is_wanted(site, server):
    site.start("--statsd-host", f"127.0.0.1:{server.port}", "--enable-backlog-metric",
               "wsgi_test:application")
    server.wait_for(r"gunicorn\.backlog:\d+\|h", 2)


def test_statsd_behind_a_unix_socket_may_come_later(site):
    path = site.run / "statsd"
    arbiter = site.start("--statsd-host", f"unix://{path}", "wsgi_test:application")
    assert get(arbiter.port).status == 200
    server = Server(path=path)
    get(arbiter.port)
    server.wait_for(r"gunicorn\.requests:1\|c\|@1\.0")
    server.close()
    path.unlink()
    assert get(arbiter.port).status == 200
    arbiter.wait_for_log("Metrics don't reach unix://")
    assert len(re.findall(rf"\[{arbiter.workers()[0]}\].*Metrics don't reach", arbiter.log())) == 1


@pytest.mark.parametrize("kind", [["-k", "sync"], ["-k", "gthread", "--threads", "4"]])
def test_every_request_is_counted_once(site, server, kind):
    site.write("echo.py", ECHO_QUERY)
    arbiter = site.start("--statsd-host", f"127.0.0.1:{server.port}", *kind, "echo:application")
    with Load(arbiter.port, connections=4) as load:
        load.wait_for(200)
    load.assert_nothing_lost()
    server.wait_for(r"gunicorn\.requests:1\|c\|@1\.0", load.answered)
    arbiter.stop()
    assert server.lines().count("gunicorn.requests:1|c|@1.0") == load.answered


@pytest.mark.parametrize("kind", [["-k", "sync"], ["-k", "gthread", "--threads", "4"]])
def test_no_request_waits_for_servers_that_read_nothing(site, kind):
    site.write("echo.py", ECHO_QUERY)
    deaf, connected = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM), socket.create_server(
        ("127.0.0.1", 0))
    deaf.bind(str(site.run / "deaf"))  # its queue is full after a few datagrams
    arbiter = site.start("--statsd-host", f"unix:{site.run}/deaf", "--log-syslog", "--log-syslog-to",
                         f"tcp://127.0.0.1:{connected.getsockname()[1]}", "--access-logformat",
                         "%(r)s" + 2000 * "x", *kind, "echo:application")
    with Load(arbiter.port, connections=4) as load:
        load.wait_for(6000)  # 12 MB of access log: more than the connection's buffers hold
    load.assert_nothing_lost()
    assert load.longest_gap < PATIENCE / 2
    arbiter.wait_for_log("Metrics don't reach")
    arbiter.wait_for_log("Syslog at tcp://.* takes nothing")
    deaf.close()
    connected.close()


# ---- syslog ----

def start_with_syslog(site, address, *options):
    return site.start("--log-syslog", "--log-syslog-to", address, "--log-syslog-prefix", "shop",
                      *options, "wsgi_test:application")


def check_entries(server, arbiter, errors=14, accesses=14):
    worker = arbiter.workers()[0]
    get(arbiter.port, "/there?x=1", headers={"User-Agent": "me"})
    server.wait_for(rf"<{errors}>gunicorn\.shop\.error: \[{arbiter.pid}\] Listening at: .*\0")
    server.wait_for(rf"<{errors}>gunicorn\.shop\.error: \[{worker}\] "
                    rf"Booting worker with pid: {worker}\0")
    server.wait_for(rf"<{accesses}>gunicorn\.shop\.access: \[{worker}\] 127\.0\.0\.1 - - \[.*\] "
                    r'"GET /there\?x=1 HTTP/1\.1" 200 11 "-" "me"\0')


def test_both_logs_go_to_syslog_over_udp(site, server):
    arbiter = start_with_syslog(site, f"udp://127.0.0.1:{server.port}")
    check_entries(server, arbiter)
    assert "Booting worker" in arbiter.log()  # and to the file too


def test_syslog_over_tcp_ends_each_entry_with_a_zero_byte(site):
    server = Server(socket.SOCK_STREAM)
    check_entries(server, start_with_syslog(site, f"tcp://127.0.0.1:{server.port}"))
    server.close()


@pytest.mark.parametrize("kind", [socket.SOCK_DGRAM, socket.SOCK_STREAM])
@pytest.mark.parametrize("named", [True, False])
def test_syslog_behind_a_unix_socket_of_either_kind(site, kind, named):
    server = Server(kind, site.run / "log")
    suffix = ("#dgram" if kind == socket.SOCK_DGRAM else "#stream") if named else ""
    check_entries(server, start_with_syslog(site, f"unix://{site.run}/log{suffix}"))
    server.close()


def test_facility_and_level_make_the_priority(site, server):
    site.write("shop.py", FAILING)
    arbiter = site.start("--log-syslog", "--log-syslog-to", f"udp://127.0.0.1:{server.port}",
                         "--log-syslog-facility", "local0", "--name", "the:shop", "shop:application")
    exchange(arbiter.port, b"NONSENSE\r\n\r\n")
    get(arbiter.port, "/fail")
    server.wait_for(r"<134>gunicorn\.the\.shop\.error: \[\d+\] Listening at: .*\0")
    server.wait_for(r"<132>gunicorn\.the\.shop\.error: \[\d+\] Invalid request from .*\0")
    server.wait_for(r"<131>gunicorn\.the\.shop\.error: \[\d+\] Error handling request /fail")
    wait_until(lambda: [text for text in server.received if text.endswith("RuntimeError: oh\0")],
               "the traceback as part of its entry")


def test_the_access_log_can_be_kept_out_of_syslog(site, server):
    arbiter = start_with_syslog(site, f"udp://127.0.0.1:{server.port}",
                                "--disable-redirect-access-to-syslog")
    assert get(arbiter.port).status == 200
    arbiter.stop()
    server.wait_for(r"<14>gunicorn\.shop\.error: \[\d+\] Worker exiting.*\0")
    assert not [line for line in server.lines() if ".access:" in line]


def test_without_syslog_nothing_goes_there(site, server):
    arbiter = site.start("--log-syslog-to", f"udp://127.0.0.1:{server.port}", "--statsd-host",
                         f"127.0.0.1:{server.port}", "wsgi_test:application")
    get(arbiter.port)
    server.wait_for(r"gunicorn\.requests:1\|c\|@1\.0")
    assert not [line for line in server.lines() if line.startswith("<")]


def test_a_syslog_server_that_comes_back_is_found_and_losses_are_told(site):
    server = Server(socket.SOCK_STREAM)
    port = server.port
    arbiter = start_with_syslog(site, f"tcp://127.0.0.1:{port}")
    server.wait_for(r"<14>gunicorn\.shop\.error: \[\d+\] Booting worker.*\0")
    server.close()
    worker = arbiter.workers()[0]

    def told():
        assert get(arbiter.port).status == 200
        return re.search(rf"\[{worker}\] \[WARNING\] Syslog at tcp://.* takes nothing", arbiter.log())
    wait_until(told, "the loss to be told")
    again = Server(socket.SOCK_STREAM, port=port)

    def mended():
        get(arbiter.port)
        return re.search(rf"\[{worker}\] \[WARNING\] Syslog at .* takes entries again; \d+ were lost",
                         arbiter.log())
    wait_until(mended, "syslog to be found again")
    again.wait_for(r"<14>gunicorn\.shop\.access: .*\0")
    again.close()


@pytest.mark.parametrize("option, wrong, right", [
    ("--statsd-host", "localhost:port", "a port is a number from 1 to 65535"),
    ("--statsd-host", "unix:", "a path after unix: is wanted"),
    ("--log-syslog-to", "localhost:514", "udp://HOST:PORT, tcp://HOST:PORT or unix://PATH"),
    ("--log-syslog-to", "unix:///dev/log#raw", "dgram or stream"),
    ("--log-syslog-facility", "me", "local7"),
])
def test_a_wrong_address_is_refused_at_the_start(site, option, wrong, right):
    ended = site.run_arbiter(option, wrong, "wsgi_test:application")
    assert ended.returncode == 2
    assert option in ended.stderr and wrong in ended.stderr and right in ended.stderr


def test_a_host_that_nobody_knows_is_no_reason_not_to_serve(site):
    arbiter = site.start("--statsd-host", "no-such-host.invalid:8125", "--log-syslog",
                         "--log-syslog-to", "udp://no-such-host.invalid", "wsgi_test:application")
    assert get(arbiter.port).status == 200
    arbiter.wait_for_log(r"metrics can't be sent to no-such-host\.invalid:8125: .*; going on without")
