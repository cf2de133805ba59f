# SPDX-License-Identifier: Apache-2.0
"""Answers with the length and SHA-256 of the request's body: "5 2cf24d...\\n".

    /       reads the body in blocks of 64 KiB
    /all    with one read()
    /lines  line by line
    /body   answers with the body itself
    /half   reads half of Content-Length and leaves the rest
    /none   reads nothing
"""
import hashlib


def application(environ, start_response):
    path, body = environ["PATH_INFO"], environ["wsgi.input"]
    if path == "/body":
        blocks = [body.read()]
    elif path == "/all":
        blocks = [body.read()]
    elif path == "/lines":
        blocks = body
    elif path == "/half":
        blocks = [body.read(int(environ.get("CONTENT_LENGTH") or 0) // 2)]
    elif path == "/none":
        blocks = []
    else:
        blocks = iter(lambda: body.read(65536), b"")
    if path == "/body":
        answer = blocks[0]
    else:
        digest, length = hashlib.sha256(), 0
        for block in blocks:
            digest.update(block)
            length += len(block)
        answer = f"{length} {digest.hexdigest()}\n".encode()
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(answer)))])
    return [answer]
