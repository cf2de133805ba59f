# SPDX-License-Identifier: Apache-2.0
"""A Bottle application with state: one worker holds the count, its threads share a lock."""
import atexit
import os
import threading

from bottle import Bottle

STATE_FILE = os.environ.get("STATE_FILE", "state.txt")

PAGE = """<!doctype html>
<title>Counter</title>
<button onclick="fetch('/getvalue').then(answer => answer.json())
                 .then(answer => this.textContent = 'Value: ' + answer.value)">Click me</button>
"""


class Counter:
    def __init__(self, value):
        self.value = value
        self.lock = threading.Lock()

    @classmethod
    def load(cls, path):
        try:
            with open(path, encoding="ascii") as file:
                return cls(int(file.read()))
        except (OSError, ValueError):
            return cls(0)

    def save(self, path):
        with open(path, "w", encoding="ascii") as file:
            file.write(str(self.value))

    def next(self):
        with self.lock:
            self.value += 1
            return self.value


counter = Counter.load(STATE_FILE)
atexit.register(counter.save, STATE_FILE)
application = Bottle()


@application.route("/")
def page():
    return PAGE


@application.route("/getvalue")
def get_value():
    return {"value": counter.next()}
