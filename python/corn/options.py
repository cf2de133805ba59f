# SPDX-License-Identifier: Apache-2.0
"""A command line in arbiterd's options, for scripts that read one themselves."""
import argparse


class OptionParser(argparse.ArgumentParser):
    """Namespace: one attribute a setting, None where the option isn't given, and `args`."""

    def __init__(self, settings, usage=None, prog=None):
        super().__init__(usage=usage, prog=prog, add_help=False)
        for setting in settings:
            if setting.flags:
                self.add_setting(setting)
        self.add_argument("args", nargs="*", metavar="APP", help=argparse.SUPPRESS)

    def add_setting(self, setting):
        options = {"dest": setting.name, "default": None, "help": setting.wanted.replace("%", "%%")}
        if setting.name == "help":
            options = {"action": "help", "help": "Print this text and exit."}
        elif setting.name == "version":
            from corn import __version__
            options = {"action": "version", "version": f"corn {__version__}"}
        elif setting.kind == "switch":
            options.update(action="store_const", const=setting.flag_value)
        elif setting.repeatable:
            options["action"] = "append"
        elif setting.optional_value:
            options.update(nargs="?", const="auto")
        self.add_argument(*setting.flags, **options)
