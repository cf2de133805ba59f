# SPDX-License-Identifier: Apache-2.0
"""A response made while it is sent: each block goes out when it is yielded."""


class Lines:
    def __iter__(self):
        yield b"line 1\n"
        yield b"line 2\n"


def application(environ, start_response):
    headers = [
        ("Content-Type", "text/plain"),
        ("Transfer-Encoding", "chunked"),
    ]
    start_response("200 OK", headers)
    return Lines()
