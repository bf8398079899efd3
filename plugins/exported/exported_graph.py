"""From an ExportedProgram to graph.json: README.md has the format. Nothing is decomposed."""

import math
import operator
import pathlib
import re

import torch
from torch.export.graph_signature import InputKind

LIST = (pathlib.Path(__file__).resolve().parent / "operators.inc").read_text()
ALLOWED = set(re.findall(r"OPERATOR\((\w+)\)", LIST))
OVERLOADS = set(re.findall(r"OVERLOAD\((\w+), (\w+)\)", LIST))
MUST_BE_OFF = set(re.findall(r"FIXED\((\w+), (\w+)\)", LIST))
UNSAID = set(re.findall(r"UNSAID\((\w+), (\w+)\)", LIST))

_aten = torch.ops.aten
# The program checks sizes by reward.json, so the graph's own assertions are left out.
_ASSERTIONS = {"_assert_scalar", "_assert_tensor_metadata", "_assert_async", "sym_constrain_range", "sym_constrain_range_for_size",
               "_functional_assert_async", "_functional_assert_scalar"}
_SIZES = {operator.add: "add", operator.sub: "sub", operator.mul: "mul", operator.floordiv: "floordiv", operator.mod: "mod",
          operator.truediv: "truediv", operator.neg: "neg", torch.sym_min: "min", torch.sym_max: "max", torch.sym_float: "float",
          torch.sym_int: "trunc", math.trunc: "trunc", math.floor: "floor", math.ceil: "ceil", round: "round", math.sqrt: "sqrt",
          getattr(torch, "_sym_sqrt", None): "sqrt"}


class NotExportable(Exception):
    """A node that a graph may not hold."""


def name_of(node):
    """"aten::add.Tensor" of a call, or how Python names what it calls."""
    target = node.target
    if isinstance(target, torch._ops.OpOverload):
        return target.name() if "." in target.name() else f"{target.name()}.{target._overloadname}"
    return getattr(target, "__name__", str(target))


def plain_name(node):
    return node.target._schema.name.removeprefix("aten::") if isinstance(node.target, torch._ops.OpOverload) else ""


def is_assertion(node):
    return plain_name(node) in _ASSERTIONS


def named_arguments(node):
    """Arguments of an operator by its schema's names."""
    schema = node.target._schema.arguments
    return {argument.name: value for argument, value in zip(schema, node.args)} | dict(node.kwargs)


def is_switched_off(node):
    """Whether the argument that makes this operator random is off."""
    arguments = named_arguments(node)
    off = [argument for op, argument in MUST_BE_OFF if op == plain_name(node)]
    return bool(off) and all(not arguments.get(argument, 0) for argument in off)


def may_be_called(node):
    some = {overload for op, overload in OVERLOADS if op == plain_name(node)}
    return (node.target.namespace == "aten" and plain_name(node) in ALLOWED
            and (not some or node.target._overloadname in some))


def _hint(size):
    return size.node.hint if isinstance(size, torch.SymInt) else size


def _by_factors(node, arguments):
    """Overload and arguments of an interpolation. Sizes that follow from scales are left out, since a graph may not hold both."""
    factors = [value for key, value in arguments.items() if key.startswith("scales")]
    if all(factor is None for factor in factors):
        return node.target._overloadname, arguments
    x = arguments["self"]
    before, after = ([_hint(size) for size in value.meta["val"].shape[2:]] for value in (x, node))
    fits = None not in factors and len(factors) == len(before) and all(
        None in (size, new) or math.floor(size * factor) == new for size, new, factor in zip(before, after, factors))
    if not fits:
        raise NotExportable(f"{name_of(node)} from {before} to {after} with scales {factors}, which the sizes do not follow from")
    return "vec", {"input": x, "output_size": None, "scale_factors": factors} | (
        {"align_corners": arguments["align_corners"]} if "align_corners" in arguments else {})


def draws_random_numbers(node):
    return (isinstance(node.target, torch._ops.OpOverload) and torch.Tag.nondeterministic_seeded in node.target.tags
            and not is_switched_off(node))


def writes(node):
    return isinstance(node.target, torch._ops.OpOverload) and node.target._schema.is_mutable and not is_assertion(node)


def _aliases(node):
    return any(result.alias_info is not None for result in node.target._schema.returns)


def _made_functional(node, place):
    """relu_(x) becomes relu(x), which later readers of x read instead. Only where x is nobody's view and has none, so that no
    other value changes with it. place: position of each node."""
    name, overload = plain_name(node), node.target._overloadname
    pure = getattr(getattr(_aten, name.removesuffix("_"), None), overload, None) if name.endswith("_") else None
    x = node.args[0] if node.args else None
    if pure is None or not isinstance(x, torch.fx.Node) or not isinstance(x.target, torch._ops.OpOverload) or _aliases(x):
        return False
    earlier = [user for user in x.users if place[user] < place[node]]
    if any(not isinstance(user.target, torch._ops.OpOverload) or _aliases(user) for user in earlier):
        return False
    node.target = pure
    for user in [user for user in x.users if place[user] > place[node]]:
        user.replace_input_with(x, node)
    return True


def functional(program):
    """The same program with no operator that writes into its arguments. Where torch itself has to do it, it takes BatchNorm apart."""
    place = {node: i for i, node in enumerate(program.graph.nodes)}
    for node in program.graph.nodes:
        if node.op == "call_function" and writes(node) and not _made_functional(node, place):
            return program.run_decompositions({})
    program.graph_module.recompile()
    return program


def alive(program):
    """Nodes that the output depends on, in order."""
    output = next(node for node in program.graph.nodes if node.op == "output")
    needed, queue = set(), [output]
    while queue:
        node = queue.pop()
        if node in needed:
            continue
        needed.add(node)
        queue += node.all_input_nodes
    return [node for node in program.graph.nodes if node in needed]


