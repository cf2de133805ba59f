# SPDX-License-Identifier: Apache-2.0
"""Cases of wsgi_cases.py that hand the engine a file, or take the connection from it."""
import collections
import io
import os
import tempfile

counts = collections.Counter()  # of close() and of what has one


# ---- files ----

def file_of(content):
    file = tempfile.TemporaryFile()
    file.write(content)
    file.seek(0)
    return file


class CountedFile(io.BytesIO):
    def close(self):
        if not self.closed:
            counts["closed"] += 1
        super().close()


def file_whole(environ, start):
    start("200 OK", [])
    return environ["wsgi.file_wrapper"](file_of(bytes(range(256)) * 4096))


def file_with_length(environ, start):
    start("200 OK", [("Content-Length", str(256 * 4096))])
    return environ["wsgi.file_wrapper"](file_of(bytes(range(256)) * 4096))


def file_part(environ, start):
    file = file_of(b"0123456789" * 10)
    file.seek(15)
    start("206 Partial Content", [("Content-Length", "10")])
    return environ["wsgi.file_wrapper"](file)


def file_after_read(environ, start):
    file = file_of(b"0123456789" * 10)
    file.read(95)
    start("200 OK", [])
    return environ["wsgi.file_wrapper"](file, 3)


def file_too_short(environ, start):
    start("200 OK", [("Content-Length", "100")])
    return environ["wsgi.file_wrapper"](file_of(b"0123"))


def file_length_padded(environ, start):
    start("200 OK", [("Content-Length", " 4 ")])
    return environ["wsgi.file_wrapper"](file_of(b"0123456789"))


def file_in_memory(environ, start):
    counts["made"] += 1
    start("200 OK", [])
    return environ["wsgi.file_wrapper"](CountedFile(b"0123456789" * 1000), 512)


def file_from_pipe(environ, start):
    reader, writer = os.pipe()
    os.write(writer, b"through a pipe")
    os.close(writer)
    start("200 OK", [])
    return environ["wsgi.file_wrapper"](os.fdopen(reader, "rb"))


def file_of_kernel(environ, start):
    """A regular file that says it is empty."""
    start("200 OK", [])
    return environ["wsgi.file_wrapper"](open("/proc/self/status", "rb"))


def file_after_write(environ, start):
    start("200 OK", [])(b"before:")
    return environ["wsgi.file_wrapper"](file_of(b"file"))


def file_empty(environ, start):
    start("200 OK", [])
    return environ["wsgi.file_wrapper"](file_of(b""))


def file_large(environ, start):
    counts["made"] += 1
    file = file_of(b"")
    file.truncate(64 * 1024 * 1024)
    wrapper = environ["wsgi.file_wrapper"](file)
    close = wrapper.close

    def counting():
        counts["closed"] += 1
        close()
    wrapper.close = counting
    start("200 OK", [])
    return wrapper


# ---- the connection itself ----

def socket_looked_at(environ, start):
    sock = environ["gunicorn.socket"]
    answer = repr([sock.getpeername()[0], sock.getsockname()[1], sock.fileno() > 2,
                   sock.gettimeout()]).encode()
    start("200 OK", [("Content-Length", str(len(answer)))])
    return [answer]


def socket_taken_over(environ, start):
    """Answers for itself, echoes lines until one is empty, and leaves as it would in gunicorn."""
    sock = environ["gunicorn.socket"]
    sock.sendall(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: echo\r\n\r\n")
    with sock.makefile("rb") as lines:
        for line in lines:
            if line == b"\n":
                break
            sock.sendall(line.upper())
    raise StopIteration


def socket_taken_over_by_error(environ, start):
    environ["gunicorn.socket"].sendall(b"mine")
    raise RuntimeError("after taking over")
