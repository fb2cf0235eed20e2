"""Cuts a definition out of a notebook's cells or a script, with all that it uses, as a text that stands on its own."""

from __future__ import annotations
import __future__

import ast
import inspect
import linecache
import re
import sys
import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from functools import partial
from pathlib import Path
from symtable import SymbolTable, symtable
from types import BuiltinFunctionType, CodeType, FunctionType, ModuleType
from typing import Any

import torch
from torch import nn

from fittingroom.models.executed import SHOWN, on_disk
from fittingroom.spec.errors import FittingroomError

FUTURE = "from __future__ import annotations"  # what is only said about types need not be there
COMPREHENSIONS = ("listcomp", "setcomp", "dictcomp", "genexpr")
PLAIN = (type(None), bool, int, float, str, tuple, list, dict)
WAY_OUT = "put it into a file, or make it inside of the network"
Definition = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda


def excerpt(network: Any) -> tuple[str, str]:
    """The name of a class or a function, and a text that defines it and all that it uses.

    Raises `FittingroomError` that names what cannot be written down.
    """
    found = Excerpt()
    return found.define(network), found.text


@dataclass
class Part:
    """One definition: its text, and the names that it needs at once, and when it is called."""

    value: Any
    text: str = ""
    at_once: set[str] = field(default_factory=set)
    later: set[str] = field(default_factory=set)


@dataclass(frozen=True)
class File:
    """A text that something is defined in."""

    text: str
    tree: ast.Module

    def holds(self, codes: list[CodeType]) -> bool:
        """Whether the text, compiled, gives these codes: a file may have been changed since it was executed."""
        if not codes:
            return True
        # a notebook's cell may await
        flags = codes[0].co_flags & __future__.annotations.compiler_flag | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
        compiled = list(_inside(compile(self.text, "<excerpt>", "exec", flags, dont_inherit=True)))
        return all(
            any(_same(one, code) and one.co_firstlineno == code.co_firstlineno for one in compiled) for code in codes
        )

    def cut(self, node: Definition) -> str:
        """The text of one definition."""
        if isinstance(node, ast.Lambda):
            return ast.unparse(node)
        # splitlines() knows ends that Python does not
        lines = self.text.split("\n")[_first_line(node) - 1 : node.end_lineno]
        text = textwrap.dedent("\n".join(lines)).rstrip()
        if ast.dump(ast.parse(text).body[0]) != ast.dump(node):  # a text of several lines, inside of an `if`
            return ast.unparse(node)
        return text