class Writer:
    def __init__(self, program, input_names):
        self.program, self.input_names = program, input_names
        self.names = {}  # node -> its value's name, or names where it gives several
        self.weights, self.tensors, self.nodes = {}, {}, []

    def graph(self):
        """graph.json, and the tensors for weights.safetensors by name."""
        nodes = alive(self.program)
        self._placeholders(nodes)
        for node in nodes:
            if node.op == "call_function":
                self._call(node)
            elif node.op not in ("placeholder", "output"):
                raise NotExportable(f"{node.op} {node.target}: control flow and submodules within a graph are not supported")
        (result,) = nodes[-1].args[0]
        return ({"format": "thalweg-graph/1", "inputs": self.input_names, "weights": self.weights, "nodes": self.nodes,
                 "output": self.names[result]}, self.tensors)

    def _placeholders(self, nodes):
        specs = {spec.arg.name: spec for spec in self.program.graph_signature.input_specs}
        inputs = iter(self.input_names)
        for node in self.program.graph.nodes:  # all of them: an unused input is still an argument
            if node.op != "placeholder":
                continue
            spec = specs[node.name]
            if spec.kind == InputKind.USER_INPUT:
                self.names[node] = next(inputs)
            elif node in nodes:
                store = self.program.constants if spec.target not in self.program.state_dict else self.program.state_dict
                tensor = store[spec.target].detach()
                self.names[node] = f"w:{spec.target}"
                self.weights[self.names[node]] = {"tensor": spec.target, "dtype": str(tensor.dtype).removeprefix("torch."),
                                                  "shape": list(tensor.shape)}
                self.tensors[spec.target] = tensor.cpu().contiguous().clone()  # clone: tied weights share memory

    def _call(self, node):
        if node.target is operator.getitem:
            self.names[node] = self.names[node.args[0]][node.args[1]]
        elif isinstance(node.target, torch._ops.OpOverload):
            if plain_name(node) in ("sym_size", "sym_numel"):
                arguments = {"self": node.args[0]} | ({"dim": node.args[1]} if len(node.args) > 1 else {})
                self._write(node, "sym::" + plain_name(node).removeprefix("sym_"), arguments)
            else:
                self._operator(node)
        elif node.target is torch.sym_sum:
            self._sum(node)
        elif node.target in _SIZES:
            self._write(node, f"sym::{_SIZES[node.target]}", dict(zip("ab", node.args)))
        else:
            raise NotExportable(f"{name_of(node)} is not among the operators that a graph may call")

    def _sum(self, node):
        first, *rest = node.args[0]
        total = first
        for i, term in enumerate(rest):
            name = node.name if i == len(rest) - 1 else f"{node.name}.{i}"
            self.nodes.append({"op": "sym::add", "args": {"a": self._literal(total), "b": self._literal(term)}, "outputs": [name]})
            total = {"value": name}
        self.names[node] = node.name

    def _operator(self, node):
        name = plain_name(node)
        if not may_be_called(node):
            raise NotExportable(f"{name_of(node)} is not among the operators that a graph may call (operators.inc)")
        if writes(node):
            raise NotExportable(f"{name_of(node)} writes into its arguments")
        arguments = named_arguments(node)
        for op, argument in MUST_BE_OFF:
            if op == name and arguments.get(argument):
                raise NotExportable(f"{name_of(node)} with {argument}={arguments[argument]} is for training")
        if name == "instance_norm" and arguments["use_input_stats"] and arguments["running_mean"] is not None:
            raise NotExportable(f"{name_of(node)} that keeps statistics is for training: eval(), or track_running_stats=False")
        kinds = {argument.name: str(argument.type) for argument in node.target._schema.arguments}
        overload = node.target._overloadname
        if any(key.startswith("scales") for op, key in UNSAID if op == name) and overload == "default":
            overload, arguments = _by_factors(node, arguments)
        # The program puts every tensor on its own device.
        kept = {key: value for key, value in arguments.items()
                if "Device" not in kinds.get(key, "") and key != "pin_memory" and (name, key) not in UNSAID}
        self._write(node, f"aten::{name}" + (f".{overload}" if overload != "default" else ""), kept)

    def _write(self, node, op, arguments):
        value = node.meta.get("val")
        if isinstance(value, (tuple, list)):
            used = {user.args[1] for user in node.users if user.target is operator.getitem}
            whole = any(user.target is not operator.getitem for user in node.users)
            self.names[node] = [f"{node.name}.{i}" if whole or i in used else None for i in range(len(value))]
        else:
            self.names[node] = node.name
        outputs = self.names[node] if isinstance(self.names[node], list) else [self.names[node]]
        self.nodes.append({"op": op, "args": {key: self._literal(value) for key, value in arguments.items()}, "outputs": outputs})

    def _literal(self, value):
        if isinstance(value, torch.fx.Node):
            name = self.names[value]
            return [{"value": one} for one in name] if isinstance(name, list) else {"value": name}
        if isinstance(value, (list, tuple)):
            return [self._literal(item) for item in value]
        if isinstance(value, float) and not math.isfinite(value):
            return {"float": str(value)}
        if value is None or isinstance(value, (bool, int, float, str, dict)):
            return value
        for kind, key in ((torch.dtype, "dtype"), (torch.memory_format, "memory_format"), (torch.layout, "layout")):
            if isinstance(value, kind):
                return {key: str(value).removeprefix("torch.")}
        raise NotExportable(f"an argument of type {type(value).__name__} has no form in a graph")


def graph_of(program, input_names):
    """Of a program that is functional."""
    return Writer(program, input_names).graph()
