# SPDX-License-Identifier: Apache-2.0
"""What the hooks pre_request and post_request get to see of a request, with gunicorn's attributes."""
import types
from urllib.parse import unquote_to_bytes


def variable_of(name):
    """Of a header field, in the environ (RFC 3875 section 4.1.18)."""
    key = name.upper().replace("-", "_")
    return key if key in ("CONTENT_TYPE", "CONTENT_LENGTH") else "HTTP_" + key


def variables_of(headers):
    variables = {}
    for name, value in headers:
        key = variable_of(name)
        variables[key] = f"{variables[key]},{value}" if key in variables else str(value)
    return variables


class Request:
    def __init__(self, method, uri, path, query, version, headers, scheme, remote_addr, body):
        self.method = method
        self.uri = uri
        self.path = path
        self.query = query
        self.fragment = uri.partition("#")[2]
        self.version = version
        self.headers = headers
        self.trailers = []
        self.scheme = scheme
        self.remote_addr = self.peer_addr = remote_addr
        self.body = body
        self.proxy_protocol_info = None
        self._sent = (method, uri, path, query, list(headers))

    def should_close(self):
        values = [value.lower() for name, value in self.headers if name == "CONNECTION"]
        return "close" in values or (self.version <= (1, 0) and "keep-alive" not in values)

    def amend(self, environ):
        """Has the application see what pre_request has changed."""
        method, uri, path, query, headers = self._sent
        if self.method != method:
            environ["REQUEST_METHOD"] = self.method
        if self.uri != uri:
            environ["RAW_URI"] = self.uri
        if self.query != query:
            environ["QUERY_STRING"] = self.query or ""
        if self.path != path:
            rest = (self.path or "").removeprefix(environ["SCRIPT_NAME"])
            environ["PATH_INFO"] = unquote_to_bytes(rest.encode("latin-1")).decode("latin-1")
        if self.headers != headers:
            before, after = variables_of(headers), variables_of(self.headers)
            for key in before.keys() - after.keys():
                environ.pop(key, None)
            environ.update(after.items() - before.items())


class Response:
    """What was answered."""

    def __init__(self, request, status, headers, length):
        self.req = request
        self.version = "Corn"
        self.status = status
        code = (status or "")[:3]
        self.status_code = int(code) if code.isdigit() else None
        self.headers = [tuple(header) for header in headers or ()]
        self.headers_sent = status is not None
        self.sent = length
        declared = [value for name, value in self.headers if name.lower() == "content-length"]
        self.response_length = int(declared[0]) if declared and declared[0].isdigit() else None
        self.chunked = False
        self.upgrade = False


parts = types.SimpleNamespace(Request=Request, Response=Response)