class Excerpt:
    """Collects definitions, each with what it uses: functions, classes, imports, and constants by their values."""

    def __init__(self) -> None:
        self.imports: set[str] = set()
        self.imported: dict[str, Any] = {}  # by the names that imports bind
        self.parts: dict[str, Part] = {}
        self.files: dict[str, File] = {}  # that something was cut out of

    @property
    def text(self) -> str:
        """All of it, each part behind those that it needs."""
        texts = [self.parts[name].text for name in _ordered(self.parts)]
        constants = [text for text in texts if "\n" not in text]
        if constants != texts[: len(constants)]:  # one of them needs a definition
            constants = []
        blocks = [FUTURE] * any(map(_speaks_of_types, texts))
        whole = [line for line in self.imports if not any(other.startswith(f"{line}.") for other in self.imports)]
        imports = sorted(whole, key=lambda line: (line.startswith("from"), line))
        blocks += ["\n".join(lines) for lines in (imports, constants) if lines]
        return "\n\n\n".join(["\n\n".join(blocks)] * bool(blocks) + texts[len(constants) :]) + "\n"

    def define(self, value: Any, name: str = "") -> str:
        """Take up a class or a function with all that it uses; its name in the text."""
        inner = inspect.unwrap(value)
        if not isinstance(inner, type | FunctionType):
            raise FittingroomError(f"{name or value!r} is a {type(inner).__name__}; that has no text: {WAY_OUT}")
        space = _space(inner)
        own_name: str = value.__qualname__.rpartition("<locals>.")[2]
        if own_name == "<lambda>":
            known = (key for key, found in sorted(space.items()) if found is value)
            own_name = name or next(known, "network")
        outer, _, path = own_name.partition(".")
        if path:  # inside of a class, which is taken up as a whole
            if at(space.get(outer), path) is not value:
                raise FittingroomError(f"{own_name} is another by now; run again what defines it")
            self.define(space[outer])
            return own_name
        if self._is_there(own_name, value):
            return own_name
        _refuse_bound(inner, own_name)
        node, text = self._cut(inner)
        _refuse_moved(inner, node, own_name)
        part = self.parts[own_name] = Part(value, f"{own_name} = {text}" if isinstance(node, ast.Lambda) else text)
        part.at_once, part.later = references(part.text)
        for used in sorted(part.at_once | part.later):
            if used in space and used != own_name and not (used.startswith("__") and used.endswith("__")):
                self._take(used, space[used], f"{own_name} uses {used}, which", node)
        return own_name

    def expression(self, value: Any, label: str) -> tuple[str, set[str]]:
        """`value` as an expression, and the parts that it needs. `label` begins the refusal of what cannot be written."""
        needs: set[str] = set()

        def inside(value: Any) -> str:
            text, more = self.expression(value, label)
            needs.update(more)
            return text

        kind = type(value)
        if kind is float:
            text = repr(value) if value - value == 0 else f'float("{value}")'
        elif kind in (tuple, list):
            parts = ", ".join(map(inside, value)) + "," * (kind is tuple and len(value) == 1)
            text = f"({parts})" if kind is tuple else f"[{parts}]"
        elif kind is dict:
            text = "{" + ", ".join(f"{inside(key)}: {inside(part)}" for key, part in value.items()) + "}"
        elif kind in PLAIN:
            text = repr(value)
        elif kind is torch.dtype:
            self.use_module("torch", torch)
            text = repr(value)
        elif kind is partial:
            self.use_module("functools", sys.modules["functools"])
            given = [*map(inside, (value.func, *value.args)), *(f"{k}={inside(v)}" for k, v in value.keywords.items())]
            text = f"functools.partial({', '.join(given)})"
        elif isinstance(value, Enum):
            text = f"{inside(kind)}.{value.name}"
        elif not _is_definition(value):
            raise FittingroomError(f"{label} is a {kind.__name__}; that cannot be written down: {WAY_OUT}")
        elif value.__module__ == "builtins":
            text = value.__name__
        elif getattr(nn, name := value.__name__, None) is value:
            self.use_module("nn", nn)
            text = f"nn.{name}"
        elif found := _importable(value):
            self.use_module(found[0].partition(".")[0], sys.modules[found[0].partition(".")[0]])
            self.imports.add(f"import {found[0]}")
            text = ".".join(found)
        else:
            text = self.define(value)
            needs.add(text.partition(".")[0])
        return text, needs

    def _take(self, name: str, value: Any, label: str, user: ast.AST) -> None:
        """Take up what the global `name` means to the definition `user`."""
        if isinstance(value, ModuleType):
            self.use_module(name, value, user)
        elif self._is_there(name, value):
            return
        elif _is_definition(value) and (found := _importable(value)):
            module, own_name = found
            self._bind(name, value, f"from {module} import {own_name}" + f" as {name}" * (name != own_name))
        elif _is_definition(value) and value.__module__ != "builtins":
            if (defined := self.define(value, name)) != name:
                self.parts[name] = Part(value, f"{name} = {defined}", {defined.partition(".")[0]})
        elif type(value) not in PLAIN and (line := self._written(name, value)):
            self._bind(name, value, line)
        else:
            part = self.parts[name] = Part(value)
            try:
                text, part.at_once = self.expression(value, label)
            except RecursionError:
                raise FittingroomError(f"{label} holds itself; that cannot be written down: {WAY_OUT}") from None
            part.text = f"{name} = {text}"

    def _is_there(self, name: str, value: Any) -> bool:
        """Whether `name` is known. Raises `FittingroomError` if it means something else."""
        if name not in self.parts and name not in self.imported:
            return False
        known = self.parts[name].value if name in self.parts else self.imported[name]
        if known is not value and not (type(known) is type(value) and type(value) in PLAIN and known == value):
            raise FittingroomError(f'"{name}" means two things in what the network uses; give one of them another name')
        return True

    def _bind(self, name: str, value: Any, line: str) -> None:
        self._is_there(name, value)
        self.imports.add(line)
        self.imported[name] = value

    def use_module(self, name: str, module: ModuleType, user: ast.AST | None = None) -> None:
        """The import of a module under this name, and of those inside it that `user` reaches through it."""
        path = module.__name__
        above, _, last = path.rpartition(".")
        if name != path:
            line = f"from {above} import {last}" if name == last else f"import {path} as {name}"
            self._bind(name, module, line)
            return
        for inside in (path, *(_reached(user, path) if user else ())):
            self._bind(name, module, f"import {inside}")

    def _written(self, name: str, value: Any) -> str | None:
        """The line by which `name` was imported, where one of the texts at hand has it and it still gives `value`."""
        for file in (*self.files.values(), *_cells()):
            for node in ast.walk(file.tree):
                if isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
                    for alias in node.names:
                        real = name if alias.name == "*" else alias.name
                        bound = alias.asname or real
                        if bound == name and getattr(sys.modules.get(node.module), real, None) is value:
                            return f"from {node.module} import {real}" + f" as {name}" * (real != name)
        return None

    def _cut(self, value: type | FunctionType) -> tuple[Definition, str]:
        """The definition of a class or a function in the text that it came from, and as a text of its own.

        Raises `FittingroomError` if the text is not to be found, or does not say what `value` does.
        """
        codes = [f.__code__ for _, f in _functions(value)]
        if codes:
            files = self._file(codes[0].co_filename)
        else:  # a class without functions does not know where it is from
            module = sys.modules.get(value.__module__)
            files = [*self.files.values(), *_cells(), *self._file(getattr(module, "__file__", None) or "")]
        texts: dict[str, Definition] = {}
        for file in (file for file in files if file.holds(codes)):
            for node in ast.walk(file.tree):
                if isinstance(node, Definition) and _defines(node, value, codes):
                    texts[file.cut(node)] = node
            if texts and not codes:
                break  # the newest
        if len(texts) != 1:
            why = "there are several of that name" if texts else "it was changed since, or is not to be found"
            raise FittingroomError(
                f"the text of {value.__name__} cannot be had, {why}: run its cell or script once more, or put it into a file"
            )
        [(text, node)] = texts.items()
        return node, text

    def _file(self, name: str) -> list[File]:
        if name not in self.files and (file := _parsed(name)):
            self.files[name] = file
        return [self.files[name]] if name in self.files else []


