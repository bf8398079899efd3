"""Where methods of the transition loop stop on a Gaussian with the reward mean(x), by the steps of their own sampler.

The policy is N(m, s^2) in each of D elements. A step from noise level t to t' is x' = a x + b m + S e, with numbers a, b and S of its own,
and x_0 is linear in all noises e. At a ratio of 1 an advantage A and a KL in the units of the steps' noise pull m by the sum over trained steps of

    weight E[A e] b / S - beta m (b / S)^2,

so m ends where that is 0. With A = (r - E r) / sigma, E[A e] = g S / (sigma D), where g = dx_0 / dx' is what of a step reaches x_0. Nothing pulls s:
the mean of x_t is (1-t) m whatever s is, and no step's mean changes with s there.
"""

import math

import numpy as np

ELEMENTS, DEVIATION = 16, 0.5  # D and s


def slope_and_offset(mean, s, t):
    """v(x_t) = slope x_t + offset of N(mean, s^2) at noise level t."""
    gain = (1 - t) * s**2 / ((1 - t) ** 2 * s**2 + t**2)  # E[x_0 | x_t] = mean + gain (x_t - (1-t) mean)
    return (1 - gain) / t, (gain * (1 - t) - 1) * mean / t


# Kernels: (x_scale, v_scale, S) of step i.


def reverse_sde(t, to, g):
    dt = to - t
    return 1 + g * g / (2 * t) * dt, (1 + g * g * (1 - t) / (2 * t)) * dt, g * math.sqrt(-dt)


def renoised(t, to, std):
    kept = math.sqrt(to * to - std * std)
    return (1 - to) + kept, kept * (1 - t) - (1 - to) * t, std


def memoryless(levels, i):
    t, to = levels[i], levels[i + 1]
    kept = (1 - t) / (1 - to) * to / t
    return renoised(t, to, to * math.sqrt((1 - kept) * (1 + kept)))


def flow_sde(levels, i):
    t = levels[i]
    return reverse_sde(t, levels[i + 1], 0.7 * math.sqrt(t / (1 - (levels[1] if i == 0 else t))))


def dance_sde(levels, i):
    return reverse_sde(levels[i], levels[i + 1], 0.3)


def cps(levels, i):
    return renoised(levels[i], levels[i + 1], levels[i + 1] * math.sin(0.4 * math.pi))


class Path:
    """Its steps draw noise where `noisy` says so, and are Euler's elsewhere."""

    def __init__(self, kernel, steps, noisy):
        levels = 1.0 - np.arange(steps + 1) / steps
        self.a, self.b, self.std = np.empty(steps), np.empty(steps), np.zeros(steps)
        for i in range(steps):
            x_scale, v_scale = 1.0, levels[i + 1] - levels[i]
            if i in noisy:
                x_scale, v_scale, self.std[i] = kernel(levels, i)
            slope, offset = slope_and_offset(1.0, DEVIATION, levels[i])
            self.a[i], self.b[i] = x_scale + v_scale * slope, v_scale * offset
        self.reaches = np.append(np.cumprod(self.a[::-1])[::-1], 1.0)[1:]  # x_0, by the step
        variance = self.reaches[0] ** 2 * self.a[0] ** 2 + (self.reaches**2 * self.std**2).sum()
        self.sigma = math.sqrt(variance / ELEMENTS)  # of mean(x_0)


def of_group(n, ddof=0):
    """By how much E[A e] is less where mean and deviation are those of n samples."""
    unbiased = math.sqrt(2 / (n - 1)) * math.exp(math.lgamma(n / 2) - math.lgamma((n - 1) / 2))  # its expectation
    return unbiased * ((n - 1) / n if ddof else math.sqrt((n - 1) / n))


def balanced(beta, terms):
    """m, of (weight, E[A e], b, S, count) of each trained step."""
    pulls = sum(count * weight * pull * b / std for weight, pull, b, std, count in terms)
    return pulls / (beta * sum(count * (b / std) ** 2 for _, _, b, std, count in terms))


def walked(kernel, steps, windows, weight=lambda std, dt: 1.0):
    """Noise in a window that moves through `windows`; the schedule's last step is not trained."""
    terms = []
    for noisy in windows:
        path = Path(kernel, steps, noisy)
        for i in sorted(noisy):
            if i < steps - 1 and path.std[i] > 0:
                std = path.std[i]
                terms.append((weight(std, 1 / steps), path.reaches[i] * std / (path.sigma * ELEMENTS), path.b[i], std, 1))
    return terms


def branched(kernel, steps, at):
    """TempFlow-GRPO: the ODE's path, and at each of the steps `at` branches that differ by that step's noise alone. A step weighs what
    its noise is of the mean one."""
    own = Path(kernel, steps, set(range(steps)))
    mean = own.std[at].mean()
    return [(own.std[i] / mean, 1 / math.sqrt(ELEMENTS), own.b[i], own.std[i], 1) for i in at]


def grown(kernel, steps, splits, leaves, groups=20000):
    """BranchGRPO: E[A e] of each depth by simulation; the reward of a node is the mean of its leaves'. A depth counts by its nodes."""
    path = Path(kernel, steps, set(range(steps)))
    random = np.random.default_rng(0)
    x = random.standard_normal((groups, leaves // 2 ** len(splits)))  # sqrt(D) times the mean over elements
    noises = []
    for i in range(steps):
        x = np.repeat(x, 2, axis=1) if i in splits else x
        noises.append(random.standard_normal(x.shape))
        x = path.a[i] * x + path.std[i] * noises[i]
    terms = []
    for i, noise in enumerate(noises[:-1]):
        reward = x.reshape(groups, noise.shape[1], -1).mean(2)
        advantage = (reward - reward.mean(1, keepdims=True)) / reward.std(1, ddof=1, keepdims=True)
        terms.append((1.0, (advantage * noise).mean() / math.sqrt(ELEMENTS), path.b[i], path.std[i], noise.shape[1]))
    return terms
