# SPDX-License-Identifier: Apache-2.0
"""Writes what is uploaded to a file (UPLOAD_FILE, "upload.bin").

A chunked upload states no length. wsgi.input ends where the body ends
(environ["wsgi.input_terminated"]), so it can be read to its end in any case.
"""
import os
import shutil

UPLOAD_FILE = os.environ.get("UPLOAD_FILE", "upload.bin")


def application(environ, start_response):
    with open(UPLOAD_FILE, "wb") as upload:
        shutil.copyfileobj(environ["wsgi.input"], upload)
    body = b"Hello World\n"
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]
