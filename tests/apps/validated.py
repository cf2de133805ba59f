# SPDX-License-Identifier: Apache-2.0
"""An application under wsgiref.validate, which raises, and so answers 500, where server or application
break PEP 3333; every complaint is also appended to the file that VALIDATED_COMPLAINTS names.

/length            the query string, with Content-Length
/iterate           the query string and the body in pieces, without a length
/write             the same by write()
/lines             the body's lines by readline(); /readlines: by iteration
"""
import os
import traceback
import warnings
from wsgiref.validate import validator

warnings.simplefilter("error")


def answer(environ, start_response):
    path = environ["PATH_INFO"]
    source = environ["wsgi.input"]
    if path == "/lines":
        pieces = list(iter(lambda: source.readline(), b""))
    elif path == "/readlines":
        pieces = list(source)
    else:
        pieces = list(iter(lambda: source.read(1000), b""))
    pieces.insert(0, environ["QUERY_STRING"].encode("latin-1"))
    headers = [("Content-Type", "application/octet-stream"), ("X-Pid", str(os.getpid()))]
    if path == "/length":
        headers.append(("Content-Length", str(sum(map(len, pieces)))))
    write = start_response("200 OK", headers)
    if environ["REQUEST_METHOD"] == "HEAD":
        return [b""]
    if path == "/write":
        for piece in pieces:
            write(piece)
        return []
    return iter(pieces)


validated = validator(answer)


def complain():
    with open(os.environ["VALIDATED_COMPLAINTS"], "a", encoding="utf-8") as file:
        file.write(traceback.format_exc() + "\n")


class Body:
    """The validated body; what it raises is written down on its way to the server."""

    def __init__(self, body):
        self.body = body
        self.pieces = iter(body)

    def __iter__(self):
        return self

    def __next__(self):
        try:
            return next(self.pieces)
        except StopIteration:
            raise
        except BaseException:
            complain()
            raise

    def close(self):
        try:
            self.body.close()
        except BaseException:
            complain()
            raise


def application(environ, start_response):
    try:
        return Body(validated(environ, start_response))
    except BaseException:
        complain()
        raise
