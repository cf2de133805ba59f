# SPDX-License-Identifier: Apache-2.0
"""Evaluates a configuration file that is a Python module, and reports the names it assigns."""
import ast
import importlib
import importlib.util
import inspect
import json
import os
import sys
import traceback
import types

import _corn_hook_arguments as hook_arguments
import _corn_stand_ins as stand_ins

MODULE_NAME = "__config__"  # what the file sees as __name__, as under gunicorn
TAKE_CLASSES = ("worker_class", "logger_class")  # settings whose value may be a class


class Failure(Exception):
    """Text for the operator: "FILE:LINE: what", then the traceback."""


def describe(error, path):
    """Names the line of `path` that the error comes from, the innermost if there are several."""
    line = 0
    frames = error.__traceback__
    while frames is not None and frames.tb_frame.f_code.co_filename == __file__:
        frames = frames.tb_next
    walk = frames
    while walk is not None:
        if walk.tb_frame.f_code.co_filename == path:
            line = walk.tb_lineno
        walk = walk.tb_next
    if isinstance(error, SyntaxError) and error.filename == path:
        line, what = error.lineno or 0, f"{type(error).__name__}: {error.msg}"
    else:
        what = "".join(traceback.format_exception_only(type(error), error)).strip().splitlines()[-1]
        what += stand_ins.advice(error)
    place = f"{path}:{line}" if line else path
    text = "".join(traceback.format_exception(type(error), error, frames)).rstrip()
    return f"{place}: {what}\n{text}"


def evaluate_file(path):
    if not os.path.exists(path):
        raise Failure(f"{path}: no such file; name an existing one with -c")
    module = types.ModuleType(MODULE_NAME)
    module.__file__ = path
    sys.modules[MODULE_NAME] = module
    try:
        with open(path, "rb") as file:
            source = file.read()
        with stand_ins.for_a_file():
            exec(compile(source, path, "exec", dont_inherit=True), module.__dict__)
    except OSError as error:
        if error.filename == path and error.__traceback__.tb_next is None:
            raise Failure(f"{path}: cannot be read: {error.strerror}") from None
        raise Failure(describe(error, path)) from None
    except BaseException as error:
        raise Failure(describe(error, path)) from None
    return module, source


def evaluate_module(name):
    try:
        with stand_ins.for_a_file():
            module = importlib.import_module(name)
    except BaseException as error:
        raise Failure(describe(error, f"python:{name}")) from None
    try:
        with open(module.__file__, "rb") as file:
            return module, file.read()
    except (OSError, AttributeError, TypeError):
        return module, b""


def names_in(target):
    if isinstance(target, ast.Name):
        yield target.id
    elif isinstance(target, (ast.Tuple, ast.List)):
        for element in target.elts:
            yield from names_in(element)
    elif isinstance(target, ast.Starred):
        yield from names_in(target.value)


def bindings(statements):
    """(name, line) of everything the statements bind in their own scope, in order."""
    for node in statements:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            yield node.name, node.lineno
            continue
        targets = []
        if isinstance(node, ast.Assign):
            targets = node.targets
        elif isinstance(node, (ast.AugAssign, ast.AnnAssign, ast.For, ast.AsyncFor)):
            targets = [node.target]
        elif isinstance(node, (ast.With, ast.AsyncWith)):
            targets = [item.optional_vars for item in node.items if item.optional_vars]
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            for alias in node.names:
                yield (alias.asname or alias.name).split(".")[0], node.lineno
        for target in targets:
            for name in names_in(target):
                yield name, target.lineno
        for field in ("body", "orelse", "handlers", "finalbody", "cases"):
            for child in getattr(node, field, []):
                inner = isinstance(child, (ast.ExceptHandler, ast.match_case))
                yield from bindings(child.body if inner else [child])


def lines_of(source):
    try:
        return dict(bindings(ast.parse(source).body))
    except (SyntaxError, ValueError):
        return {}  # what was imported from elsewhere than its source


def plain(name, value):
    """A class by its name, where a setting takes both."""
    return stand_ins.class_path(value) if name in TAKE_CLASSES and inspect.isclass(value) else value


def json_form(value):
    """JSON text, or "" for what has none."""
    def plain(item):
        if isinstance(item, (set, frozenset)):
            return sorted(item, key=repr)
        raise TypeError
    try:
        return json.dumps(value, default=plain, allow_nan=False)
    except (TypeError, ValueError, RecursionError):
        return ""


def type_name(value):
    """Whatever can be a hook is a function."""
    function = callable(value) and not isinstance(value, type)
    return "function" if function else type(value).__name__


def load(location):
    """(module, source) of a path, file:PATH or python:MODULE."""
    if location.startswith("python:"):
        return evaluate_module(location[len("python:"):])
    return evaluate_file(location.removeprefix("file:"))


def evaluate(location):
    """([(name, JSON value or "", type name, line)], None), or (None, why not)."""
    try:
        module, source = load(location)
    except Failure as failure:
        return None, str(failure)
    lines = lines_of(source)
    problems = hook_arguments.problems(vars(module), lambda name: f"{location}:{lines.get(name, 0)}")
    if problems:
        return None, "\n".join(problems)
    return [(name, json_form(plain(name, value)), type_name(value), lines.get(name, 0))
            for name, value in vars(module).items()
            if not name.startswith("_") and not isinstance(value, types.ModuleType)], None


def namespace(location):
    """(what the file defines, None), or (None, why not). It stays as it is evaluated here."""
    try:
        return vars(load(location)[0]), None
    except Failure as failure:
        return None, str(failure)


def script_values(application):
    """The same as evaluate(), of a script."""
    try:
        application.corn_reload_config()
        return list(application.corn_values()), None
    except BaseException as error:
        return None, describe(error, getattr(sys.modules.get("__main__"), "__file__", "script"))


def reload_script(application):
    """(None, None), or (None, why the configuration can't be had)."""
    try:
        application.corn_reload_config()
        return None, None
    except BaseException as error:
        return None, describe(error, getattr(sys.modules.get("__main__"), "__file__", "script"))
