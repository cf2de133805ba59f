# SPDX-License-Identifier: Apache-2.0
"""Traces of a worker's life in file LIFECYCLE_LOG: "import PID", "request PID PATH", "exit PID".

    /child     starts a program that sleeps; answers with its pid
    /thread    starts a thread that never ends
    /forked    forks a process that sleeps; answers with its pid
    /sleep/N   answers after N seconds
"""
import atexit
import multiprocessing
import os
import subprocess
import threading
import time


def trace(event):
    path = os.environ.get("LIFECYCLE_LOG")
    if path:
        with open(path, "a", encoding="utf-8") as file:
            file.write(f"{event}\n")


trace(f"import {os.getpid()}")
atexit.register(lambda pid=os.getpid(): trace(f"exit {pid}") if pid == os.getpid() else None)
children = []  # kept, so that nobody waits for them here


def application(environ, start_response):
    path = environ["PATH_INFO"]
    trace(f"request {os.getpid()} {path}")
    answer = str(os.getpid())
    if path == "/child":
        children.append(subprocess.Popen(["sleep", "1000"]))
        answer = str(children[-1].pid)
    elif path == "/forked":
        fork = multiprocessing.get_context("fork")
        children.append(fork.Process(target=time.sleep, args=(1000,), daemon=True))
        children[-1].start()
        answer = str(children[-1].pid)
    elif path == "/thread":
        threading.Thread(target=time.sleep, args=(1e6,)).start()
    elif path.startswith("/sleep/"):
        time.sleep(float(path.rpartition("/")[2]))
    body = answer.encode() + b"\n"
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]