def at(value: Any, path: str) -> Any:
    """The attribute at the end of a path of names; None where there is none."""
    for name in path.split("."):
        value = getattr(value, name, None)
    return value


def references(text: str) -> tuple[set[str], set[str]]:
    """The globals that a definition uses when it is executed, and those that only its functions use.

    >>> [sorted(names) for names in references("class Net(Base):\\n    width = W\\n    def forward(self, x): return x * K")]
    [['Base', 'W'], ['K']]
    """
    at_once: set[str] = set()
    later: set[str] = set()

    def look(table: SymbolTable, now: bool, top: bool = False) -> None:
        if table.get_type() == "function" and table.get_name() not in COMPREHENSIONS:
            now = False
        for symbol in table.get_symbols():
            if (symbol.is_referenced() and not symbol.is_assigned()) if top else symbol.is_global():
                (at_once if now else later).add(symbol.get_name())
        for inside in table.get_children():
            look(inside, now)

    look(symtable(f"{FUTURE}\n{text}\n", "<excerpt>", "exec"), True, top=True)
    return at_once, later - at_once


def _ordered(parts: Mapping[str, Part]) -> list[str]:
    """Names such that whatever a part needs at once comes before it; and what it needs later, where that is no circle."""
    done: list[str] = []

    def place(name: str, later: bool, above: frozenset[str] = frozenset()) -> None:
        if name in parts and name not in done and name not in above:
            for other in (*sorted(parts[name].at_once), *(sorted(parts[name].later) if later else ())):
                place(other, later, above | {name})
            done.append(name)

    for name in parts:
        place(name, later=True)
    wanted, done = done, []
    for name in wanted:
        place(name, later=False)
    return done


