# SPDX-License-Identifier: Apache-2.0
"""Falcon.

/things/ID         GET, PUT, DELETE of a JSON document; a missing one is falcon's 404 in JSON
/count             POST: the size of the body, read from the bounded stream
/stream/N          N bytes, from a file object (wsgi.file_wrapper)
/fail              raises: falcon's own 500 in JSON
"""
import io

import falcon

# One for each worker: the tests run a single one.
THINGS = {}


class Thing:
    def on_get(self, request, response, name):
        if name not in THINGS:
            raise falcon.HTTPNotFound(title="No such thing", description=name)
        response.media = THINGS[name]

    def on_put(self, request, response, name):
        response.status = falcon.HTTP_200 if name in THINGS else falcon.HTTP_201
        THINGS[name] = request.get_media()
        response.media = {"stored": name}

    def on_delete(self, request, response, name):
        THINGS.pop(name, None)
        response.status = falcon.HTTP_204


class Count:
    def on_post(self, request, response):
        size = 0
        while piece := request.bounded_stream.read(1000):
            size += len(piece)
        response.media = {"size": size}


class Stream:
    def on_get(self, request, response, size):
        response.set_stream(io.BytesIO(b"f" * size), size)
        response.content_type = falcon.MEDIA_TEXT


class Fail:
    def on_get(self, request, response):
        raise RuntimeError("meant to fail")


application = falcon.App()
application.add_route("/things/{name}", Thing())
application.add_route("/count", Count())
application.add_route("/stream/{size:int}", Stream())
application.add_route("/fail", Fail())
