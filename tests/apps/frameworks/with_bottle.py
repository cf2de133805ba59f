# SPDX-License-Identifier: Apache-2.0
"""Bottle.

/hello/NAME        a template
/json              POST: the posted JSON with its keys sorted
/upload            POST: name and SHA-256 of the uploaded file `data`
/cookie            a signed cookie that counts visits
/stream/N          N lines, from a generator
/file              static_file() of this source, ranges and all
/fail              raises
anything else      Bottle's error page
"""
import hashlib
import pathlib

import bottle

application = bottle.Bottle()


@application.get("/hello/<name>")
def hello(name):
    return bottle.template("Hello {{name}}!", name=name)


@application.post("/json")
def echo_json():
    bottle.response.content_type = "application/json"
    return bottle.json_dumps(bottle.request.json, sort_keys=True)


@application.post("/upload")
def upload():
    file = bottle.request.files.get("data")
    return {"name": file.filename, "sha256": hashlib.sha256(file.file.read()).hexdigest()}


@application.get("/cookie")
def cookie():
    visits = int(bottle.request.get_cookie("visits", secret="s") or 0) + 1
    bottle.response.set_cookie("visits", str(visits), secret="s")
    return str(visits)


@application.get("/stream/<count:int>")
def stream(count):
    for number in range(count):
        yield f"line {number}\n"


@application.get("/file")
def file():
    here = pathlib.Path(__file__)
    return bottle.static_file(here.name, root=here.parent, mimetype="text/x-python")


@application.get("/fail")
def fail():
    raise RuntimeError("meant to fail")
