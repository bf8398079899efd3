"""The checks that stand between a network and its folder. Each says what it found, or refuses by its name."""

import math
import platform

import torch

import exported_graph

NAMES = {1: "frozen", 2: "batch", 3: "parity", 4: "preprocessing", 5: "operators", 6: "gradient", 7: "text", 8: "weights",
         9: "environment", 10: "provenance", 11: "reload"}
# Largest difference between eager and exported scores, for scores of about 1; greater ones in proportion.
TOLERANCE = {torch.float32: 1e-5, torch.float64: 1e-5, torch.float16: 1e-2, torch.bfloat16: 1e-2}
DTYPES = ("float32", "float16", "bfloat16")


class Refused(Exception):
    """The network cannot be exported as it is. `check` is the number of the check that it fails."""

    def __init__(self, check, reason):
        super().__init__(f"check {check} ({NAMES[check]}): {reason}")
        self.check = check


def require(condition, check, reason):
    if not condition:
        raise Refused(check, reason)


def difference(a, b):
    """Largest difference in units of the larger of 1 and the score."""
    a, b = a.double(), b.double()
    return ((a - b).abs() / b.abs().clamp(min=1)).max().item()


def frozen(module):
    training = [name or "the module" for name, part in module.named_modules() if part.training]
    require(not training, 1, f"{training[:3]} in training mode: call eval()")
    trained = [name for name, parameter in module.named_parameters() if parameter.requires_grad]
    require(not trained, 1, f"{trained[:3]} require gradients: call requires_grad_(False)")


def one_output(scores, batch, dimensions):
    require(isinstance(scores, torch.Tensor) and scores.is_floating_point(), 1, f"forward gives {type(scores).__name__}; "
            "a reward gives one floating tensor")
    require(tuple(scores.shape) == (batch, dimensions), 1,
            f"forward gives the shape {list(scores.shape)}, not [batch, {dimensions}]: one column for each of `dimensions`")


def without_state(program):
    signature = program.graph_signature
    changed = list(signature.buffers_to_mutate.values()) + list(getattr(signature, "user_inputs_to_mutate", {}).values())
    require(not changed, 1, f"forward changes {changed[:3]}: a score may not depend on earlier ones")
    random = [exported_graph.name_of(node) for node in program.graph.nodes
              if node.op == "call_function" and exported_graph.draws_random_numbers(node)]
    require(not random, 1, f"forward draws random numbers ({random[0] if random else ''})")
    return "in eval mode, no state, no random numbers"


def batches(run, make, dimensions, most):
    """run: inputs -> scores; make: (batch, seed) -> inputs."""
    for batch in sorted({1, 2, most}):
        try:
            scores = run(*make(batch, seed=batch))
        except Exception as e:
            raise Refused(2, f"a batch of {batch} fails: {e}") from e
        require(tuple(scores.shape) == (batch, dimensions), 2, f"a batch of {batch} gives the shape {list(scores.shape)}")
    batch = min(4, most)
    inputs = make(batch, seed=21)
    before = run(*inputs)
    other = make(batch, seed=22)
    moved = [torch.cat([theirs[:1], mine[1:]]) for mine, theirs in zip(inputs, other)]
    after = run(*moved)
    if batch > 1:
        leak = difference(after[1:], before[1:])
        require(leak <= 1e-4, 2, f"the score of a row changes by {leak:.2g} when another row does: rows must be scored alone")
    return f"1, 2 and {most} rows; rows do not see each other"


def parity(eager, exported, cases, tolerance):
    """cases: lists of inputs."""
    worst = 0.0
    for inputs in cases:
        with torch.no_grad():
            theirs, ours = eager(*inputs), exported(*inputs)
        require(bool(torch.isfinite(theirs).all()), 3, f"forward gives NaN or infinity for an input {list(inputs[0].shape)}")
        worst = max(worst, difference(ours, theirs))
        require(worst <= tolerance, 3, f"the exported program differs from forward by {worst:.2g} for {list(inputs[0].shape)}; "
                f"at most {tolerance:g} is accepted")
    return f"at most {worst:.2g} from eager in {len(cases)} shapes"


def gradient(score, fine, frames, dimensions, steps):
    """score: frames -> [B,K], differentiable: what is exported. fine: the same in float64 where the network can be run so, whose
    differences of fourth order are taken; steps: their widths, of which one must agree."""
    generator = torch.Generator().manual_seed(5)
    cotangent = torch.randn(frames.shape[0], dimensions, generator=generator)
    x = frames.clone().requires_grad_(True)
    value = (score(x) * cotangent.to(frames)).sum()
    slope = torch.autograd.grad(value, x, allow_unused=True)[0] if value.requires_grad else None
    slope = (torch.zeros_like(frames) if slope is None else slope).detach().double()
    require(bool(torch.isfinite(slope).all()), 6, "the gradient holds NaN or infinity")
    steepest = slope / slope.abs().flatten(1).amax(1).clamp(min=1e-30).view(-1, *[1] * (slope.dim() - 1))
    signs = torch.randint(0, 2, frames.shape, generator=generator).to(slope) * 2 - 1
    worst = max(_disagreement(fine, frames.double(), direction, cotangent.to(slope), slope, steps)
                for direction in (steepest, signs, torch.ones_like(slope)))
    return f"within {worst:.2g} of finite differences"


