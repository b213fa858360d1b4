"""Write depthmix/cli/constructors.py: what constructors refuse, without torch and Lightning.

Run `python docs/make_constructors.py` after options of a loss, a network, the task or the data changed; a
test compares. Importing torch and Lightning takes ten seconds, reading a configuration one tenth of one: so
`depthmix check` reads constructors from a copy of their source that leaves out every statement that computes
with tensors. Nothing is written anew, so what remains refuses the same values with the same words.
"""

import ast
import builtins
import inspect
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Literal, Union, get_args, get_origin, get_type_hints

OUT = Path(__file__).parents[1] / "depthmix" / "cli" / "constructors.py"
HEAD = '''"""What constructors refuse, without torch; made by `python docs/make_constructors.py`, do not edit.

Copies of the constructors that a configuration names, without what computes with tensors.
"""
# mypy: ignore-errors

'''
# Importing these takes no torch: what they define is used, not copied.
LIGHT = {
    *("depthmix.errors", "depthmix.sample", "depthmix.shapes", "depthmix.mixture", "depthmix.augment"),
    *("depthmix.canonical", "depthmix.store", "depthmix.store.reader", "depthmix.store.remote"),
}
HEAVY = {"torch", "lightning", "torchmetrics", "jaxtyping", "transformers", "kornia"}
BASES = {"LightningModule": "Module", "LightningDataModule": "Module", "nn.Module": "Module"}
# What `check` calls besides constructors, by module.
ROOTS = {
    "depthmix.task": ["DepthTask"],
    "depthmix.data": ["MixData", "SourceSpec"],
    "depthmix.objective": ["Objective"],
    "depthmix.terms": ["Term", "term_problems", "head_problems"],
    "depthmix.losses.fattening": ["EdgeMask"],
    "depthmix.doubt": ["Disagreement"],
    "depthmix.feature_alignment": ["FeatureAlignment"],
    "depthmix.device_augment": ["DeviceAugmentOptions"],
}
# Methods of networks and tensors: who calls one computes.
TENSOR_METHODS = {"parameters", "requires_grad_", "register_buffer", "load_state_dict", "stages", "begin"}
# Refuses networks that cannot; those that are checked without being built all can.
SKIPPED = {("depthmix.task", "_checkpoint_gradients")}
ABSTRACT = {"forward", "begin", "observe", "learn", "figures"}
METHODS = {"MixData": ("train_sets", "val_sets", "test_sets", "plan", "cards", "_open")}
PACKAGES = ("depthmix.losses", "depthmix.models")


class Tainted(Exception):
    """Needs tensors."""


class Source:
    """The top level of one module: what it defines and what it imports."""

    def __init__(self, name: str) -> None:
        spec = find_spec(name)
        assert spec is not None
        assert spec.origin is not None
        self.name, self.is_package = name, spec.submodule_search_locations is not None
        tree = ast.parse(Path(spec.origin).read_text(encoding="utf-8"))
        self.defined: dict[str, ast.stmt] = {}
        self.imported: dict[str, tuple[str, str]] = {}
        for node in _top(tree.body):
            self._take(node)

    def _take(self, node: ast.stmt) -> None:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            self.defined[node.name] = node
        elif isinstance(node, ast.ImportFrom):
            self.imported |= {one.asname or one.name: (str(node.module), one.name) for one in node.names}
        elif isinstance(node, ast.Import):
            self.imported |= {one.asname or one.name: (one.name, "") for one in node.names}
        elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            self.defined[node.targets[0].id] = node
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value:
            self.defined[node.target.id] = node


