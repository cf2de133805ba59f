# SPDX-License-Identifier: Apache-2.0
"""The kernel tells one worker of a connection that arrives. Should that one be stopped, killed or busy by
then, another one looks after the connection before long.

Here the test itself holds the listening socket and stands first in the kernel's queue of those to be told, so
that it is the worker that was told and does nothing."""

import os
import select
import signal
import socket
import threading

import pytest

from harness import ECHO_QUERY, wait_until

CLASSES = pytest.mark.parametrize("options", [["-k", "sync"], ["-k", "gthread", "--threads", "2"]],
                                  ids=["sync", "gthread"])


class Thief:
    """Waits at a listening socket like a worker, takes the news of the next connection, and goes."""

    def __init__(self, listener):
        self.epoll = select.epoll()
        self.epoll.register(listener, select.EPOLLIN | select.EPOLLEXCLUSIVE)
        self.thread = threading.Thread(target=self.epoll.poll)
        self.thread.start()
        wait_until(self.asleep, "the thief to wait")

    def asleep(self):
        with open(f"/proc/self/task/{self.thread.native_id}/stat", encoding="utf-8") as stat:
            return stat.read().rpartition(")")[2].split()[0] == "S"

    def told(self):
        self.thread.join(30)
        assert not self.thread.is_alive(), "a worker was told instead"
        self.epoll.close()


def ask(port):
    client = socket.create_connection(("127.0.0.1", port), timeout=30)
    client.sendall(b"GET /?hello HTTP/1.0\r\n\r\n")
    return client


def answered(client, patience):
    return bool(select.select([client], [], [], patience)[0])


def start(site, listener, *options):
    site.write("echo.py", ECHO_QUERY)
    return site.start(*options, "echo:application", bind=f"fd://{listener.fileno()}",
                      pass_fds=[listener.fileno()])


@CLASSES
def test_a_connection_whose_worker_was_killed_is_served_by_another(site, options):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thief = Thief(listener)
        arbiter = start(site, listener, "-w", "2", *options, "--timeout", "600")
        with ask(listener.getsockname()[1]) as client:
            thief.told()
            assert not answered(client, 0.3), "nobody else has been told"
            os.kill(arbiter.workers()[0], signal.SIGKILL)
            assert answered(client, 20)
            assert client.recv(4096).endswith(b"hello")


@CLASSES
def test_a_connection_whose_worker_was_stopped_is_served_when_another_wakes(site, options):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thief = Thief(listener)
        start(site, listener, "-w", "2", *options, "--timeout", "4")
        with ask(listener.getsockname()[1]) as client:
            thief.told()
            assert answered(client, 20)
            assert client.recv(4096).endswith(b"hello")
