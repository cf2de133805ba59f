# SPDX-License-Identifier: Apache-2.0
"""gevent's hub as the loop that the engine lives on, and greenlets as what requests are served on.

Everything runs on the main thread. What the hub calls runs on the hub's own greenlet, from which
nothing may wait.
"""
import gc
import os
import sys
import traceback

from gevent import monkey

monkey.patch_all()

import gevent
import greenlet
from gevent.event import Event
from gevent.hub import Waiter, get_hub

PATCHED_IN = os.getpid()
PATIENCE = 1  # seconds between two looks at greenlets that were killed and don't end
MOST_SHOWN = 200  # greenlets in a dump
MOST_FRAMES = 100  # of one greenlet


class Host:
    getcurrent = staticmethod(greenlet.getcurrent)

    def __init__(self, turn, run):
        self.turn = turn  # the engine's
        self.run = run  # serves one request, given by a number
        self.hub = get_hub()
        self.greenlets = set()  # of requests
        self.waiters = {}  # of requests that wait for their client, by number
        self.over = Event()
        self.watcher = None
        self.timer = None

    def serve(self, descriptor):
        """Until the engine is done and every request's greenlet has ended. On the main greenlet."""
        if os.getpid() != PATCHED_IN:
            gevent.reinit()  # of a hub that the application has used where it was loaded
        self.watcher = self.hub.loop.io(descriptor, 1)
        os.register_at_fork(after_in_child=self.stop_watching)
        self.watcher.start(self.turn)
        self.hub.loop.run_callback(self.turn)
        while not self.over.is_set():
            try:
                self.over.wait()
            except BaseException:
                # The hub brings here what ends a program: sys.exit() in some greenlet.
                sys.stderr.write("A greenlet of the application called for the program's end; the "
                                 "worker goes on\n" + traceback.format_exc())
        self.stop_watching()
        while self.greenlets:
            left = list(self.greenlets)
            begun = [request for request in left if request.gr_frame is not None]
            try:
                gevent.killall(begun, block=False)
                gevent.joinall(left, timeout=PATIENCE)
            except BaseException:
                traceback.print_exc()

    def end(self):
        self.over.set()

    def stop_watching(self):
        """At the end, and in a process that the application forks, where nobody is served."""
        for watcher in (self.watcher, self.timer):
            if watcher is not None:
                watcher.stop()

    def set_timer(self, seconds):
        """Has the engine turned after so long, not when it was to be turned before."""
        if self.timer is not None:
            self.timer.stop()
            self.timer.close()
        self.timer = self.hub.loop.timer(seconds)
        self.timer.start(self.turn, True, update=True)

    def spawn(self, request):
        on = gevent.spawn(self.run, request)
        self.greenlets.add(on)
        on.rawlink(self.greenlets.discard)

    def pause(self, request):
        """Lets others run until wake(). Raises what is thrown into the greenlet meanwhile."""
        waiter = self.waiters[request] = Waiter(self.hub)
        try:
            waiter.get()
        finally:
            del self.waiters[request]

    def wake(self, request):
        waiter = self.waiters.get(request)
        if waiter is not None:
            self.hub.loop.run_callback(waiter.switch, None)

    @staticmethod
    def stacks():
        """The stacks of all greenlets that could run and don't, the most recent call first."""
        # A type is asked, not an object: proxies answer for what they stand for.
        found = [thing for thing in gc.get_objects()
                 if issubclass(type(thing), greenlet.greenlet) and thing.gr_frame is not None]
        lines = []
        for idle in found[:MOST_SHOWN]:
            lines.append(f"{type(idle).__name__} {id(idle):#x}:")
            frame = idle.gr_frame
            for _ in range(MOST_FRAMES):
                if frame is None:
                    break
                code = frame.f_code
                lines.append(f'  File "{code.co_filename}", line {frame.f_lineno or 0} in '
                             f'{code.co_name}')
                frame = frame.f_back
        if len(found) > MOST_SHOWN:
            lines.append(f"{len(found) - MOST_SHOWN} more greenlets are not shown")
        return "\n".join(lines)