def _first_line(node: Definition) -> int:
    decorators: list[ast.expr] = getattr(node, "decorator_list", [])
    return min([node.lineno, *(part.lineno for part in decorators)])


def _defines(node: Definition, value: type | FunctionType, codes: list[CodeType]) -> bool:
    """Whether `node`, in a text that holds `codes`, is where `value` was defined."""
    first = codes[0].co_firstlineno if codes else None
    if isinstance(value, type):
        if not isinstance(node, ast.ClassDef) or node.name != value.__name__:
            return False
        if first is None:
            return _bound(node) <= {*vars(value), "__annotations__"}
        return _first_line(node) <= first <= (node.end_lineno or 0)
    name = "<lambda>" if isinstance(node, ast.Lambda) else node.name
    if (name, _first_line(node)) != (codes[0].co_name, first):
        return False
    spans = {span for span in codes[0].co_positions() if None not in span}
    body = node.body  # of several lambdas on a line, the one that does what stands there
    return not isinstance(body, ast.expr) or not spans or _span(body) in spans


def _span(node: ast.expr) -> tuple[int, int | None, int, int | None]:
    return node.lineno, node.end_lineno, node.col_offset, node.end_col_offset


def _bound(node: ast.ClassDef) -> set[str]:
    """The names that a class's body gives something to."""
    [table] = symtable(ast.unparse(node), "<excerpt>", "exec").get_children()
    return {symbol.get_name() for symbol in table.get_symbols() if symbol.is_assigned()}


def _inside(code: CodeType) -> Iterator[CodeType]:
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield constant
            yield from _inside(constant)


def _same(a: Any, b: Any) -> bool:
    """Whether two codes, or two of their constants, do the same, wherever they stand."""
    if isinstance(a, tuple) and isinstance(b, tuple):
        return len(a) == len(b) and all(map(_same, a, b))
    if not isinstance(a, CodeType) or not isinstance(b, CodeType):
        return type(a) is type(b) and (a == b or a != a)
    mine, yours = ((c.co_code, c.co_name, c.co_names, c.co_varnames, c.co_freevars) for c in (a, b))
    return mine == yours and _same(a.co_consts, b.co_consts)


def _functions(value: type | FunctionType) -> list[tuple[str, FunctionType]]:
    """A function, or those that a class's own text defines, with their names in it."""
    if isinstance(value, FunctionType):
        return [("", value)]
    own = f"{value.__qualname__}."
    return [(name, f) for name, f in _held(value) if f.__code__.co_qualname.startswith(own)]


def _held(kind: type) -> Iterator[tuple[str, FunctionType]]:
    """All functions in a class itself, out of their decorations."""
    for name, found in vars(kind).items():
        for part in (found, *(getattr(found, key, None) for key in ("__func__", "fget", "fset"))):
            inner = inspect.unwrap(part) if callable(part) and not isinstance(part, type) else part
            if isinstance(inner, FunctionType):
                yield name, inner


