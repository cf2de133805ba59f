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
        """Has a WSGI application see what pre_request has changed."""
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


    def environ(self):
        """For post_request where there was none: what gunicorn's log has of an ASGI request."""
        major, minor = self.version
        return {"REQUEST_METHOD": self.method, "PATH_INFO": self.path, "RAW_URI": self.uri,
                "QUERY_STRING": self.query, "REMOTE_ADDR": self.remote_addr[0],
                "REMOTE_PORT": str(self.remote_addr[1]), "SERVER_PROTOCOL": f"HTTP/{major}.{minor}",
                "wsgi.url_scheme": self.scheme, **variables_of(self.headers)}

    def amend_scope(self, scope):
        """The same for an ASGI application."""
        method, _, path, query, headers = self._sent
        if self.method != method:
            scope["method"] = self.method
        if self.query != query:
            scope["query_string"] = (self.query or "").encode("latin-1")
        if self.path != path:
            scope["raw_path"] = (self.path or "").encode("latin-1")
            scope["path"] = unquote_to_bytes(scope["raw_path"]).decode("utf-8", "replace")
        if self.headers != headers:
            scope["headers"] = [(name.lower().encode("latin-1"), str(value).encode("latin-1"))
                                for name, value in self.headers]


def text(value):
    return value.decode("latin-1") if isinstance(value, bytes) else value


class Response:
    """What was answered."""

    def __init__(self, request, status, headers, length):
        self.req = request
        self.version = "Corn"
        self.status = status
        code = (status or "")[:3]
        self.status_code = int(code) if code.isdigit() else None
        self.headers = [(text(name), text(value)) for name, value in headers or ()]
        self.headers_sent = status is not None
        self.sent = length
        declared = [value for name, value in self.headers if name.lower() == "content-length"]
        self.response_length = int(declared[0]) if declared and declared[0].isdigit() else None
        self.chunked = False
        self.upgrade = False


parts = types.SimpleNamespace(Request=Request, Response=Response)
