"""The rows of the steering benchmark: what is drawn without steering, and what each method is given at a multiple n of the
28 network evaluations that a sample costs alone. `rows` are (name, sampler, steering of n, multiples)."""

STEPS = 28
MULTIPLES = (2, 4, 8, 16)
ODE = {"name": "flow_ode"}
SDE = {"name": "flow_sde", "noise_level": 0.7}
MEMORYLESS = {"name": "memoryless"}


def base_rows():
    """(name, steps, sampler): what is there without steering, at 1 and at more evaluations."""
    rows = [("flow_ode", STEPS, ODE), ("flow_sde", STEPS, SDE), ("memoryless", STEPS, MEMORYLESS)]
    rows += [(f"flow_ode, {STEPS * n} steps", STEPS * n, ODE) for n in (2, 4)]
    return rows + [("flow_ode, guidance 1.5", STEPS, {**ODE, "guidance_scale": 1.5})]


def from_step(begin):
    return {"begin": begin, "size": 0}


def fk(strength, **keys):
    return lambda n: {"name": "fk", "particles": n, "lambda": strength, "interval": 4, **keys}


def doob(**keys):
    return lambda n: {"name": "doob", "candidates": n, "temperature": 0.3, "window": from_step(2), **keys}


def of_particles(name, **keys):
    return lambda n: {"name": name, "particles": n, **keys}


def svdd(temperature):
    return lambda n: {"name": "svdd", "candidates": n, "temperature": temperature}


def rollouts_of_two(n):
    """Two evaluations for each candidate of a step: half as many candidates, and at 2x in the last steps alone."""
    begin = 16 if n == 2 else 2
    return doob(form="pick", lookahead="rollout", rollout_steps=2, window=from_step(begin))(max(2, n // 2))


def best_of_rows(samplers, multiples):
    return [(best_of_name(sampler), sampler, of_particles("best_of_n"), multiples) for sampler in samplers]


def best_of_name(sampler):
    return "best_of_n" if sampler == MEMORYLESS else f"best_of_n, {sampler['name']}"


def scene_rows(strength):
    late = from_step(12)
    return [
        *best_of_rows((ODE, MEMORYLESS), MULTIPLES),
        ("fk", MEMORYLESS, fk(strength), MULTIPLES),
        ("fk from step 12", MEMORYLESS, fk(strength, window=late), MULTIPLES),
        ("fk from step 12, returned best", MEMORYLESS, fk(strength, window=late, returned="best"), MULTIPLES),
        ("fk max", MEMORYLESS, fk(strength, potential="max"), (4,)),
        ("fk, flow_sde", SDE, fk(strength), (4,)),
        ("svdd", MEMORYLESS, svdd(1 / strength), MULTIPLES),
        ("doob pick, recompute", MEMORYLESS, doob(form="pick", lookahead="recompute"), MULTIPLES),
        ("doob drift, recompute", MEMORYLESS, doob(form="drift", lookahead="recompute"), (2, 4, 8)),
        ("doob pick, rollout of 2", MEMORYLESS, rollouts_of_two, (2, 4, 8)),
    ]


def hard_base_rows():
    guided = [(f"flow_ode, guidance {scale:g}", {**ODE, "guidance_scale": scale}) for scale in (1.5, 2.0)]
    return [("flow_ode", ODE), ("memoryless", MEMORYLESS), *guided]


def hard_rows(strength):
    """Of captions that a sample alone seldom meets: what chooses late, and what looks furthest ahead."""
    late, early = from_step(12), from_step(8)
    return [
        *best_of_rows((MEMORYLESS,), (4, 8, 16)),
        ("fk from step 12", MEMORYLESS, fk(strength, window=late), (4, 16)),
        ("fk from step 12, returned best", MEMORYLESS, fk(strength, window=late, returned="best"), (4, 8, 16)),
        ("fk from step 8, returned best", MEMORYLESS, fk(strength, window=early, returned="best"), (8, 16)),
        ("svdd", MEMORYLESS, svdd(1 / strength), (4,)),
        ("doob pick, rollout of 2", MEMORYLESS, rollouts_of_two, (4, 8)),
    ]


def cheap_rows(strength):
    """Many rewards of one look ahead: no more evaluations of the network, n rewards a step."""
    return [
        ("doob pick, shared", MEMORYLESS, doob(form="pick", lookahead="shared"), (4, 8)),
        ("doob drift, shared", MEMORYLESS, doob(form="drift", lookahead="shared", gamma=0.5), (4,)),
        ("doob vjp, shared", MEMORYLESS, doob(form="vjp", lookahead="shared", gamma=0.5), (4,)),
        ("spsa", MEMORYLESS, lambda n: {"name": "spsa", "probes": n // 2, "lambda": strength / 10, "radius": 0.1,
                                        "max_sigma": 0.8}, (4,)),
    ]


def gradient_rows(strength):
    """For a reward with a gradient."""
    return [
        *[(f"dps, lambda {k:g}", MEMORYLESS, lambda n, k=k: {"name": "dps", "lambda": k, "max_sigma": 0.9}, (1,))
          for k in (30.0, 100.0)],
        *best_of_rows((MEMORYLESS,), MULTIPLES),
        ("fk", MEMORYLESS, fk(strength), (4, 8)),
        ("fk, lambda 1000", MEMORYLESS, fk(1000.0), (4,)),
        ("svdd", MEMORYLESS, svdd(1 / strength), (4,)),
        ("svdd, temperature 0.001", MEMORYLESS, svdd(0.001), (4,)),
        ("doob pick, recompute", MEMORYLESS, lambda n: {"name": "doob", "candidates": n, "temperature": 0.1}, (4,)),
        ("das", MEMORYLESS, of_particles("das", **{"lambda": strength}), (2, 4, 8)),
        ("guided_smc", MEMORYLESS, lambda n: {"name": "guided_smc", "particles": n // 2, "lambda": strength}, (2, 4, 8)),
    ]


def settings(rows):
    """One line a method: what it is given beside the particles or candidates that its multiple says."""
    lines = []
    for name, sampler, steering, multiples in rows:
        jobs = [flat(steering(n)) for n in multiples]
        said = []
        for key in jobs[0]:
            values = [job[key] for job in jobs]
            as_multiple = key in ("particles", "candidates") and values == list(multiples)
            if key != "name" and not as_multiple and not (key.endswith("/size") and values[0] == 0):
                each = [f"{value:g}" if isinstance(value, float) else str(value) for value in values]
                said.append(f"`{key}` " + (each[0] if len(set(each)) == 1 else " / ".join(each)))
        if said:
            drawn = " ".join(str(value) for pair in sampler.items() for value in pair if value != "name")
            lines.append(f"- {name} ({drawn}; {', '.join(f'{n}x' for n in multiples)}): " + ", ".join(said))
    return "\n".join(lines)


def flat(section, head=""):
    out = {}
    for key, value in section.items():
        out.update(flat(value, f"{head}{key}/") if isinstance(value, dict) else {head + key: value})
    return out
