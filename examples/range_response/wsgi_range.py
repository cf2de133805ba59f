# SPDX-License-Identifier: Apache-2.0
"""Sends the part of a file that a Range header asks for (RFC 9110 section 14)."""
import os

from werkzeug.http import parse_range_header

RANGE_FILE = os.environ.get("RANGE_FILE", os.path.join(os.path.dirname(__file__), "README.md"))


def application(environ, start_response):
    size = os.path.getsize(RANGE_FILE)
    asked = parse_range_header(environ.get("HTTP_RANGE"))
    part = asked.range_for_length(size) if asked else (0, size)
    if part is None:
        start_response("416 Range Not Satisfiable", [("Content-Range", f"bytes */{size}"),
                                                     ("Content-Length", "0")])
        return []
    start, end = part
    headers = [("Content-Type", "application/octet-stream"), ("Accept-Ranges", "bytes"),
               ("Content-Length", str(end - start))]
    if asked:
        headers.append(("Content-Range", f"bytes {start}-{end - 1}/{size}"))
    start_response("206 Partial Content" if asked else "200 OK", headers)
    with open(RANGE_FILE, "rb") as file:
        file.seek(start)
        return [file.read(end - start)]
