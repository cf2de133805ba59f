# SPDX-License-Identifier: Apache-2.0
"""A large answer of a repeating pattern. Query: size in bytes (10 MiB).

    /      one block
    /file  by wsgi.file_wrapper
    /list  a list of blocks
"""
import tempfile
from urllib.parse import parse_qs

PATTERN = bytes(range(256)) * 256


def pattern(size):
    return (PATTERN * (size // len(PATTERN) + 1))[:size]


def application(environ, start_response):
    size = int(parse_qs(environ["QUERY_STRING"]).get("size", [10 << 20])[-1])
    start_response("200 OK", [("Content-Type", "application/octet-stream"),
                              ("Content-Length", str(size))])
    body = pattern(size)
    if environ["PATH_INFO"] == "/file":
        file = tempfile.TemporaryFile()
        file.write(body)
        file.seek(0)
        return environ["wsgi.file_wrapper"](file)
    if environ["PATH_INFO"] == "/list":
        return [body[i:i + 65536] for i in range(0, size, 65536)]
    return [body]
