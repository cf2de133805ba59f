# SPDX-License-Identifier: Apache-2.0
"""Answers made while they are sent: n blocks (10) of size bytes (100), pause seconds apart (0).

    /          without a length
    /length    with Content-Length
    /fail      raises before the last block
"""
import time
from urllib.parse import parse_qs


def application(environ, start_response):
    query = {key: values[-1] for key, values in parse_qs(environ["QUERY_STRING"]).items()}
    count, size = int(query.get("n", 10)), int(query.get("size", 100))
    pause = float(query.get("pause", 0))
    path = environ["PATH_INFO"]
    headers = [("Content-Type", "text/plain")]
    if path == "/length":
        headers.append(("Content-Length", str(count * size)))
    start_response("200 OK", headers)

    def blocks():
        for i in range(count):
            if path == "/fail" and i == count - 1:
                raise RuntimeError("in the middle of the answer")
            if i and pause:
                time.sleep(pause)
            yield bytes([97 + i % 26]) * size

    return blocks()
