# SPDX-License-Identifier: Apache-2.0
"""Processes that the script had started before run().

They stay children of the pid that has become arbiterd, which reaps them. The script process can still
signal them and wait for their end, but through pidfds, so that what the script does after run() works:
`process.terminate(); process.join()`, multiprocessing's managers, its exit handlers.
"""
import os
import select
import signal
import sys

UNKNOWN_STATUS = 0  # how a child of another process has ended isn't told; subprocess says 0 as well


class DistantProcess:
    """In the place of a multiprocessing.popen_fork.Popen, for a process that is a sibling by now."""

    def __init__(self, popen):
        self.pid = popen.pid
        self.sentinel = popen.sentinel
        self.finalizer = getattr(popen, "finalizer", None)
        self.returncode = popen.returncode
        try:
            self.descriptor = os.pidfd_open(self.pid)
        except OSError:
            self.descriptor = None
            self.returncode = UNKNOWN_STATUS if self.returncode is None else self.returncode

    def poll(self, flag=os.WNOHANG):
        return self.wait(0 if flag == os.WNOHANG else None)

    def wait(self, timeout=None):
        if self.returncode is None:
            poller = select.poll()
            poller.register(self.descriptor, select.POLLIN)
            if not poller.poll(None if timeout is None else timeout * 1000):
                return None
            self.returncode = UNKNOWN_STATUS
        return self.returncode

    def send(self, number):
        if self.returncode is None and self.poll() is None:
            try:
                signal.pidfd_send_signal(self.descriptor, number)
            except ProcessLookupError:
                pass  # it has ended meanwhile

    def terminate(self):
        self.send(signal.SIGTERM)

    def kill(self):
        self.send(signal.SIGKILL)

    def close(self):
        if self.descriptor is not None:
            os.close(self.descriptor)
            self.descriptor = None
        if self.finalizer is not None:
            self.finalizer()


def adopt_children():
    """In the script process, right after its fork: multiprocessing's records are its own now."""
    process = sys.modules.get("multiprocessing.process")
    if process is None:
        return
    for child in process._children:
        child._parent_pid = os.getpid()
        child._popen = DistantProcess(child._popen)
    util = sys.modules.get("multiprocessing.util")
    for finalizer in list(util._finalizer_registry.values()) if util is not None else ():
        finalizer._pid = os.getpid()