def _top(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    for node in body:
        yield from node.body if isinstance(node, ast.If) else [node]


@cache
def source(name: str) -> Source:
    """Read a module."""
    return Source(name)


class Copier:
    """Collect copies of definitions, each once and behind what it needs."""

    def __init__(self) -> None:
        self.imports: set[str] = set()
        self.copies: dict[tuple[str, str], str] = {}
        self.text: list[str] = []
        self._tainted: set[tuple[str, str]] = set(SKIPPED)
        self.wanted: set[tuple[str, str]] = set()

    def name(self, module: str, name: str) -> str:
        """Return what a name of a module is called in the copy.

        Raises:
            Tainted: it needs tensors.
        """
        here = source(module)
        if name in here.imported:
            return self._imported(*here.imported[name], name)
        if name not in here.defined:
            if hasattr(builtins, name):
                return name
            raise Tainted(f"{module}.{name}")
        key = (module, name)
        if key in self._tainted:
            raise Tainted(f"{module}.{name}")
        if key not in self.copies:
            self._copy(key, here.defined[name])
        return self.copies[key]

    def _imported(self, module: str, name: str, local: str) -> str:
        if module.partition(".")[0] in HEAVY:
            raise Tainted(module)
        if (
            not module.startswith("depthmix")
            or module in LIGHT
            or (module, name) == ("depthmix", "__version__")
        ):
            text = f"from {module} import {name}" if name else f"import {module}"
            self.imports.add(text + (f" as {local}" if name and local != name else ""))
            return local
        return self.name(module, name)

    def _copy(self, key: tuple[str, str], node: ast.stmt) -> None:
        module, name = key
        taken = name in self.copies.values()
        self.copies[key] = f"{name}_of_{module.rpartition('.')[2]}" if taken else name
        try:
            made = self._class(module, node) if isinstance(node, ast.ClassDef) else self._plain(module, node)
        except Tainted:
            del self.copies[key]
            self._tainted.add(key)
            raise
        for inner in ast.walk(made):
            if isinstance(inner, ast.Name) and isinstance(inner.ctx, ast.Store) and inner.id == name:
                inner.id = self.copies[key]
        if isinstance(made, ast.FunctionDef | ast.ClassDef):
            made.name = self.copies[key]
        self.text.append(ast.unparse(ast.fix_missing_locations(made)))

    def _plain(self, module: str, node: ast.stmt) -> ast.stmt:
        if isinstance(node, ast.FunctionDef):
            return self._function(module, node, {})
        if isinstance(node, ast.AnnAssign):
            assert node.value is not None
            node = ast.fix_missing_locations(ast.Assign([node.target], node.value))
        return Body(self, module).statement(_fresh(node))

    def _function(self, module: str, node: ast.FunctionDef, known: dict[str, set[str]]) -> ast.FunctionDef:
        """Copy a function whole."""
        node = _fresh(node)
        body = Body(self, module, _arguments(node), known.get("self"))
        node.args, node.returns = body.signature(node.args), body.annotation(node.returns)
        node.decorator_list = [body.expression(one) for one in node.decorator_list]
        node.body = [body.statement(one) for one in _behind_docstring(node.body)]
        return node

    def _class(self, module: str, node: ast.ClassDef) -> ast.ClassDef:
        node = _fresh(node)
        body = Body(self, module)
        bases = [BASES.get(ast.unparse(base)) for base in node.bases]
        if not any(bases) and not self._is_plain(module, node):
            raise Tainted(node.name)
        if "Module" in bases and (module, node.name) not in self.wanted:
            raise Tainted(node.name)  # a part of a network
        names = [
            ast.Name(known, ast.Load()) if known else body.expression(base)
            for known, base in zip(bases, node.bases, strict=True)
        ]
        node.bases = list(names)
        kept: list[ast.stmt] = []
        attributes = self._inherited(module, node)
        for one in _behind_docstring(node.body):
            if isinstance(one, ast.AnnAssign):
                kept.append(self._field(body, one))
                attributes.add(ast.unparse(one.target))
            elif isinstance(one, ast.Assign):
                kept.append(body.statement(one))
                attributes.add(ast.unparse(one.targets[0]))
        methods = [one for one in node.body if isinstance(one, ast.FunctionDef)]
        attributes |= {one.name for one in methods if one.name in METHODS.get(node.name, ())}
        for one in methods:
            if one.name in ("__init__", "__post_init__"):
                kept.append(self._constructor(module, one, attributes))
            elif one.name in METHODS.get(node.name, ()) or (node.name == "Term" and _is_property(one)):
                kept.append(self._function(module, one, {"self": attributes | {one.name for one in methods}}))
        if module.startswith("depthmix.losses"):
            kept += [self._empty(one) for one in methods if one.name in ABSTRACT]
        node.body = kept or [ast.Pass()]
        node.decorator_list = [body.expression(one) for one in node.decorator_list]
        return node

    def _is_plain(self, module: str, node: ast.ClassDef) -> bool:
        """Tell whether a class is a record or derived from one that is wanted."""
        return bool(node.decorator_list or node.bases) or (module, node.name) in self.wanted

    def _empty(self, node: ast.FunctionDef) -> ast.stmt:
        """Copy a method without what it does: only classes that have all of them are offered."""
        is_open = any(ast.unparse(one) == "abstractmethod" for one in node.decorator_list)
        if is_open:
            self.imports.add("from abc import abstractmethod")
        mark = "@abstractmethod\n" if is_open else ""
        return ast.parse(f"{mark}def {node.name}(self, *args):\n    raise NotImplementedError").body[0]

    def _inherited(self, module: str, node: ast.ClassDef) -> set[str]:
        return {"bears"} if node.bases and module.startswith("depthmix.losses") else set()

    def _field(self, body: "Body", node: ast.AnnAssign) -> ast.AnnAssign:
        value = None if node.value is None else body.expression(node.value)
        return ast.AnnAssign(node.target, body.annotation(node.annotation), value, node.simple)

    def _constructor(self, module: str, node: ast.FunctionDef, attributes: set[str]) -> ast.FunctionDef:
        body = Body(self, module, _arguments(node), attributes)
        node.args, node.returns = body.signature(node.args), ast.Constant(None)
        node.body = body.slice(_behind_docstring(node.body)) or [ast.Pass()]
        return node


class Body(ast.NodeTransformer):
    """Bring code of a module into the copy, where every name may be known or not."""

    def __init__(
        self, copier: Copier, module: str, known: set[str] | None = None, attributes: set[str] | None = None
    ) -> None:
        self.copier, self.module = copier, module
        self.known, self.attributes = set(known or ()), attributes

    def slice(self, body: list[ast.stmt]) -> list[ast.stmt]:
        """Leave out every statement that needs tensors; what it would have set is not known any more."""
        kept: list[ast.stmt] = []
        for node in body:
            if isinstance(node, ast.If | ast.For):
                kept += self._block(node)
                continue
            try:
                kept.append(self.statement(_fresh(node)))
            except Tainted:
                continue
        return kept

    def _block(self, node: ast.If | ast.For) -> list[ast.stmt]:
        try:
            if isinstance(node, ast.For):
                self.known |= _stored(node.target)
                node.iter = self.expression(_fresh(node.iter))
            else:
                stored = _stored(node.test)
                node.test = self.expression(_fresh(node.test))
                self.known |= stored
        except Tainted:
            return []
        node.body, node.orelse = self.slice(node.body), self.slice(node.orelse)
        return [node] if node.body else []

    def statement(self, node: ast.stmt) -> ast.stmt:
        """Copy a statement."""
        stored = _stored(node)
        inner = Body(self.copier, self.module, self.known | stored, self.attributes)
        made: ast.stmt = inner.visit(node)
        self.known |= stored
        if self.attributes is not None:
            self.attributes |= {
                one.attr for one in ast.walk(node) if _of_self(one) and isinstance(one.ctx, ast.Store)
            }
        return made

    def expression(self, node: ast.expr) -> ast.expr:
        """Copy an expression."""
        made: ast.expr = Body(self.copier, self.module, self.known | _stored(node), self.attributes).visit(
            node
        )
        return made

    def annotation(self, node: ast.expr | None) -> ast.expr | None:
        """Copy a type; one that needs tensors takes any object."""
        if node is None:
            return None
        try:
            return self.expression(_fresh(node))
        except Tainted:
            return ast.Name("object", ast.Load())

    def signature(self, node: ast.arguments) -> ast.arguments:
        """Copy the arguments with their types and defaults."""
        for one in [*node.posonlyargs, *node.args, *node.kwonlyargs]:
            one.annotation = self.annotation(one.annotation)
        node.defaults = [self.expression(one) for one in node.defaults]
        node.kw_defaults = [None if one is None else self.expression(one) for one in node.kw_defaults]
        return node

    def visit_Name(self, node: ast.Name) -> ast.Name:
        """Rename what the copy calls otherwise."""
        if isinstance(node.ctx, ast.Load) and node.id not in self.known:
            node.id = self.copier.name(self.module, node.id)
        return node

    def visit_Attribute(self, node: ast.Attribute) -> ast.expr:
        """Look whether an attribute of self is known."""
        if node.attr in TENSOR_METHODS:
            raise Tainted(node.attr)
        if ast.unparse(node) in BASES:
            return ast.Name(BASES[ast.unparse(node)], ast.Load())
        if _of_self(node) and isinstance(node.ctx, ast.Load) and node.attr not in (self.attributes or ()):
            raise Tainted(node.attr)
        self.generic_visit(node)
        return node

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AnnAssign:
        """Copy a variable with its type."""
        node.annotation = self.annotation(node.annotation) or ast.Name("object", ast.Load())
        if node.value is not None:
            node.value = self.visit(node.value)
        return node


def _of_self(node: ast.AST) -> bool:
    return isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "self"


def _stored(node: ast.AST) -> set[str]:
    names = {one.id for one in ast.walk(node) if isinstance(one, ast.Name) and isinstance(one.ctx, ast.Store)}
    return names | {one.arg for one in ast.walk(node) if isinstance(one, ast.arg)}


def _arguments(node: ast.FunctionDef) -> set[str]:
    return {one.arg for one in ast.walk(node.args) if isinstance(one, ast.arg)}


def _is_property(node: ast.FunctionDef) -> bool:
    return any(ast.unparse(one) == "property" for one in node.decorator_list)


def _behind_docstring(body: list[ast.stmt]) -> list[ast.stmt]:
    return [one for one in body if not (isinstance(one, ast.Expr) and isinstance(one.value, ast.Constant))]


def _fresh(node):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    return ast.parse(ast.unparse(node)).body[0] if isinstance(node, ast.stmt) else _expression(node)


def _expression(node: ast.expr) -> ast.expr:
    return ast.parse(ast.unparse(node), mode="eval").body


def trainer() -> str:
    """Return a constructor with the options of Lightning's Trainer."""
    from lightning.pytorch import Trainer

    hints = get_type_hints(Trainer.__init__)
    options = [f"{name}: {_hint(hints[name])} = None" for name in inspect.signature(Trainer).parameters]
    return f"class Trainer:\n    def __init__(self, *, {', '.join(options)}) -> None:\n        pass"


def _hint(hint: object) -> str:
    parts = get_args(hint) if get_origin(hint) is Union else (hint,)
    if all(part in (int, float, bool, str, type(None)) or get_origin(part) is Literal for part in parts):
        return " | ".join(_word(part) for part in parts)
    return "object"


def _word(part: object) -> str:
    if get_origin(part) is Literal:
        return f"Literal[{', '.join(map(repr, sorted(get_args(part), key=str)))}]"
    return "None" if part is type(None) else part.__name__  # type: ignore[attr-defined]


def exported(package: str) -> list[tuple[str, str]]:
    """List module and name of the classes that a package exports."""
    here = source(package)
    found = [here.imported[name] for name in sorted(here.imported)]
    return [
        (module, name) for module, name in found if isinstance(source(module).defined.get(name), ast.ClassDef)
    ]


def text() -> str:
    """Return the file."""
    copier = Copier()
    wanted = [(module, name) for module, names in ROOTS.items() for name in names]
    wanted += [one for package in PACKAGES for one in exported(package)]
    copier.wanted = {*wanted, ("depthmix.losses.base", "DepthLoss"), ("depthmix.losses.base", "LearningLoss")}
    for module, name in wanted:
        copier.name(module, name)
    kept = _reachable(copier.text, {copier.copies[one] for one in wanted})
    origins = {name: module for package in PACKAGES for module, name in exported(package)}
    table = "\n".join(f"    {name!r}: {module!r}," for name, module in sorted(origins.items()))
    base = "class Module:\n    def __init__(self) -> None:\n        pass"
    code = "\n\n".join([base, trainer(), *kept])
    used = {one.id for one in ast.walk(ast.parse(code)) if isinstance(one, ast.Name)}
    copier.imports.add("from typing import Literal")
    imports = [line for line in sorted(copier.imports) if line.split()[-1] in used]
    imports.append("from depthmix.canonical import form_of")  # needed by `check`, not by what is copied
    table = f"# The module that each exported class is copied from.\nORIGINS = {{\n{table}\n}}\n"
    return HEAD + "\n".join(imports) + "\n\n" + code + "\n\n" + table


def _reachable(parts: list[str], names: set[str]) -> list[str]:
    """Leave out what was copied for a statement that needs tensors after all."""
    kept = []
    for part in reversed(parts):  # what a part needs stands before it
        (node,) = ast.parse(part).body
        name = node.name if isinstance(node, ast.FunctionDef | ast.ClassDef) else ast.unparse(node.targets[0])
        if name in names:
            kept.append(part)
            names |= {one.id for one in ast.walk(node) if isinstance(one, ast.Name)}
    return kept[::-1]


def formatted(code: str, run: Callable[..., bytes] = subprocess.check_output) -> str:
    """Lay the file out as the others are."""
    for command in (["check", "--select", "I", "--fix", "--quiet"], ["format"]):
        ruff = [sys.executable, "-m", "ruff", *command, "--stdin-filename", str(OUT), "-"]
        code = run(ruff, input=code.encode()).decode()
    return code


if __name__ == "__main__":
    OUT.write_text(formatted(text()), encoding="utf-8")
