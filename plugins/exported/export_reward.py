"""Writes a PyTorch reward network as a folder that the plugin `exported` runs, without Python and without pickle.

    export_reward(module, "my_reward", licence="Apache-2.0", source="trained by me", dimensions=["score"])

or, for a file whose function `make()` returns these arguments as a dict:

    python export_reward.py my_file.py FOLDER

Eleven checks stand before the folder (exported_checks.py); what fails one raises Refused with its number and name. The
format, and what a network must look like, are in README.md beside this file.
"""

import argparse
import copy
import hashlib
import json
import os
import pathlib
import runpy
import shutil
import sys
import tempfile

import torch
from safetensors.torch import save_file
from torch.export import Dim

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import exported_checks as checks  # noqa: E402
import exported_goldens  # noqa: E402
import exported_graph  # noqa: E402
from exported_checks import Refused, require  # noqa: E402
from exported_goldens import near  # noqa: E402

PROMPTS = ["a red circle", "two blue squares and a green triangle", "", "a photo of a cat, 8k", "one", "UPPER and lower", "a dog.",
           "a small yellow circle left of a red square"]


class Export:
    """One export: its arguments, and the inputs that the checks are made with."""

    def __init__(self, module, *, licence, source, dimensions=("score",), name=None, kind="pictures", height=(16, 1024),
                 width=(16, 1024), frames=None, max_batch=64, preprocess="graph", processor=None, tokenizer=None,
                 text_length=None, token_mask=False, differentiable=True, ranges=None, pictures=None, prompts=None):
        assert kind in ("pictures", "videos") and preprocess in ("graph", "exact", "smooth")
        assert kind == "pictures" or frames is not None, "say how many frames a network of videos takes: frames=(min, max)"
        frames = frames or (1, 4096)  # a network of pictures scores a video by their mean
        assert (preprocess == "graph") == (processor is None), "a processor's folder goes with preprocess exact or smooth"
        self.module, self.licence, self.source = module, licence, source
        self.dimensions, self.name = list(dimensions), name or type(module).__name__
        self.kind, self.height, self.width, self.frames = kind, _extent(height), _extent(width), _extent(frames)
        self.max_batch, self.preprocess, self.processor = max_batch, preprocess, processor
        self.tokenizer, self.text_length, self.token_mask = tokenizer, text_length, token_mask
        self.differentiable, self.ranges = differentiable and preprocess != "exact", ranges or {}
        self.pictures, self.prompts = pictures, list(prompts or PROMPTS)
        tensors = [t for t in (*module.parameters(), *module.buffers()) if t.is_floating_point()]
        self.dtype = max((t.dtype for t in tensors), key=[t.dtype for t in tensors].count, default=torch.float32)
        self.device = tensors[0].device if tensors else torch.device("cpu")
        self.found = {}

    # Inputs.

    def input_names(self):
        return ["frames"] + (["tokens"] if self.tokenizer else []) + (["token_mask"] if self.tokenizer and self.token_mask else [])

    def side(self):
        """Of the network's own input, where preprocessing makes it square."""
        config = json.loads((pathlib.Path(self.processor) / "preprocessor_config.json").read_text())
        size = config.get("crop_size") or config["size"]
        return size if isinstance(size, int) else size.get("height", size.get("shortest_edge"))

    def sizes(self):
        """Sizes that the network's input may have, an ordinary one first."""
        if self.preprocess != "graph":
            return [(self.side(), self.side())]
        tried = [(64, 48), (40, 80), (0, 0), (65, 65), (33, 127)]  # odd ones and squares: traces like to assume neither
        return list(dict.fromkeys((near(self.height, h), near(self.width, w)) for h, w in tried))

    def inputs(self, batch, seed, size=None):
        generator = torch.Generator().manual_seed(seed)
        height, width = size or self.sizes()[0]
        shape = (batch, 3, height, width) if self.kind == "pictures" else (batch, near(self.frames, 4), 3, height, width)
        made = [torch.rand(shape, generator=generator).to(self.device, self.dtype)]
        if self.tokenizer:
            made += self.tokens([self.prompts[i % len(self.prompts)] for i in range(seed, seed + batch)])
        return made

    def tokens(self, prompts):
        made = self.tokenizer(prompts, padding="max_length", truncation=True, max_length=self.text_length, return_tensors="pt")
        mask = [made.attention_mask.to(self.device)] if self.token_mask else []
        return [made.input_ids.to(self.device), *mask]

    # The walk.

    def run(self, folder, program):
        folder = pathlib.Path(folder)
        if folder.exists() and not (folder / "reward.json").is_file():
            raise FileExistsError(f"{folder} exists and is no exported reward: give a folder that is new, or an older export")
        checks.frozen(self.module)
        self._text()
        with torch.no_grad():
            self._traceable()
            exported = exported_graph.functional(self._exported())
        self.found[1] = checks.without_state(exported)
        run = exported.module(check_guards=False)  # the program has none: what counts are the numbers
        with torch.no_grad():
            self.found[2] = checks.batches(run, self.inputs, len(self.dimensions), self.max_batch)
        self.found[3] = self._parity(run)
        graph, tensors = self._graph(exported)
        self.found[6] = self._gradient(run)
        self.found[8] = checks.weights(tensors)
        environment = checks.environment(self.dtype, self.device)
        self.found[9] = ", ".join(environment.values())
        self.found[10] = checks.provenance(self.licence, self.source)
        with tempfile.TemporaryDirectory(dir=folder.absolute().parent) as scratch:
            made = pathlib.Path(scratch) / folder.name
            self._write(made, graph, tensors, environment)
            golden = exported_goldens.write(self, made)
            scored = exported_goldens.scored_by(program, self, made, pathlib.Path(scratch))
            self.found[11] = checks.reload(golden, scored, 1e-4 if self.dtype == torch.float32 else checks.TOLERANCE[self.dtype])
            found = {f"{n} {checks.NAMES[n]}": self.found[n] for n in sorted(self.found)}
            (made / "checks.json").write_text(json.dumps(found, indent=1) + "\n")
            if folder.exists():
                shutil.rmtree(folder)
            made.rename(folder)
        return found

    def _traceable(self):
        inputs = self.inputs(3, seed=1)
        try:
            scores = self.module(*inputs)
        except Exception as e:
            raise Refused(4, f"forward fails for {[list(x.shape) for x in inputs]}: {e}") from e
        checks.one_output(scores, 3, len(self.dimensions))
        for size in self.sizes():
            try:
                self.module(*self.inputs(2, seed=2, size=size))
            except Exception as e:
                raise Refused(4, f"forward takes no pictures of {size[0]} x {size[1]} ({e}): put the resize into forward, or name the "
                              "preprocessing (preprocess, processor), or narrow height and width") from e
        self.found[4] = "in the graph" if self.preprocess == "graph" else f"{self.preprocess}, of the processor's folder"

    def _free_sizes(self):
        """Axis of the frames -> name and extent, of those that vary."""
        axes = {1: ("frames", self.frames)} if self.kind == "videos" else {}
        if self.preprocess == "graph":
            last = 2 + len(axes)
            axes |= {last: ("height", self.height), last + 1: ("width", self.width)}
        return {axis: (name, extent) for axis, (name, extent) in axes.items() if extent["min"] != extent["max"]}

    def _exported(self):
        inputs = tuple(self.inputs(min(7, self.max_batch), seed=3))  # 7: a size that no channel count has
        batch = Dim("batch", min=1, max=self.max_batch)
        texts = [{0: batch}] * (len(inputs) - 1)
        free = self._free_sizes()
        named = {axis: _dimension(name, extent) for axis, (name, extent) in free.items()}
        try:
            return torch.export.export(self.module, inputs, dynamic_shapes=({0: batch} | named, *texts), strict=False)
        except Exception as e:
            said = str(e)[:1500]
            if "onstraint" not in said and "pecializ" not in said:
                raise Refused(5, f"torch.export cannot trace forward: {said}") from e
            require("batch" not in said, 2, f"the batch is fixed in forward: {said}")
        assumed = {axis: Dim.AUTO for axis in free}
        try:
            exported = torch.export.export(self.module, inputs, dynamic_shapes=({0: batch} | assumed, *texts), strict=False)
        except Exception as e:
            raise Refused(4, f"a size that should be free is fixed in forward: {str(e)[:1500]}") from e
        self._require_free(exported, free, said)
        return exported

    def _require_free(self, exported, free, why):
        """Where torch cannot prove that forward treats all sizes alike (crops, patches), what it assumed may narrow none of them;
        parity is measured over sizes()."""
        name = next(spec.arg.name for spec in exported.graph_signature.input_specs if spec.kind.name == "USER_INPUT")
        shape = next(node for node in exported.graph.nodes if node.name == name).meta["val"].shape
        for axis, (_, extent) in free.items():
            symbol = shape[axis].node.expr if isinstance(shape[axis], torch.SymInt) else None
            allowed = exported.range_constraints.get(symbol)
            require(allowed is not None and allowed.lower <= max(2, extent["min"]) and extent["max"] <= allowed.upper, 4,
                    f"forward is not the same for all sizes: {why}")

    def _parity(self, run):
        cases = [self.inputs(batch, seed=30 + batch, size=size) for size in self.sizes() for batch in sorted({1, 2, min(5, self.max_batch)})]
        cases.append(self.inputs(self.max_batch, seed=39))
        return checks.parity(self.module, run, cases, checks.TOLERANCE.get(self.dtype, 1e-5))

    def _graph(self, exported):
        try:
            graph, tensors = exported_graph.graph_of(exported, self.input_names())
        except exported_graph.NotExportable as e:
            raise Refused(5, str(e)) from e
        self.found[5] = f"{len(graph['nodes'])} nodes, {len({node['op'] for node in graph['nodes']})} operators"
        return graph, tensors

    def _gradient(self, run):
        if not self.differentiable:
            return "not asked for"
        if self.dtype in (torch.float16, torch.bfloat16):
            return f"not compared: differences are below the resolution of {self.dtype}"
        frames, *rest = self.inputs(min(2, self.max_batch), seed=40)
        fine = copy.deepcopy(self.module).double()
        try:
            with torch.no_grad():
                fine(frames.double(), *rest)
            steps = (1e-4, 0.01)  # few kinks lie within the first; the second is for what rounds
        except RuntimeError:  # forward names float32
            fine, steps = (lambda x, *rest: self.module(x.to(self.dtype), *rest)), (0.02, 0.005)
        return checks.gradient(lambda x: run(x, *rest), lambda x: fine(x, *rest), frames, len(self.dimensions), steps)

    def _text(self):
        if self.tokenizer is None:
            self.found[7] = "reads no text"
            self.tokenizer_spec = None
            return
        if isinstance(self.tokenizer, (str, os.PathLike)):
            import transformers
            self.tokenizer = transformers.AutoTokenizer.from_pretrained(self.tokenizer)
        self.text_length = self.text_length or self.tokenizer.model_max_length
        rows = [m.num_embeddings for m in self.module.modules() if isinstance(m, torch.nn.Embedding)]
        self.tokenizer_spec = checks.text(self.tokenizer, self.text_length, max(rows, default=len(self.tokenizer)), self.prompts)
        self.found[7] = f"{self.tokenizer_spec['kind']}, {self.text_length} tokens of {self.tokenizer_spec['vocabulary']}"

    # The folder.

    def _write(self, folder, graph, tensors, environment):
        folder.mkdir()
        (folder / "graph.json").write_text(json.dumps(graph))
        save_file(tensors, folder / "weights.safetensors")
        if self.tokenizer is not None:
            self.tokenizer.save_pretrained(folder / "tokenizer")
        if self.processor is not None:
            (folder / "processor").mkdir()
            shutil.copy(pathlib.Path(self.processor) / "preprocessor_config.json", folder / "processor")
        kinds = {"frames": self.kind, "tokens": "tokens", "token_mask": "token_mask"}
        description = {
            "format": "thalweg-exported/1", "name": self.name, "licence": self.licence, "source": self.source,
            "dimensions": [{"name": d} | ({"range": dict(zip(("low", "high"), map(float, self.ranges[d])))} if d in self.ranges else {})
                           for d in self.dimensions],
            "inputs": [{"name": name, "kind": kinds[name]} for name in self.input_names()],
            "max_batch": self.max_batch, "height": self.height, "width": self.width, "frames": self.frames,
            "preprocess": self.preprocess, "dtype": str(self.dtype).removeprefix("torch."), "differentiable": self.differentiable,
            "exported_by": environment}
        if self.tokenizer_spec:
            description["tokenizer"] = self.tokenizer_spec
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        description["files"] = {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
        (folder / "reward.json").write_text(json.dumps(description, indent=1) + "\n")


def _extent(size):
    if isinstance(size, int):
        size = (size, size)
    return {"min": size[0], "max": size[1], "multiple": size[2] if len(size) > 2 else 1}


def _dimension(name, extent):
    step = extent["multiple"]
    low, high = -(-extent["min"] // step), extent["max"] // step
    return Dim(name, min=low, max=high) if step == 1 else step * Dim(f"{name}_{step}", min=low, max=high)


def export_reward(module, folder, *, program=None, **arguments):
    """Checks `module`, writes `folder`, and returns what each check found. README.md lists the arguments."""
    return Export(module, **arguments).run(folder, program or os.environ.get("THALWEG_PROGRAM", "thalweg"))


def main():
    parser = argparse.ArgumentParser(description="Writes a PyTorch reward network as a folder for the plugin `exported`.")
    parser.add_argument("source", help="Python file with a function that returns the arguments of export_reward: FILE or FILE:FUNCTION")
    parser.add_argument("folder")
    parser.add_argument("--program", help="thalweg, which scores the golden pictures")
    arguments = parser.parse_args()
    file, _, function = arguments.source.partition(":")
    sys.path.insert(0, str(pathlib.Path(file).resolve().parent))
    made = runpy.run_path(file)[function or "make"]()
    try:
        found = export_reward(folder=arguments.folder, program=arguments.program, **made)
    except Refused as e:
        sys.exit(f"not exported: {e}")
    for check, what in found.items():
        print(f"{check}: {what}")


if __name__ == "__main__":
    main()
