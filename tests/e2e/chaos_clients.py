# SPDX-License-Identifier: Apache-2.0
"""The clients of the chaos suite, and the ledger of what became of each request.

A failure is excused only on a connection that a worker held when the suite put that worker down. Which
connections these were is read from the kernel while the worker stands still (SIGSTOP), so nothing has
to be guessed: Ledger.hold() is told their client ports. A worker that must run on for a moment to die
(of ABRT, say) may accept a few more; those are known by the time they were opened in and by who answered on
them last. And where the suite has killed the arbiter and put down every worker that was to stay, nobody is
left to hold the listening socket and the queue of connections that workers hand over, until the next arbiter
comes: what finds nobody then, or waited in one of them, gets no answer and is excused
(Ledger.arbiter_is_back()). Every other failure is Corn's.
"""

import collections
import hashlib
import itertools
import os
import pathlib
import random
import re
import threading
import time

from load import KeepAliveClient, RequestFailed

APPLICATION = '''
import hashlib, os, time
VERSION = {version}
def application(environ, start_response):
    options = dict(pair.split("=") for pair in environ["QUERY_STRING"].split("&"))
    body = environ["wsgi.input"].read()
    time.sleep(float(options["delay"]))
    word = (options["id"] + ":" + hashlib.sha256(body).hexdigest() + ";").encode()
    count = int(options["count"])
    start_response("200 OK", [("Content-Length", str(len(word) * count)),
                              ("X-Pid", str(os.getpid())), ("X-Version", str(VERSION))])
    left = count
    while left > 0:
        yield word * min(left, 500)
        left -= 500
'''

# An idle connection may be closed after the setting's time, and after half a second when the whole pool
# stops (WINCH). A client that was so late itself has met its end by its own doing.
KEEP_ALIVE = 5.0
KEEP_ALIVE_OF_A_POOL_THAT_STOPS = 0.5
# For so long a connection may wait to be accepted on a busy machine.
BACKLOG = 1.0
# The end of a connection before any byte of the answer.
UNANSWERED = re.compile("(closed|Connection[A-Za-z]+Error|BrokenPipeError) "
                        "(while connecting|while sending|before the response)")
NOBODY_LEFT = "nobody was left to hold the listening socket"


def connections_of(pid, port):
    """Client ports of the connections to `port` that the process holds."""
    held = set()
    try:
        for entry in pathlib.Path(f"/proc/{pid}/fd").iterdir():
            try:
                target = os.readlink(entry)
            except OSError:
                continue
            if target.startswith("socket:["):
                held.add(target[8:-1])
    except OSError:
        return set()
    ports = set()
    for line in pathlib.Path("/proc/net/tcp").read_text(encoding="ascii").splitlines()[1:]:
        fields = line.split()
        if fields[9] in held and int(fields[1].split(":")[1], 16) == port:
            ports.add(int(fields[2].split(":")[1], 16))
    ports.discard(0)  # the listener's own line
    return ports


class Ledger:
    """Requests and their fate. Any thread."""

    def __init__(self):
        self.lock = threading.Lock()
        self.answered = 0
        self.closed_politely = 0
        self.connections = 0
        self.excused = collections.Counter()
        self.unexcused = []  # (time, text)
        self.held = {}  # client port: what was done to the worker that holds the connection
        self.windows = []  # [pid, from, to, what]: `to` is None while the worker dies
        self.pool_stopped = float("-inf")  # when it was last told to
        self.arbiter_gone = None  # since when there is none
        self.meanwhile = []  # failures since then that are to be judged: (time, text)
        self.unheld = []  # (from, to): nobody held the listening socket

    def hold(self, ports, what):
        with self.lock:
            for port in ports:
                self.held[port] = what

    def window(self, pid, what):
        entry = [pid, time.monotonic(), None, what]
        with self.lock:
            self.windows.append(entry)
        return entry

    def arbiter_is_killed(self):
        """To be called before it is. Many may follow each other until one is back."""
        with self.lock:
            self.arbiter_gone = self.arbiter_gone or time.monotonic()

    def arbiter_is_back(self, nobody_held_the_socket):
        with self.lock:
            if nobody_held_the_socket:
                self.unheld.append((self.arbiter_gone, time.monotonic()))
                self.excused[NOBODY_LEFT] += len(self.meanwhile)
            else:
                self.unexcused += self.meanwhile
            self.arbiter_gone, self.meanwhile = None, []

    def opened(self, port):
        """The number may have been another connection's, which nobody used again."""
        with self.lock:
            self.connections += 1
            self.held.pop(port, None)

    def succeeded(self, polite_close):
        with self.lock:
            self.answered += 1
            self.closed_politely += polite_close

    def excuse_of(self, client, text):
        what = self.held.pop(client.port, None)
        if what:
            return what
        for pid, begin, end, what in self.windows:
            # Opened while it died, or lying in the backlog then, and never answered;
            came_in = client.last_worker is None and client.opened_at >= begin - BACKLOG and \
                (end is None or client.opened_at <= end)
            # or answered by it after its connections were looked at: passed on to it by a sibling.
            passed_on = client.last_worker == pid and client.last_use >= begin
            # Or the last word of one that is aborted to a request that it had just taken over; nobody
            # else answers so, there being no limit of a request's time.
            cut_off = text.startswith("status 504") and client.sent_at >= begin - BACKLOG and \
                (end is None or client.sent_at <= end)
            if came_in or passed_on or cut_off:
                return what
        if UNANSWERED.match(text) and any(begin - BACKLOG <= client.sent_at <= end
                                               for begin, end in self.unheld):
            return NOBODY_LEFT
        granted = KEEP_ALIVE
        if client.last_use >= self.pool_stopped - KEEP_ALIVE and client.last_use < self.pool_stopped + 60:
            granted = KEEP_ALIVE_OF_A_POOL_THAT_STOPS
        if client.idle >= 0.9 * granted and client.served > 0 and "status" not in text:
            return "client came after the connection's keep-alive time"
        return None

    def failed(self, client, text):
        now = time.monotonic()
        with self.lock:
            excuse = self.excuse_of(client, text)
            if excuse:
                self.excused[excuse] += 1
            else:
                to_be_judged = self.arbiter_gone is not None and UNANSWERED.match(text)
                failures = self.meanwhile if to_be_judged else self.unexcused
                failures.append((now, f"{text}; client port {client.port}, opened "
                                 f"{now - client.opened_at:.3f} s ago, last answered by "
                                 f"{client.last_worker}, asked {client.waited():.3f} s ago, "
                                 f"idle {client.idle:.3f} s before: {client.asked}"))


