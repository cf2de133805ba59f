# SPDX-License-Identifier: Apache-2.0
"""A WSGI application: called for each request, it names status and headers and returns the body."""


def application(environ, start_response):
    body = b"Hello World"
    headers = [
        ("Content-Type", "text/plain"),
        ("Content-Length", str(len(body))),
    ]
    start_response("200 OK", headers)
    return [body]