def _disagreement(fine, frames, direction, cotangent, slope, steps, tolerance=0.02):
    def total(step):
        with torch.no_grad():
            return (fine(frames + step * direction).double() * cotangent).flatten(1).sum(1)

    said = (slope * direction).flatten(1).sum(1)
    size = slope.flatten(1).norm(dim=1)
    tries = []
    for step in steps:
        expected = (8 * (total(step / 2) - total(-step / 2)) - (total(step) - total(-step))) / (6 * step)
        # Signs meet the gradient at about its length, so that is the measure where they cancel.
        off = ((said - expected).abs() - 1e-5) / torch.maximum(expected.abs(), size).clamp(min=1e-12)
        row = int(off.argmax())
        tries.append((off[row].item(), said[row].item(), expected[row].item()))
    off, said_there, expected_there = min(tries)
    require(off <= tolerance, 6, f"the gradient says {said_there:.4g} along a direction in which the scores change by "
            f"{expected_there:.4g}; if that is meant (detach, rounding), export with differentiable=False")
    return max(off, 0.0)


def text(tokenizer, length, rows, prompts):
    """What reward.json says of the tokenizer."""
    kind = {"CLIPTokenizer": "clip", "CLIPTokenizerFast": "clip", "T5Tokenizer": "t5", "T5TokenizerFast": "t5"}.get(
        type(tokenizer).__name__)
    require(kind is not None, 7, f"{type(tokenizer).__name__} is not among the tokenizers that the program has (CLIP's and T5's)")
    require(kind != "clip" or tokenizer.model_max_length == length, 7,
            f"the tokenizer gives {tokenizer.model_max_length} tokens (model_max_length) and the network takes {length}")
    require(tokenizer.pad_token_id is not None and tokenizer.eos_token_id is not None, 7, "the tokenizer has no padding or no end")
    highest = max(tokenizer.get_vocab().values())
    require(highest < rows, 7, f"the tokenizer has ids up to {highest}, and the network's embedding has {rows} rows")
    ids = tokenizer(prompts, padding="max_length", truncation=True, max_length=length, return_tensors="pt").input_ids
    require(ids.shape[1] == length, 7, f"a prompt became {ids.shape[1]} tokens, not {length}")
    return {"kind": kind, "length": length, "vocabulary": rows, "eos": tokenizer.eos_token_id, "pad": tokenizer.pad_token_id}


def weights(tensors):
    for name, tensor in tensors.items():
        require(tensor.layout == torch.strided and not tensor.is_complex() and not tensor.is_quantized, 8,
                f"{name} is {tensor.dtype} {tensor.layout}, which safetensors cannot hold here")
        require(not tensor.is_floating_point() or bool(torch.isfinite(tensor).all()), 8, f"{name} holds NaN or infinity")
    count = sum(tensor.numel() for tensor in tensors.values())
    return f"{len(tensors)} tensors, {count} elements"


def environment(dtype, device):
    """What reward.json says of where the network was exported, and its dtype."""
    word = str(dtype).removeprefix("torch.")
    require(word in DTYPES, 9, f"the network is {word}; export it in one of {', '.join(DTYPES)}")
    version = tuple(int(part) for part in torch.__version__.split("+")[0].split(".")[:2])
    require(version >= (2, 6), 9, f"torch {torch.__version__} is too old: 2.6 or newer")
    return {"torch": torch.__version__, "device": str(device), "machine": platform.machine(),
            "isa": torch.backends.cpu.get_cpu_capability()}


def provenance(licence, source):
    for what, said in (("licence", licence), ("source", source)):
        require(isinstance(said, str) and said.strip() != "", 10, f"no {what} is given: say under which licence the weights are and "
                "where they come from; \"unknown\" is an answer")
    return f"{licence}; {source}"


def reload(golden, scored, tolerance):
    """golden, scored: [N,K] lists, those of this process and of the program."""
    require(len(golden) == len(scored), 11, f"the program scored {len(scored)} of {len(golden)} pictures")
    worst = 0.0
    for row, (mine, theirs) in enumerate(zip(golden, scored)):
        for a, b in zip(mine, theirs, strict=True):
            require(b is not None and math.isfinite(b), 11, f"the program does not score golden picture {row}")
            worst = max(worst, abs(a - b) / max(1.0, abs(a)))
    require(worst <= tolerance, 11, f"the program's scores differ from this process's by {worst:.2g}; at most {tolerance:g} is accepted")
    return f"the program's scores differ by at most {worst:.2g}"
