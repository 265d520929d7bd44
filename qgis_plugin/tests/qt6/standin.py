"""QGIS 4 as far as its published type stubs describe it, on a real PyQt6.

There is no QGIS 4 to test in where these tests run. The stubs name every class, enumeration, method and argument of
its Python API; from them come classes that inherit from the real Qt 6 classes, refuse names and arguments that QGIS 4
does not have, and otherwise answer with something empty of the right type. So the plugin's own code runs on Qt 6, and
each of its calls is checked for being possible; what QGIS 4 does in answer is not.
"""

from __future__ import annotations

import ast
import enum
import importlib
import sys
import types
from functools import cache
from importlib.metadata import distribution
from typing import Any, NamedTuple

from PyQt6 import QtCore, QtGui, QtWidgets

QT = {"QtCore": QtCore, "QtGui": QtGui, "QtWidgets": QtWidgets}
PLAIN = {"str": str, "bool": bool, "int": int, "float": float, "list": list, "dict": dict}
EXCEPTIONS = ("QgsCsException", "QgsProcessingException")  # made by hand in QGIS, so not in the stubs
ADDED = {"QgsTask": "fromFunction"}  # added in Python when QGIS starts
OWN = "__init__"


class ApiModule(types.ModuleType):
    """qgis.core or qgis.gui: its names are those of the stub."""

    def __init__(self, name: str, stub: str) -> None:
        super().__init__(name)
        text = distribution("qgis-stubs").locate_file(f"qgis-stubs/{stub}.pyi").read_text(encoding="utf-8")
        self._classes = {node.name: node for node in ast.parse(text).body if isinstance(node, ast.ClassDef)}
        for exception in EXCEPTIONS if stub == "_core" else ():
            setattr(self, exception, type(exception, (Exception,), {}))

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name not in self._classes:
            raise AttributeError(f"{self.__name__} of QGIS 4 has no {name}")
        made = make_class(self._classes[name], self.__name__)
        if name in ADDED:
            setattr(made, ADDED[name], staticmethod(lambda *arguments, **named: made(*arguments[:1])))
        setattr(self, name, made)
        return made


def install() -> None:
    """Put the stand-ins where `import qgis.core` and its like find them."""
    names = ("qgis", "qgis.PyQt", "processing", "osgeo", "osgeo.gdal")
    sys.modules.update({name: types.ModuleType(name) for name in names})
    sys.modules["osgeo"].gdal = sys.modules["osgeo.gdal"]
    sys.modules.update({f"qgis.PyQt.{name}": module for name, module in QT.items()})
    for name, stub in (("core", "_core"), ("gui", "_gui")):
        sys.modules[f"qgis.{name}"] = ApiModule(f"qgis.{name}", stub)
        setattr(sys.modules["qgis"], name, sys.modules[f"qgis.{name}"])


class Outer(NamedTuple):
    """The class around a nested one, which is still being made."""

    name: str
    members: dict[str, Any]


def _base(expression: ast.expr, module: str, outer: Outer | None) -> Any:
    owner, _, name = ast.unparse(expression).strip("'").rpartition(".")
    if outer is not None and owner == outer.name:
        return outer.members.get(name)
    return resolve(expression, module)


def make_class(node: ast.ClassDef, module: str, outer: Outer | None = None) -> type:
    """A class of QGIS with its real Qt parents, its enumerations and signals, and methods that answer emptily."""
    bases = tuple(base for base in (_base(base, module, outer) for base in node.bases) if base is not None)
    methods: dict[str, list[ast.FunctionDef]] = {}
    members: dict[str, Any] = {"__module__": module}
    for item in node.body:
        if isinstance(item, ast.FunctionDef):
            methods.setdefault(item.name, []).append(item)
        elif isinstance(item, ast.ClassDef) and ast.unparse(item.bases[0]) == "int":
            members[item.name] = enumeration(item)
        elif isinstance(item, ast.ClassDef) and item.name.removesuffix("s") not in members:
            members[item.name] = make_class(item, module, Outer(node.name, members))
        elif isinstance(item, ast.AnnAssign) and "pyqtSignal" in ast.unparse(item.annotation):
            members[item.target.id] = QtCore.pyqtSignal(object)
    known = {name for base in bases for name in dir(base) if not base.__module__.startswith("qgis")}
    for name, overloads in methods.items():
        if name == OWN:
            members[name] = initialiser(node.name, overloads, _qt_parent(bases))
        elif name not in known and not name.startswith("__"):
            members[name] = method(f"{node.name}.{name}", overloads, module)
    return types.new_class(node.name, bases, exec_body=lambda namespace: namespace.update(members))