class ChaosClient(KeepAliveClient):
    def __init__(self, address, ledger):
        super().__init__(address)
        self.ledger = ledger
        self.port = 0
        self.opened_at = 0.0  # `opened` counts connections
        self.last_worker = None
        self.last_use = 0.0
        self.sent_at = 0.0
        self.idle = 0.0
        self.asked = ""

    def connect(self):
        self.opened_at = self.last_use = time.monotonic()
        self.port, self.last_worker = 0, None
        super().connect()
        self.port = self.socket.getsockname()[1]
        self.ledger.opened(self.port)

    def waited(self):
        return time.monotonic() - self.sent_at

    def ask(self, target, body):
        self.asked = target
        self.sent_at = time.monotonic()
        self.idle = self.sent_at - self.last_use if self.socket else 0.0
        status, headers, answer = self.request(target, body)
        self.last_use = time.monotonic()
        if "x-pid" in headers:
            self.last_worker = int(headers["x-pid"])
        return status, headers, answer


class Clients:
    """Several kinds of clients in threads, from start() to stop()."""

    def __init__(self, port, seed, count=12):
        self.address = ("127.0.0.1", port)
        self.ledger = Ledger()
        self.stopping = threading.Event()
        self.ids = itertools.count(1)
        self.versions = {}  # worker: the version of the application that answered there last
        self.threads = [threading.Thread(target=self.run, args=(random.Random(f"{seed}/{n}"), n),
                                         daemon=True) for n in range(count)]

    def start(self):
        for thread in self.threads:
            thread.start()

    def stop(self):
        self.stopping.set()
        for thread in self.threads:
            thread.join(120)
        return not any(thread.is_alive() for thread in self.threads)

    def run(self, choice, number):
        client = ChaosClient(self.address, self.ledger)
        one_connection_each = number % 4 == 3
        pause = (0.0, 0.01, 0.05)[number % 3]
        while not self.stopping.wait(choice.random() * pause):
            name = f"r{next(self.ids)}"
            kind = choice.random()
            delay = choice.random() * 0.3 if kind < 0.05 else 0
            count = 4000 if 0.05 <= kind < 0.10 else 1  # 300 kB, more than a socket's buffer
            body = choice.randbytes(choice.randrange(1, 100_000)) if 0.10 <= kind < 0.25 else b""
            self.one(client, name, delay, count, body)
            if one_connection_each:
                client.close()
        client.close()

    def one(self, client, name, delay, count, body):
        target = f"/?id={name}&delay={delay:.3f}&count={count}"
        try:
            status, headers, answer = client.ask(target, body)
        except RequestFailed as failure:
            self.ledger.failed(client, str(failure))
            client.close()
            return
        word = f"{name}:{hashlib.sha256(body).hexdigest()};".encode()
        if status != 200:
            self.ledger.failed(client, f"status {status}: {answer[:100]!r}")
        elif answer != word * count:
            self.ledger.failed(client, f"not its own answer: {answer[:100]!r}")
        else:
            self.versions[int(headers["x-pid"])] = int(headers["x-version"])
            self.ledger.succeeded(headers.get("connection", "") == "close")
