# SPDX-License-Identifier: Apache-2.0
"""Sockets that a service manager made and passes on (LISTEN_FDS): they are served instead of `bind`, for
as long as the instance lives."""

import contextlib
import fcntl
import os
import signal
import socket

import pytest

from harness import BIN, ECHO_QUERY, get, wait_until
from load import KeepAliveClient, Load
from test_upgrade import upgrades

NAMED = ["--name", "shop"]
# As systemd does it: descriptors from 3 on, and the pid of the process that execs.
AS_SYSTEMD = """
target=3
for descriptor in $SOCKETS; do eval "exec $target<&$descriptor"; target=$((target + 1)); done
export LISTEN_FDS=$((target - 3)) LISTEN_PID=$$
exec "$@"
"""
POOLS = """
[pool.first]
wsgi_app = "wsgi_test:application"
{first}
[pool.second]
wsgi_app = "wsgi_test:application"
{second}
"""


class Sockets:
    """A TCP socket and a unix socket that listen."""

    def __init__(self, site):
        self.path = str(site.root / "app.sock")
        self.tcp = socket.create_server(("127.0.0.1", 0))
        self.unix = socket.socket(socket.AF_UNIX)
        self.unix.bind(self.path)
        self.unix.listen()
        self.port = self.tcp.getsockname()[1]

    def addresses(self):
        return [f"127.0.0.1:{self.port}", f"unix:{self.path}"]

    def assert_served(self):
        assert get(self.port).status == 200
        assert KeepAliveClient(self.path).request("/")[0] == 200


@pytest.fixture
def sockets(site):
    made = Sockets(site)
    yield made
    made.tcp.close()
    made.unix.close()


def start(site, passed, *arguments, bind=None, **options):
    with contextlib.ExitStack() as stack:
        # Far from the numbers that they are to have.
        copies = [fcntl.fcntl(one.fileno(), fcntl.F_DUPFD, 100) for one in passed]
        for copy in copies:
            stack.callback(socket.close, copy)
        options["environment"] = {"SOCKETS": " ".join(map(str, copies))}
        binds = [] if bind is None else ["--bind", bind]
        return site.start("-c", AS_SYSTEMD, "bash", BIN / "arbiterd", *binds, *arguments,
                          program="bash", bind=None, pass_fds=copies, **options)


def served(arbiter, pool=0):
    return [one["address"] for one in arbiter.status()["pools"][pool]["listeners"]]


def reload(arbiter):
    result = arbiter.cornctl("reload")
    assert result.returncode == 0, result


def generations(status):
    return [int(pool["generation"]) for pool in status["pools"]]


def upgrade(arbiter):
    """Returns when the reload is over that follows it."""
    before = upgrades(arbiter), generations(arbiter.status())
    arbiter.send(signal.SIGUSR2)
    wait_until(lambda: upgrades(arbiter) > before[0], "the upgrade")
    def reloaded():
        status = arbiter.settled()
        return status and all(map(int.__gt__, generations(status), before[1]))
    wait_until(reloaded, "the reload after it")


def test_reloads_and_upgrades_go_on_with_the_sockets(site, sockets):
    site.write("echo.py", ECHO_QUERY)
    arbiter = start(site, [sockets.tcp, sockets.unix], *NAMED, "echo:application")
    with Load(sockets.port) as load:
        for change in (reload, upgrade, reload):
            change(arbiter)
            assert served(arbiter) == sockets.addresses()
            sockets.assert_served()
            load.wait_for(50)
    load.assert_nothing_lost()
    assert arbiter.stop() == 0
    site.assert_nothing_left()


def test_a_failed_reload_keeps_the_sockets(site, sockets):
    arbiter = start(site, [sockets.tcp], *NAMED, "wsgi_test:application")
    site.write("wsgi_test.py", "raise RuntimeError('broken')\n")
    assert arbiter.cornctl("reload").returncode == 1
    site.write("wsgi_test.py", "from wsgiref.simple_server import demo_app as application\n")
    reload(arbiter)
    assert served(arbiter) == sockets.addresses()[:1]
    assert get(sockets.port).body.startswith(b"Hello world!")