def enumeration(node: ast.ClassDef) -> type[enum.IntFlag]:
    """A scoped enumeration; the stub tells the names of its members, not their values."""
    names = [target.id for item in node.body if isinstance(item, ast.Assign) for target in item.targets]
    return enum.IntFlag(node.name, {name: 1 << position for position, name in enumerate(names)})


def _qt_parent(bases: tuple[type, ...]) -> type | None:
    return next((one for base in bases for one in base.__mro__ if one.__module__.startswith("PyQt6")), None)


def initialiser(name: str, overloads: list[ast.FunctionDef], parent: type | None) -> Any:
    def initialise(self: Any, *arguments: Any, **named: Any) -> None:
        if parent is None and isinstance(self, QtCore.QObject):
            return  # called by Qt for a second parent, without arguments
        check_call(name, overloads, len(arguments), named)
        widgets = [one for one in arguments if isinstance(one, (str, QtWidgets.QWidget))]
        if parent is not None:
            parent.__init__(self, *(widgets if issubclass(parent, QtWidgets.QWidget) else ()))

    return initialise


def method(name: str, overloads: list[ast.FunctionDef], module: str) -> Any:
    is_static = any(ast.unparse(one) == "staticmethod" for one in overloads[0].decorator_list)

    def call(*arguments: Any, **named: Any) -> Any:
        check_call(name, overloads, len(arguments) - (not is_static), named)
        return answer(overloads[0].returns, module)

    return staticmethod(call) if is_static else call


def check_call(name: str, overloads: list[ast.FunctionDef], positional: int, named: dict[str, Any]) -> None:
    """Raise TypeError where no overload takes so many arguments, or one of this name."""
    if not any(_fits(one, positional, named) for one in overloads):
        raise TypeError(f"{name} of QGIS 4 does not take {positional} arguments and {sorted(named)}")


def _fits(overload: ast.FunctionDef, positional: int, named: dict[str, Any]) -> bool:
    takes = [one.arg for one in overload.args.args if one.arg != "self"]
    needed = takes[: len(takes) - len(overload.args.defaults)]
    given = [*takes[:positional], *named]
    return positional <= len(takes) and set(named) <= set(takes) and set(needed) <= set(given)


@cache
def _singleton(made: type) -> Any:
    return made()


def answer(annotation: ast.expr | None, module: str) -> Any:
    """Something empty of the annotated type; None where that cannot be made."""
    if isinstance(annotation, ast.Subscript) and ast.unparse(annotation.value) == "typing.Optional":
        return answer(annotation.slice, module)
    made = resolve(annotation, module) if annotation is not None else None
    if made is None or not isinstance(made, type):
        return None
    if issubclass(made, enum.IntFlag) or made in PLAIN.values():
        return made(0) if issubclass(made, enum.IntFlag) else made()
    try:
        return _singleton(made) if made.__module__.startswith("qgis") else made()
    except TypeError:  # an abstract class, or one that needs arguments
        return None


def resolve(expression: ast.expr, module: str) -> Any:
    """The class behind an expression in a stub: a Qt class, a class or enumeration of QGIS, a plain type, or None."""
    if isinstance(expression, ast.Constant):
        expression = ast.parse(str(expression.value), mode="eval").body
    if isinstance(expression, ast.Subscript):
        expression = expression.value
    words = ast.unparse(expression).split(".")
    if words[0] in QT:
        return getattr(QT[words[0]], words[1], None)
    if words[0] in PLAIN:
        return PLAIN[words[0]]
    if words[0] in ("_core", "_gui"):
        module, words = f"qgis{words[0].replace('_', '.')}", words[1:]
    made: Any = importlib.import_module(module) if words[0].startswith("Q") else None
    for word in words:  # a set of flags is named as its enumeration, with an s
        made = getattr(made, word, None) or getattr(made, word.removesuffix("s"), None)
    return made
