# SPDX-License-Identifier: Apache-2.0
"""A server with state, run from Python: one worker, whose state is saved when it ends and loaded by the
next one.

usage: python3 counter_server.py [ADDRESS [MAX_REQUESTS]]
"""
import sys
import threading

import corn.app.base
from bottle import Bottle

STATE = "state.txt"

PAGE = """<!doctype html>
<title>Counter</title>
<button onclick="fetch('/getvalue').then(r => r.json()).then(r => this.textContent = r.value)">
count</button>
"""


class StatefulServer(corn.app.base.BaseApplication):
    """Calls `create` when a worker starts, and `save` with what that returned when it ends."""

    def __init__(self, create, save, address, max_requests):
        self.create, self.save = create, save
        self.address, self.max_requests = address, max_requests
        super().__init__()

    @staticmethod
    def leave(arbiter, worker):
        # worker.app is the very object whose load() ran in this worker.
        self = worker.app
        worker.log.info("worker %s of age %s saves its state", worker.pid, worker.age)
        self.save(self.created)

    def load_config(self):
        self.cfg.set("bind", self.address)
        self.cfg.set("worker_class", "gthread")
        self.cfg.set("workers", 1)
        self.cfg.set("threads", 4)
        self.cfg.set("max_requests", self.max_requests)
        self.cfg.set("worker_exit", StatefulServer.leave)

    def load(self):
        self.created = self.create()
        return self.created


class Counter:
    def __init__(self, value):
        print(f"counting on from {value}")
        self.value = value
        self.lock = threading.Lock()

    @classmethod
    def load(cls, path):
        try:
            with open(path, encoding="utf-8") as file:
                return cls(int(file.read()))
        except FileNotFoundError:
            return cls(0)

    def save(self, path):
        with open(path, "w", encoding="utf-8") as file:
            file.write(str(self.value))

    def next(self):
        with self.lock:
            self.value += 1
            return self.value


def main():
    address = sys.argv[1] if len(sys.argv) > 1 else "localhost:8001"
    max_requests = int(sys.argv[2]) if len(sys.argv) > 2 else 0

    def create():
        app = Bottle()
        app.counter = Counter.load(STATE)

        @app.route("/")
        def page():
            return PAGE

        @app.route("/getvalue")
        def value():
            return {"value": app.counter.next()}

        return app

    def save(app):
        app.counter.save(STATE)

    StatefulServer(create, save, address, max_requests).run()


if __name__ == "__main__":
    main()