@pytest.mark.parametrize("passed_again", ["as before", "in another order", "not at all"])
def test_an_arbiter_that_adopts_goes_on_with_the_sockets(site, sockets, passed_again):
    first = start(site, [sockets.tcp, sockets.unix], *NAMED, "wsgi_test:application")
    workers = first.workers()
    first.kill()
    sockets.assert_served()
    again = {"as before": [sockets.tcp, sockets.unix], "in another order": [sockets.unix, sockets.tcp],
             "not at all": []}[passed_again]
    second = start(site, again, *NAMED, "wsgi_test:application")
    second.wait_for_log(r"adopted 1 workers of arbiter")
    assert sorted(served(second)) == sorted(sockets.addresses())
    assert second.workers() == workers
    for change in (reload, upgrade):
        change(second)
        assert sorted(served(second)) == sorted(sockets.addresses())
        sockets.assert_served()
    assert second.stop() == 0
    site.assert_nothing_left()


def test_sockets_are_served_instead_of_bind_which_is_said(site, sockets):
    arbiter = start(site, [sockets.tcp, sockets.unix], *NAMED, "wsgi_test:application",
                    bind="127.0.0.1:1")
    assert served(arbiter) == sockets.addresses()
    sockets.assert_served()
    arbiter.wait_for_log(r"WARNING\] command line: bind 127\.0\.0\.1:1 has no effect: "
                         "the sockets of socket activation are served instead$")
    reload(arbiter)
    assert served(arbiter) == sockets.addresses()


def test_a_bind_that_names_what_is_passed_is_no_error_and_needs_no_word(site, sockets):
    site.write("corn.toml", f'[pool.web]\nwsgi_app = "wsgi_test:application"\n'
               f'bind = ["localhost:{sockets.port}", "unix:{sockets.path}"]\n')
    arbiter = start(site, [sockets.tcp, sockets.unix], *NAMED)
    reload(arbiter)
    assert served(arbiter) == sockets.addresses()
    sockets.assert_served()
    assert "has no effect" not in arbiter.log()


def test_of_several_pools_the_first_serves_the_sockets(site, sockets):
    site.write("corn.toml", POOLS.format(first="", second='bind = "127.0.0.1:0"'))
    arbiter = start(site, [sockets.tcp, sockets.unix], *NAMED)
    addresses = served(arbiter, 1)
    for change in (reload, upgrade):
        change(arbiter)
        assert served(arbiter) == sockets.addresses() and served(arbiter, 1) == addresses


def test_a_socket_that_another_pool_names_is_that_pools(site, sockets):
    site.write("corn.toml", POOLS.format(first='bind = "fd://3"', second='bind = "fd://4"'))
    arbiter = start(site, [sockets.tcp, sockets.unix], *NAMED)
    for change in (reload, upgrade):
        change(arbiter)
        assert served(arbiter) == sockets.addresses()[:1] and served(arbiter, 1) == sockets.addresses()[1:]
    assert "has no effect" not in arbiter.log()


def test_clients_wait_while_neither_arbiter_nor_worker_lives(site, sockets):
    arbiter = start(site, [sockets.tcp], *NAMED, "-w", "2", "wsgi_test:application")
    arbiter.kill()
    for worker in site.processes():
        os.kill(worker, signal.SIGKILL)
    wait_until(lambda: not site.processes(), "all processes to be gone")
    with socket.create_connection(("127.0.0.1", sockets.port), timeout=60) as client:
        client.sendall(b"GET / HTTP/1.0\r\n\r\n")
        start(site, [sockets.tcp], *NAMED, "wsgi_test:application")
        assert client.recv(100).startswith(b"HTTP/1.1 200 ")
