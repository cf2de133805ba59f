# SPDX-License-Identifier: Apache-2.0
"""Settings as a script sees them: `cfg.set("workers", 4)`, `cfg.workers`.

What the settings are is arbiterd's table. A value is brought into its setting's type here, so that a
wrong one is told where it is set; ranges and everything else are checked by arbiterd.
"""
import grp
import importlib
import inspect
import json
import os
import pwd
import shlex
import sys

from corn import settings_table
from corn.options import OptionParser

PACKAGE = os.path.dirname(os.path.abspath(__file__))

# How many positional arguments a hook is called with; the first number is what Corn prefers.
HOOK_ARGUMENTS = {
    "on_starting": (1,), "on_reload": (1,), "when_ready": (1,), "on_exit": (1,), "pre_exec": (1,),
    "pre_fork": (2,), "post_fork": (2,), "post_worker_init": (1,), "worker_int": (1,),
    "worker_abort": (1,), "pre_request": (2,), "post_request": (4, 3, 2), "child_exit": (2,),
    "worker_exit": (2,), "nworkers_changed": (3,), "ssl_context": (2,),
}


def switch(value):
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.strip().lower() in ("true", "false"):
        return value.strip().lower() == "true"
    raise ValueError


def whole(value):
    if isinstance(value, str):
        return int(value.strip(), 0)
    if isinstance(value, float) and not value.is_integer():
        raise ValueError
    return int(value)


def number(value):
    if isinstance(value, str):
        value = float(value)
    if not isinstance(value, (int, float)):
        raise TypeError
    return int(value) if float(value).is_integer() else float(value)


def mask(value):
    if not isinstance(value, str):
        return whole(value)
    text = value.strip()
    return int(text, 0) if text.lower().startswith(("0x", "0o", "0b")) else int(text, 8)


def text(value):
    if inspect.isclass(value):
        return class_path(value)
    if isinstance(value, os.PathLike):
        value = os.fspath(value)
    if not isinstance(value, str):
        raise TypeError
    return value.strip()


def class_path(value):
    """A worker class by its path, which for those of this package is gunicorn's."""
    path = f"{value.__module__}.{value.__qualname__}"
    return "gunicorn." + path.removeprefix("corn.") if path.startswith("corn.") else path


def texts(value):
    if isinstance(value, (str, os.PathLike)):
        return [text(value)] if value else []
    return [text(item) for item in value]


def comma_texts(value):
    if isinstance(value, str):
        return [item.strip() for item in value.split(",") if item.strip()]
    return texts(value)


def dictionary(value):
    if isinstance(value, dict):
        return dict(value)
    return dict(item.split("=", 1) for item in comma_texts(value))


def byte_size(value):
    return value.strip() if isinstance(value, str) else number(value)


def surge(value):
    return value.strip() if isinstance(value, str) else whole(value)


CONVERSIONS = {
    "switch": switch, "whole": whole, "seconds": number, "fraction": number, "bytes": byte_size,
    "mask": mask, "text": text, "choice": text, "list": texts, "comma-list": comma_texts,
    "dictionary": dictionary, "object": dict, "surge": surge,
}


def imported(path):
    """The function that "package.module.function" names; None where there is none."""
    module, _, name = path.rpartition(".")
    return getattr(importlib.import_module(module), name, None) if module else None


def check_hook(name, value):
    if isinstance(value, str):
        value = imported(value) or value
    if not callable(value):
        raise TypeError(f"{name} = {value!r}: a function is wanted")
    counts = HOOK_ARGUMENTS.get(name, ())
    try:
        signature = inspect.signature(value)
    except (TypeError, ValueError):
        return value  # a builtin that doesn't tell
    for count in counts:
        try:
            signature.bind(*range(count))
            return value
        except TypeError:
            continue
    if counts:
        wanted = " or ".join(map(str, counts))
        raise TypeError(f"{name} = {value!r}: a function of {wanted} arguments is wanted")
    return value


