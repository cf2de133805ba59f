# SPDX-License-Identifier: Apache-2.0
"""nginx and haproxy in front, over TCP and over a unix socket, with connections to Corn kept: nothing is lost,
also while Corn reloads, and the application sees what the proxy says about the client."""

import hashlib
import json
import os
import shutil
import signal

import pytest
from harness import APPLICATIONS, ECHO_QUERY, get, needs, wait_until
from load import Load
from proxies import start_haproxy, start_nginx

CLASSES = pytest.mark.parametrize("worker_class", [["-k", "sync"],
                                                   ["-k", "gthread", "--threads", "4"]],
                                  ids=["sync", "gthread"])
TRANSPORTS = pytest.mark.parametrize("transport", ["tcp", "unix"])
# A proxy must give a kept connection up before Corn does (docs/OPERATIONS.md).
KEEP = ["--keep-alive", "75"]


@pytest.fixture
def opened():
    """Proxies put into it are closed."""
    proxies = []
    yield proxies
    for proxy in proxies:
        proxy.close()


def start(site, transport, *arguments):
    """An arbiter, and its address as nginx and as haproxy write it."""
    if transport == "tcp":
        arbiter = site.start(*KEEP, *arguments)
        return arbiter, f"127.0.0.1:{arbiter.port}", f"127.0.0.1:{arbiter.port}"
    path = site.root / "corn.sock"
    arbiter = site.start(*KEEP, *arguments, bind=f"unix:{path}")
    return arbiter, f"unix:{path}", f"unix@{path}"


def reload_under(load, arbiter, count):
    for number in range(1, count + 1):
        arbiter.send(signal.SIGHUP)
        wait_until(lambda wanted=number: int(arbiter.status()["arbiter"]["reloads"]) >= wanted,
                   f"reload {number}")
        load.wait_for(100)


@TRANSPORTS
@CLASSES
def test_reloads_behind_nginx_lose_nothing(site, opened, transport, worker_class):
    needs("nginx")
    site.write("echo.py", ECHO_QUERY)
    arbiter, upstream, _ = start(site, transport, "-w", "2", *worker_class, "echo:application")
    opened.append(start_nginx(site, upstream))
    with Load(opened[0].port, connections=8) as load:
        reload_under(load, arbiter, 5)
    load.assert_nothing_lost()
    log = (site.root / "nginx.log").read_text()
    assert "upstream" not in log, log


@TRANSPORTS
@CLASSES
def test_reloads_behind_haproxy_lose_nothing(site, opened, transport, worker_class):
    needs("haproxy")
    site.write("echo.py", ECHO_QUERY)
    arbiter, _, upstream = start(site, transport, "-w", "2", *worker_class, "echo:application")
    opened.append(start_haproxy(site, upstream))
    with Load(opened[0].port, connections=8) as load:
        reload_under(load, arbiter, 5)
    load.assert_nothing_lost()


@TRANSPORTS
def test_the_application_sees_what_nginx_says_of_the_client(site, opened, transport):
    needs("nginx")
    shutil.copy(APPLICATIONS / "environ.py", site.app)
    arbiter, upstream, _ = start(site, transport, "environ:application")
    opened.append(start_nginx(site, upstream))
    port = opened[0].port
    seen = json.loads(get(port, "/a%20b?c=d", headers={
        "Host": "shop.test", "X-Test-Scheme": "https", "X-Forwarded-For": "192.0.2.1"}).body)
    assert seen["wsgi.url_scheme"] == "https"
    assert seen["HTTP_X_FORWARDED_FOR"] == "192.0.2.1, 127.0.0.1"
    assert seen["HTTP_X_FORWARDED_HOST"] == seen["HTTP_HOST"] == "shop.test"
    assert seen["REMOTE_ADDR"] == ("127.0.0.1" if transport == "tcp" else "")
    assert (seen["PATH_INFO"], seen["QUERY_STRING"]) == ("/a b", "c=d")
    plain = json.loads(get(port, "/", headers={"X-Test-Scheme": "http"}).body)
    assert plain["wsgi.url_scheme"] == "http"


@pytest.mark.parametrize("buffering", ["on", "off"])
@CLASSES
def test_large_bodies_pass_nginx_both_ways(site, opened, buffering, worker_class):
    needs("nginx")
    shutil.copy(APPLICATIONS / "echo.py", site.app)
    arbiter, upstream, _ = start(site, "tcp", *worker_class, "echo:application")
    opened.append(start_nginx(site, upstream, buffering))
    content = os.urandom(1 << 16) * 80  # 5 MiB
    pieces = [content[at:at + 100_000] for at in range(0, len(content), 100_000)]
    for body in (content, iter(pieces)):  # with its length; in chunks
        answer = get(opened[0].port, "/body", "POST", body=body)
        assert answer.status == 200
        assert hashlib.sha256(answer.body).digest() == hashlib.sha256(content).digest()
    assert get(opened[0].port, "/", "HEAD").body == b""


def test_large_bodies_pass_haproxy_both_ways(site, opened):
    needs("haproxy")
    shutil.copy(APPLICATIONS / "echo.py", site.app)
    arbiter, _, upstream = start(site, "tcp", "-k", "gthread", "--threads", "2", "echo:application")
    opened.append(start_haproxy(site, upstream))
    content = os.urandom(1 << 16) * 80
    for _ in range(3):
        answer = get(opened[0].port, "/body", "POST", body=content)
        assert (answer.status, answer.body) == (200, content)


def test_haproxy_passes_the_clients_address_in_a_field(site, opened):
    needs("haproxy")
    shutil.copy(APPLICATIONS / "environ.py", site.app)
    arbiter, _, upstream = start(site, "tcp", "environ:application")
    opened.append(start_haproxy(site, upstream))
    seen = json.loads(get(opened[0].port, "/").body)
    assert seen["HTTP_X_FORWARDED_FOR"] == "127.0.0.1"


@pytest.mark.parametrize("option", ["send-proxy", "send-proxy-v2"])
@CLASSES
def test_haproxy_passes_the_clients_address_by_proxy_protocol(site, opened, option, worker_class):
    needs("haproxy")
    shutil.copy(APPLICATIONS / "environ.py", site.app)
    site.write("echo.py", ECHO_QUERY)
    arbiter, _, upstream = start(site, "tcp", "--proxy-protocol", *worker_class, "environ:application")
    opened.append(start_haproxy(site, upstream, option, reuse="safe"))
    port = opened[0].port
    seen = json.loads(get(port, "/").body)
    # haproxy's own port is another than that of its client.
    assert seen["REMOTE_ADDR"] == "127.0.0.1"
    assert seen["SERVER_PORT"] == str(arbiter.port)
    for _ in range(20):
        assert get(port, "/").status == 200
