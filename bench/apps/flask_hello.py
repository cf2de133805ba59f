# SPDX-License-Identifier: Apache-2.0
"""What many a service begins with; its framework is what its workers' memory is made of."""
import flask

application = flask.Flask(__name__)


@application.get("/")
def hello():
    return "Hello World"
