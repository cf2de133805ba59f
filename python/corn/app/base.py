# SPDX-License-Identifier: Apache-2.0
"""Applications that configure and run the server from Python."""
import importlib
import importlib.machinery
import importlib.util
import os
import sys
import traceback

from corn import launcher, script
from corn.config import Config
from corn.errors import ConfigError

EXIT_CONFIGURATION = 2
MODULE_NAME = "__config__"  # what a configuration file sees as __name__
STARTED_IN = os.getcwd()    # relative paths of the command line start here, on reload too


class BaseApplication:
    """Override load_config() to set what is to be set, and load() to make the application.

    load_config() is called when an object is made, once more at start and at each reload, always by
    itself in a process of its own; load() in each worker, or once before they are forked with
    `preload_app`. In both, and in hooks, what the script has made before run() is there.
    """

    # Whether CORN_CMD_ARGS is read in load_config(), and so not by arbiterd.
    reads_command_line = False

    def __init__(self, usage=None, prog=None):
        self.usage = usage
        self.prog = prog
        self.cfg = None
        self.callable = None
        self.logger = None
        self.do_load_config()

    def do_load_config(self):
        """A fresh cfg with what load_config() sets; SystemExit, with the reason, if it can't."""
        try:
            self.corn_reload_config()
        except Exception as error:
            traceback.print_exception(error)
            reason = str(error) or type(error).__name__
            launcher.fail(f"the configuration cannot be loaded: {reason}", EXIT_CONFIGURATION)

    def load_default_config(self):
        self.cfg = Config(self.usage, prog=self.prog)

    def init(self, parser, opts, args):
        raise NotImplementedError

    def load(self):
        raise self.missing("load() is to be defined, and to return the application")

    def load_config(self):
        raise self.missing("load_config() is to be defined, and to set what is to be set: "
                           "self.cfg.set(NAME, VALUE)")

    def missing(self, what):
        return NotImplementedError(f"in {type(self).__qualname__}, {what}")

    def reload(self):
        self.do_load_config()

    def wsgi(self):
        """The application that load() returns, which is called once in a process."""
        if self.callable is None:
            self.callable = self.load()
        return self.callable

    def run(self):
        """Becomes the arbiter. Leaves by SystemExit with its status when that has ended."""
        script.run(self)

    # ---- what the engine asks for ----

    def corn_reload_config(self):
        """A fresh cfg with what load_config() sets; its exceptions come out."""
        self.load_default_config()
        self.load_config()

    def corn_values(self):
        """[(name, JSON value or "", type's name, line of the script or 0)] of what is set."""
        return self.cfg.given_values()


class Application(BaseApplication):
    """Reads the command line and a configuration file as arbiterd does."""

    reads_command_line = True

    def chdir(self):
        directory = os.path.join(STARTED_IN, self.cfg.chdir or "")
        try:
            os.chdir(directory)
        except OSError as error:
            raise ConfigError(f"chdir: {directory}: {error.strerror}") from None
        if directory not in sys.path:
            sys.path.insert(0, directory)

    def get_config_from_filename(self, filename):
        """The names that a Python file assigns."""
        filename = os.path.join(STARTED_IN, filename)
        if not os.path.exists(filename):
            raise RuntimeError(f"{filename}: no such file; name an existing one with -c")
        if filename.endswith(".toml"):
            raise ConfigError(f"{filename}: a script that reads its own command line takes "
                              "configuration files in Python only")
        loader = importlib.machinery.SourceFileLoader(MODULE_NAME, filename)
        specification = importlib.util.spec_from_file_location(MODULE_NAME, filename, loader=loader)
        module = importlib.util.module_from_spec(specification)
        sys.modules[MODULE_NAME] = module
        # Not by the loader, which would take a second version of the same second from its cache.
        exec(compile(loader.get_data(filename), filename, "exec", dont_inherit=True),
             module.__dict__)
        return vars(module)

    def get_config_from_module_name(self, module_name):
        return vars(importlib.import_module(module_name))

    def load_config_from_module_name_or_filename(self, location):
        """Takes over the settings of "FILE", "file:FILE" or "python:MODULE"."""
        if location.startswith("python:"):
            values = self.get_config_from_module_name(location.removeprefix("python:"))
        else:
            values = self.get_config_from_filename(location.removeprefix("file:"))
        for name, value in values.items():
            if name in self.cfg.settings and not self.cfg.settings[name].invocation:
                self.cfg.set(name, value)
        return values

    def load_config_from_file(self, filename):
        return self.load_config_from_module_name_or_filename(f"file:{filename}")

    def load_config(self):
        parser = self.cfg.parser()
        options = parser.parse_args()
        for name, value in (self.init(parser, options, options.args) or {}).items():
            self.cfg.set(name.lower(), value)
        from_environment = parser.parse_args(self.cfg.get_cmd_args_from_env())
        location = options.config or from_environment.config
        if location is None and os.path.exists(os.path.join(STARTED_IN, "gunicorn.conf.py")):
            location = "gunicorn.conf.py"
        if location is not None:
            self.load_config_from_module_name_or_filename(location)
        for layer in (from_environment, options):
            for name, value in vars(layer).items():
                if name != "args" and value is not None:
                    self.cfg.set(name, value)
        if self.cfg.settings["chdir"].given:
            self.cfg.set("chdir", os.path.join(STARTED_IN, self.cfg.chdir))
        self.chdir()

    def run(self):
        for directory in self.cfg.pythonpath:
            directory = os.path.abspath(directory)
            if directory not in sys.path:
                sys.path.insert(0, directory)
        modes = [f"--{name.replace('_', '-')}" for name in ("check_config", "print_config")
                 if self.cfg.settings[name].get()]
        script.run(self, modes)
