# SPDX-License-Identifier: Apache-2.0
"""Pyramid.

/hello/NAME        text; 404 with Pyramid's page for other paths
/json              POST: the posted JSON, keys sorted
/visits            a signed session that counts
/assets/...        this directory, as a static view (FileResponse, ranges by WebOb)
/iterate/N         an app_iter of N lines
/fail              raises
"""
import pathlib

from pyramid.config import Configurator
from pyramid.response import Response
from pyramid.session import SignedCookieSessionFactory


def hello(request):
    return Response(f"Hello {request.matchdict['name']}!", content_type="text/plain")


def echo_json(request):
    return dict(sorted(request.json_body.items()))


def visits(request):
    request.session["visits"] = request.session.get("visits", 0) + 1
    return Response(str(request.session["visits"]), content_type="text/plain")


def iterate(request):
    count = int(request.matchdict["count"])
    return Response(app_iter=(f"line {number}\n".encode() for number in range(count)),
                    content_type="text/plain")


def fail(_):
    raise RuntimeError("meant to fail")


def make_application():
    with Configurator(session_factory=SignedCookieSessionFactory("not a secret")) as config:
        config.add_route("hello", "/hello/{name}")
        config.add_view(hello, route_name="hello")
        config.add_route("json", "/json")
        config.add_view(echo_json, route_name="json", request_method="POST", renderer="json")
        config.add_route("visits", "/visits")
        config.add_view(visits, route_name="visits")
        config.add_route("iterate", "/iterate/{count:\\d+}")
        config.add_view(iterate, route_name="iterate")
        config.add_route("fail", "/fail")
        config.add_view(fail, route_name="fail")
        config.add_static_view("assets", str(pathlib.Path(__file__).parent))
        return config.make_wsgi_app()


application = make_application()
