# SPDX-License-Identifier: Apache-2.0
"""Flask.

/                  a Jinja template with the query argument `name`, escaped
/login             POST `user`: remembers it in the session; /whoami tells; /logout forgets
/upload            POST: name, size and SHA-256 of the uploaded file `data`
/stream/N          N lines, from a generator that keeps the request's context
/file              send_file() of a file of 1 MiB: conditional, with ranges
/redirect          to /whoami
/abort/STATUS      abort()
/fail              raises
/external          the URL of /whoami as Flask sees it from outside
anything else      this application's own error page
"""
import hashlib
import os
import tempfile

import flask

application = flask.Flask(__name__)
application.secret_key = "not a secret"

FILE = tempfile.NamedTemporaryFile(prefix="flask-")  # as long as the worker lives
FILE.write(bytes(range(256)) * 4096)
FILE.flush()


@application.route("/")
def index():
    return flask.render_template_string("<p>Hello {{ name }}</p>",
                                        name=flask.request.args.get("name", "World"))


@application.route("/login", methods=["POST"])
def login():
    flask.session["user"] = flask.request.form["user"]
    return flask.redirect(flask.url_for("whoami"), code=303)


@application.route("/logout", methods=["POST"])
def logout():
    flask.session.clear()
    return "", 204


@application.route("/whoami")
def whoami():
    return flask.session.get("user", "nobody")


@application.route("/upload", methods=["POST"])
def upload():
    file = flask.request.files["data"]
    content = file.read()
    return flask.jsonify(name=file.filename, size=len(content),
                         sha256=hashlib.sha256(content).hexdigest())


@application.route("/stream/<int:count>")
def stream(count):
    @flask.stream_with_context
    def lines():
        for number in range(count):
            yield f"{flask.request.path} {number}\n"
    return flask.Response(lines(), mimetype="text/plain")


@application.route("/file")
def file():
    return flask.send_file(FILE.name, mimetype="application/octet-stream", conditional=True,
                           as_attachment=True, download_name="mebibyte.bin")


@application.route("/redirect")
def redirect():
    return flask.redirect("/whoami")


@application.route("/abort/<int:status>")
def abort(status):
    flask.abort(status)


@application.route("/fail")
def fail():
    raise RuntimeError("meant to fail")


@application.route("/external")
def external():
    return flask.url_for("whoami", _external=True)


@application.errorhandler(404)
def not_found(_):
    return f"no page {flask.request.path} in process {os.getpid()}", 404
