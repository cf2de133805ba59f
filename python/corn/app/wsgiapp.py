# SPDX-License-Identifier: Apache-2.0
"""The application that a command line names."""
import sys

from corn import launcher, util
from corn.app.base import Application
from corn.errors import ConfigError


class WSGIApplication(Application):
    """Loads APP, the command line's argument, or the setting wsgi_app."""

    app_uri = None

    def init(self, parser, opts, args):
        self.app_uri = None
        if args:
            self.app_uri = args[0]
            self.cfg.set("default_proc_name", args[0])

    def load_config(self):
        super().load_config()
        if self.app_uri is None:
            if self.cfg.wsgi_app is None:
                raise ConfigError("no application is named; write it as MODULE:CALLABLE behind the "
                                  "options, or set wsgi_app")
            self.app_uri = self.cfg.wsgi_app

    def load_wsgiapp(self):
        return util.import_app(self.app_uri)

    def load(self):
        return self.load_wsgiapp()


def run(prog=None):
    """What the command does: becomes arbiterd with this process's arguments. `prog` is ignored."""
    del prog
    launcher.run_arbiterd(sys.argv[1:])


if __name__ == "__main__":
    run()
