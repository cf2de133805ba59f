# SPDX-License-Identifier: Apache-2.0
"""Finds the application that a specification names, or says in words why it can't be had.

    module             the callable "application" of the module
    module:name        a callable; dots lead into objects
    module:name(args)  what the callable returns; the arguments are literals

Modules that only some applications or failures need are imported where they are needed: a worker
that replaces a dead one has milliseconds to load.
"""
import os
import sys

CO_COROUTINE = 0x80  # of inspect: the flag of "async def" in co_flags
MOST_NAMES = 12  # callables listed when the one asked for is missing


class Failure(Exception):
    """A sentence for the operator; a traceback of the application's follows where there is one."""


def own_traceback(error):
    """The part of a traceback that is the application's."""
    frames = error.__traceback__
    while frames is not None and frames.tb_frame.f_code.co_filename == __file__:
        frames = frames.tb_next
    return frames


def summary(error):
    import traceback
    return "".join(traceback.format_exception_only(type(error), error)).strip().splitlines()[-1]


def with_traceback(sentence, error):
    frames = own_traceback(error)
    if frames is None and not isinstance(error, SyntaxError):
        return sentence
    import traceback
    lines = traceback.format_exception(type(error), error, frames)
    return sentence + "\n" + "".join(lines).rstrip()


def split(specification):
    module, colon, expression = specification.partition(":")
    if not module or (colon and not expression):
        raise Failure(f"{specification!r} names no application; write it as module:callable, "
                      "for example wsgi:application")
    return module, expression or "application"


def parse(expression):
    """The dotted name, and the arguments of a call to it or None."""
    wrong = Failure(
        f"{expression!r} is neither a name nor a call of one; after the colon goes "
        "a callable's name, or name(arguments) with literal arguments")
    names = expression.split(".")
    if all(name.isidentifier() for name in names):
        return names, None
    import ast
    try:
        node = ast.parse(expression.strip(), mode="eval").body
    except (SyntaxError, ValueError):
        raise wrong from None
    arguments = None
    if isinstance(node, ast.Call):
        try:
            arguments = ([ast.literal_eval(argument) for argument in node.args],
                         {keyword.arg: ast.literal_eval(keyword.value)
                          for keyword in node.keywords})
        except ValueError:
            raise Failure(f"the arguments in {expression!r} must be literals: strings, numbers, "
                          "tuples, lists, dicts, sets, True, False, None") from None
        if None in arguments[1]:
            raise wrong
        node = node.func
    names = []
    while isinstance(node, ast.Attribute):
        names.insert(0, node.attr)
        node = node.value
    if not isinstance(node, ast.Name):
        raise wrong
    return [node.id, *names], arguments


def cannot_import(name, error):
    return with_traceback(f"cannot import module {name!r}: {summary(error)}", error)


def import_module(name, expression):
    try:
        # Unlike importlib.import_module, leaves the import system out of tracebacks.
        __import__(name)
        return sys.modules[name]
    except ModuleNotFoundError as error:
        if error.name is None or not (name == error.name or name.startswith(error.name + ".")):
            raise Failure(cannot_import(name, error)) from None
        if name.endswith(".py") and os.path.exists(name):
            module = name[:-len(".py")].strip("./").replace("/", ".")
            raise Failure(f"cannot import module {name!r}: a module is named without its ending; "
                          f"did you mean '{module}:{expression}'?") from None
        raise Failure(f"cannot import module {name!r}: {summary(error)}; "
                      f"looked in {os.getcwd()}, on sys.path and among the installed packages "
                      "(see --chdir, --pythonpath and --venv)") from None
    except SystemExit as error:
        raise Failure(with_traceback(
            f"module {name!r} called sys.exit({error.code!r}) while it was imported",
            error)) from None
    except BaseException as error:
        raise Failure(cannot_import(name, error)) from None