class Setting:
    """One setting and its value."""

    def __init__(self, name, kind, default, wanted="", flags=(), flag_value=True, repeatable=False,
                 optional_value=False, numeric_text=False, invocation=False, gunicorn=True,
                 minimum=0, maximum=None, choices=()):
        self.name, self.kind, self.wanted = name, kind, wanted
        self.default = default
        self.flags, self.flag_value = tuple(flags), flag_value
        self.repeatable, self.optional_value = repeatable, optional_value
        self.numeric_text, self.invocation, self.gunicorn = numeric_text, invocation, gunicorn
        self.minimum, self.maximum, self.choices = minimum, maximum, tuple(choices)
        self.value = default.copy() if isinstance(default, (list, dict)) else default
        self.given = False  # whether set() was called
        self.line = 0       # of the script, where it was; 0: not known

    def get(self):
        return self.value

    def set(self, value):
        self.value = self.converted(value)
        self.given = value is not None

    def converted(self, value):
        if value is None:
            return None
        if self.kind == "hook":
            return check_hook(self.name, value)
        if self.numeric_text and isinstance(value, int) and not isinstance(value, bool):
            return value
        try:
            result = CONVERSIONS[self.kind](value)
            if isinstance(result, (int, float)) and not isinstance(result, bool) and \
                    result < self.minimum:
                raise ValueError
        except (TypeError, ValueError, OverflowError) as error:
            raise type(error)(f"{self.name} = {value!r}: {self.wanted} is wanted") from None
        return result


def line_of_script():
    """The line of the script that has called into this package; 0 if another file did."""
    script = getattr(sys.modules.get("__main__"), "__file__", None)
    frame = sys._getframe(1)
    while frame is not None:
        path = frame.f_code.co_filename
        if not os.path.abspath(path).startswith(PACKAGE + os.sep):
            same = script is not None and os.path.abspath(path) == os.path.abspath(script)
            return frame.f_lineno if same else 0
        frame = frame.f_back
    return 0


def make_settings(ignore=None):
    """Every setting with its default, by name."""
    return {row["name"]: Setting(**row) for row in settings_table.SETTINGS
            if row["name"] not in (ignore or ())}


class Config:
    """Every setting, each readable as an attribute."""

    def __init__(self, usage=None, prog=None):
        self.settings = make_settings()
        self.usage = usage
        self.prog = prog or os.path.basename(sys.argv[0] if sys.argv else "corn")
        self.env_orig = dict(os.environ)

    def __getattr__(self, name):
        settings = self.__dict__.get("settings", {})
        if name not in settings:
            raise AttributeError(f"there is no setting {name!r}")
        return settings[name].get()

    def __setattr__(self, name, value):
        if name != "settings" and name in self.__dict__.get("settings", {}):
            raise AttributeError(f"{name} is set by cfg.set({name!r}, value)")
        super().__setattr__(name, value)

    def __str__(self):
        return "\n".join(f"{name} = {setting.get()!r}"
                         for name, setting in sorted(self.settings.items()))

    def set(self, name, value):
        """Gives a setting a value; None gives it none. AttributeError: there is no such setting."""
        if name not in self.settings:
            raise AttributeError(f"there is no setting {name!r}; "
                                 "docs/SETTINGS.md and `arbiterd --help` list all")
        setting = self.settings[name]
        setting.set(value)
        setting.line = line_of_script()

    def parser(self):
        """Reads options as arbiterd does."""
        return OptionParser(self.settings.values(), self.usage, self.prog)

    def get_cmd_args_from_env(self):
        """The options that the environment gives, strongest variable only."""
        for variable in ("CORN_CMD_ARGS", "GUNICORN_CMD_ARGS"):
            if variable in self.env_orig:
                return shlex.split(self.env_orig[variable])
        return []

    def given_values(self):
        """[(name, JSON or "", type's name, line)] of what was set and is left to arbiterd to do."""
        return [(name, json_form(setting), type_name(setting.get()), setting.line)
                for name, setting in self.settings.items()
                if setting.given and not setting.invocation and name != "daemon"]

    # ---- what gunicorn derives ----

    @property
    def worker_class_str(self):
        name = self.settings["worker_class"].get()
        return "gthread" if name == "sync" and self.threads > 1 else name

    @property
    def address(self):
        from corn.util import parse_address
        return [parse_address(address) for address in self.bind]

    @property
    def proc_name(self):
        return self.settings["proc_name"].get() or self.settings["default_proc_name"].get()

    @property
    def uid(self):
        return account_number(self.user, pwd.getpwnam, os.geteuid())

    @property
    def gid(self):
        return account_number(self.group, grp.getgrnam, os.getegid())

    @property
    def env(self):
        return dict(item.split("=", 1) for item in self.raw_env if "=" in item)

    @property
    def is_ssl(self):
        return bool(self.certfile or self.keyfile)


def account_number(name, find, own):
    """Of a user or group given by name, by number or not at all."""
    if name is None or name == "":
        return own
    return int(name) if str(name).isdigit() else find(name)[2]


def json_form(setting):
    if setting.kind == "hook":
        return ""
    try:
        return json.dumps(setting.get(), allow_nan=False)
    except (TypeError, ValueError, RecursionError):
        return ""


def type_name(value):
    return "function" if callable(value) else type(value).__name__
