#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A template process that can be made to misbehave, in workerd's place (--workerd).

It speaks arbiterd's channel protocol (base/message.h) and forks real workers. What it is to do wrong it
reads from behaviour.json in its working directory, anew each time; what it was told it writes to
told.jsonl there. In any role but the template's it is the real workerd, CORN_REAL_WORKERD.
"""

import array
import ctypes
import json
import os
import pathlib
import resource
import signal
import socket
import struct
import sys
import time

CHANNEL = 3
ROLE_TEMPLATE = 3
CONFIGURE, DRAIN, HELLO, READY, BOOT_FAILED, FORK, RUN_HOOK = 0, 1, 5, 6, 7, 15, 16
FORKED, FORK_FAILED, HOOK_DONE = 18, 19, 20
CLONE_PARENT, SYS_CLONE = 0x8000, 56


def text(value):
    raw = value.encode()
    return struct.pack("<I", len(raw)) + raw


def read_text(data, at):
    size = struct.unpack_from("<I", data, at)[0]
    return data[at + 4:at + 4 + size].decode(), at + 4 + size


def told(**what):
    with open("told.jsonl", "a", encoding="utf-8") as file:
        file.write(json.dumps({"pid": os.getpid(), **what}) + "\n")


def behaviour(name, default=None):
    try:
        return json.loads(pathlib.Path("behaviour.json").read_text(encoding="utf-8")).get(name, default)
    except (OSError, ValueError):
        return default


class Template:
    def __init__(self, channel):
        self.channel = channel

    def send(self, kind, payload=b""):
        self.channel.send(struct.pack("<HH", kind, 1) + payload)

    def run(self):
        self.send(HELLO, struct.pack("<i", os.getpid()) + text("0"))
        told(event="boot")
        if behaviour("boot") == "hang":
            time.sleep(600)
        if behaviour("boot") == "fail":
            self.send(BOOT_FAILED, struct.pack("<B", 0) + text("it cannot be loaded\nTraceback: here"))
            sys.exit(4)
        if behaviour("boot") == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        self.send(READY)
        while True:
            data, ancillary, _, _ = self.channel.recvmsg(1 << 18, 1 << 13)
            if not data:
                return
            kind = struct.unpack_from("<H", data)[0]
            token = struct.unpack_from("<Q", data, 4)[0] if kind in (FORK, RUN_HOOK) else 0
            if kind == DRAIN:
                told(event="drain")
                return
            if kind == FORK:
                self.fork(token, data, ancillary)
            elif kind == RUN_HOOK:
                self.run_hook(token, data)

    def run_hook(self, token, data):
        name, at = read_text(data, 12)
        arguments, _ = read_text(data, at)
        told(event="hook", name=name, arguments=json.loads(arguments))
        if name in behaviour("hang", []):
            time.sleep(600)
        time.sleep(behaviour("slow", {}).get(name, 0))
        self.send(HOOK_DONE, struct.pack("<Q", token) + text(behaviour("raise", {}).get(name, "")))

    def fork(self, token, data, ancillary):
        descriptors = array.array("i")
        for _, _, content in ancillary:
            descriptors.frombytes(content)
        limit = struct.unpack_from("<Q", data, len(data) - 12)[0]
        told(event="fork", descriptors=len(descriptors), limit=limit)
        if behaviour("fork") == "fail":
            self.send(FORK_FAILED, struct.pack("<Q", token) + text("pre_fork: no"))
            return
        if behaviour("fork") == "hang":
            time.sleep(600)
        if behaviour("fork") == "die before":
            os.kill(os.getpid(), signal.SIGKILL)
        pid = ctypes.CDLL(None).syscall(SYS_CLONE, CLONE_PARENT | signal.SIGCHLD, 0, 0, 0, 0)
        if pid == 0:
            self.become_worker(list(descriptors))
        for descriptor in descriptors:
            os.close(descriptor)
        if behaviour("fork") == "die after":
            os.kill(os.getpid(), signal.SIGKILL)
        if behaviour("fork") == "lie":
            pid = 1
        self.send(FORKED, struct.pack("<Qi", token, pid))

    @staticmethod
    def become_worker(descriptors):
        os.setpgid(0, 0)
        high = [os.dup2(d, 100 + i) for i, d in enumerate(descriptors)]
        for i, descriptor in enumerate(high):
            os.dup2(descriptor, CHANNEL + i, inheritable=True)
        os.closerange(CHANNEL + len(descriptors), resource.getrlimit(resource.RLIMIT_NOFILE)[0])
        real = os.environ["CORN_REAL_WORKERD"]
        os.execv(real, ["workerd"])


def main():
    channel = socket.socket(fileno=CHANNEL)
    first = channel.recv(1 << 18, socket.MSG_PEEK)
    if first[4] != ROLE_TEMPLATE:
        os.set_inheritable(CHANNEL, True)
        channel.detach()
        os.execv(os.environ["CORN_REAL_WORKERD"], ["workerd"])
    channel.recv(1 << 18)
    Template(channel).run()


main()
