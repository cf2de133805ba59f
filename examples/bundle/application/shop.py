# SPDX-License-Identifier: Apache-2.0
"""A WSGI application inside a bundle, with a file of its own beside it."""
import pkgutil


def app(environ, start_response):
    body = pkgutil.get_data("shop_texts", "greeting.txt")
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]