def _refuse_bound(value: type | FunctionType, name: str) -> None:
    """Raises `FittingroomError` for what uses variables of a function around it."""
    free = {free for _, f in _functions(value) for free in f.__code__.co_freevars} - {"__class__", "__classdict__"}
    if free:
        raise FittingroomError(f"{name} uses {min(free)}, a variable of the function around it: {WAY_OUT}")


def _refuse_moved(value: type | FunctionType, node: Definition, name: str) -> None:
    """Raises `FittingroomError` for what may hang on the place of its definition, or had functions put into it later."""
    if "<locals>" in value.__qualname__:
        arguments = getattr(node, "args", None)
        decided = [
            *getattr(node, "decorator_list", ()),
            *(arguments.defaults + arguments.kw_defaults if arguments else ()),
        ]
        if isinstance(value, type) or decided:
            raise FittingroomError(
                f"{name} is made inside of a function, whose variables may be in it: move it out of there"
            )
    if not isinstance(value, type):
        return
    assert isinstance(node, ast.ClassDef)
    written = {part.name: part for part in node.body if isinstance(part, ast.FunctionDef)}
    assigned = _bound(node)
    for key, f in _held(value):
        made = f.__code__.co_filename == "<string>" or f.__globals__ is not _space(value)  # by a decorator
        other = f.__code__.co_qualname != f"{value.__qualname__}.{key}"
        replaced = key in written and not written[key].decorator_list and other
        if not made and (key not in assigned or replaced):
            raise FittingroomError(f"{name}.{key} was put into the class from outside: write it inside of it")


def _space(value: type | FunctionType) -> dict[str, Any]:
    """The globals that a definition sees."""
    functions = _functions(value)
    if functions:
        return functions[0][1].__globals__
    return vars(sys.modules[value.__module__]) if value.__module__ in sys.modules else {}


def _is_definition(value: Any) -> bool:
    known = isinstance(value, type | FunctionType | BuiltinFunctionType) or hasattr(value, "__wrapped__")
    return known and isinstance(getattr(value, "__module__", None), str) and hasattr(value, "__qualname__")


def _importable(value: Any) -> tuple[str, str] | None:
    """The shortest module, and the name in it, by which anyone can import a class or a function; None if nobody can."""
    compiled = isinstance(value, BuiltinFunctionType)  # and in no file
    if value.__module__ in ("__main__", "__mp_main__", "builtins"):
        return None
    if not compiled and not on_disk(value.__module__, [str(Path.cwd())]):
        return None
    parts = value.__module__.split(".")
    homes = [".".join(parts[: i + 1]) for i in range(len(parts))]
    for path in ("torch", "torch.nn.functional", *homes) if compiled else homes:
        for name in (value.__qualname__, value.__name__):
            if path in sys.modules and vars(sys.modules[path]).get(name) is value:
                return path, name
    return None if "." in value.__qualname__ else (value.__module__, value.__qualname__)  # as it was before a reload


def _reached(user: ast.AST, module: str) -> list[str]:
    """The modules inside of `module` that are used as its attributes: `torch.nn.functional`."""
    paths = {ast.unparse(node) for node in ast.walk(user) if isinstance(node, ast.Attribute)}
    return [path for path in sorted(paths) if path.startswith(f"{module}.") and path in sys.modules]


def _parsed(file: str) -> File | None:
    linecache.checkcache(file)
    lines = linecache.getlines(file)
    try:
        return File(text := "".join(lines), ast.parse(text)) if lines else None
    except SyntaxError:
        return None


def _cells() -> Iterator[File]:
    """The texts that are in no file: a notebook's cells, the newest first."""
    for name, entry in reversed(linecache.cache.copy().items()):
        if len(entry) == 4 and entry[1] is None and not re.fullmatch(SHOWN, name) and (file := _parsed(name)):
            yield file


def _speaks_of_types(text: str) -> bool:
    return any(
        isinstance(node, ast.AnnAssign) or getattr(node, "annotation", None) or getattr(node, "returns", None)
        for node in ast.walk(ast.parse(text))
    )
