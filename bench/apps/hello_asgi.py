# SPDX-License-Identifier: Apache-2.0
"""The smallest asynchronous application worth measuring."""
BODY = b"Hello World"
HEADERS = [(b"content-type", b"text/plain"), (b"content-length", b"11")]


async def application(scope, receive, send):
    assert scope["type"] == "http"
    await send({"type": "http.response.start", "status": 200, "headers": HEADERS})
    await send({"type": "http.response.body", "body": BODY})