def callables_of(owner):
    """Names worth suggesting: what the module defines itself, before what it has imported."""
    home = getattr(owner, "__name__", None)
    own, foreign = [], []
    for name, value in sorted(vars(owner).items() if hasattr(owner, "__dict__") else ()):
        if name.startswith("_") or not callable(value):
            continue
        named = isinstance(getattr(value, "__qualname__", None), str)  # a class or function
        imported = named and getattr(value, "__module__", home) != home
        (foreign if imported else own).append(name)
    names = own or foreign
    return ", ".join(names[:MOST_NAMES]) + (", ..." if len(names) > MOST_NAMES else "") or "none"


def look_up(module, names):
    found, path = module, f"module {module.__name__!r}"
    for name in names:
        try:
            found, path = getattr(found, name), f"{name!r} of {path}"
        except AttributeError:
            raise Failure(f"{path} has no attribute {name!r}; "
                          f"callables there: {callables_of(found)}") from None
        except BaseException as error:
            raise Failure(with_traceback(f"cannot get {name!r} of {path}: {summary(error)}",
                                         error)) from None
    return found


def called_with_wrong_arguments(error):
    return isinstance(error, TypeError) and own_traceback(error) is None


def call(factory, expression, arguments):
    if not callable(factory):
        raise Failure(f"{expression!r} calls what is not callable, "
                      f"but of type {type(factory).__name__!r}")
    try:
        application = factory(*arguments[0], **arguments[1])
    except BaseException as error:
        if called_with_wrong_arguments(error):
            raise Failure(f"{expression!r} calls the factory with wrong arguments: "
                          f"{summary(error)}") from None
        raise Failure(with_traceback(f"factory {expression!r} failed: {summary(error)}",
                                     error)) from None
    if application is None:
        raise Failure(f"factory {expression!r} returned None instead of an application")
    return application


def check_wsgi(application, specification):
    """An async callable would fail in every request only."""
    candidates = (application, getattr(type(application), "__call__", None))
    functions = [candidate for candidate in candidates if isinstance(candidate, type(check_wsgi))]
    if any(function.__code__.co_flags & CO_COROUTINE for function in functions):
        raise Failure(f"{specification!r} is an async (ASGI) application; "
                      "run it with the worker class asgi (-k asgi)")


def check_asgi(application, specification):
    """A WSGI application would fail in every request only."""
    for candidate in (application, getattr(type(application), "__call__", None)):
        code = getattr(candidate, "__code__", None)
        if isinstance(candidate, type(check_asgi)) and not code.co_flags & CO_COROUTINE:
            own = 1 if candidate is not application else 0
            names = code.co_varnames[own:code.co_argcount]
            if len(names) == 2 or names[-1:] == ("start_response",):
                raise Failure(f"{specification!r} is a WSGI application; run it with the worker "
                              "class sync or gthread (-k sync)")


def load(specification, interface):
    """(application, None), or (None, why not). `interface`: "wsgi" or "asgi"."""
    try:
        module_name, expression = split(specification)
        names, arguments = parse(expression)
        module = import_module(module_name, expression)
        application = look_up(module, names)
        if arguments is not None:
            application = call(application, expression, arguments)
        if not callable(application):
            raise Failure(f"{specification!r} is not callable, "
                          f"but of type {type(application).__name__!r}; "
                          f"callables of module {module_name!r}: {callables_of(module)}")
        if interface == "wsgi":
            check_wsgi(application, specification)
        elif interface == "asgi":
            check_asgi(application, specification)
        return application, None
    except Failure as failure:
        return None, str(failure)


def load_script(script, interface):
    """The same of an application of the Python API, whose wsgi() calls load()."""
    name = f"{type(script).__qualname__}.load()"
    try:
        try:
            application = script.wsgi()
        except BaseException as error:
            raise Failure(with_traceback(f"{name} failed: {summary(error)}", error)) from None
        if not callable(application):
            raise Failure(f"{name} returned no application, "
                          f"but an object of type {type(application).__name__!r}")
        if interface == "wsgi":
            check_wsgi(application, name)
        return application, None
    except Failure as failure:
        return None, str(failure)
