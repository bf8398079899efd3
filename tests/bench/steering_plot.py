"""The plot of the steering benchmark: a small SVG of its own."""

import numpy as np

from steering_rows import MULTIPLES, STEPS

COLORS = ["#4269d0", "#efb118", "#ff725c", "#6cc5b0", "#3ca951", "#ff8ab7", "#a463f2", "#97bbf5", "#9c6b4e", "#9498a0"]


def plot(curves, base, key, path):
    """`curves`: {name: [(evaluations, mean)]}; evaluations on a logarithmic axis."""
    width, height, left, bottom, right = 820, 420, 60, 50, 250
    xs = [x for points in curves.values() for x, _ in points] + [base[0]]
    ys = [y for points in curves.values() for _, y in points] + [base[1]]
    low, high = min(ys), max(ys)
    low, high = low - 0.05 * (high - low), high + 0.05 * (high - low)
    x0, x1 = np.log2(min(xs)), np.log2(max(xs))

    def at(x, y):
        return (left + (np.log2(x) - x0) / (x1 - x0) * (width - left - right),
                height - bottom - (y - low) / (high - low) * (height - bottom - 20))

    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="13">',
           f'<rect width="{width}" height="{height}" fill="white"/>']
    for x in sorted({STEPS * m for m in (1, *MULTIPLES)}):
        px, _ = at(x, low)
        out.append(f'<line x1="{px:.1f}" x2="{px:.1f}" y1="20" y2="{height - bottom}" stroke="#e3e3e3"/>'
                   f'<text x="{px:.1f}" y="{height - bottom + 18}" text-anchor="middle">{x}</text>')
    for y in np.linspace(low, high, 6):
        _, py = at(xs[0], y)
        out.append(f'<line x1="{left}" x2="{width - right}" y1="{py:.1f}" y2="{py:.1f}" stroke="#e3e3e3"/>'
                   f'<text x="{left - 8}" y="{py + 4:.1f}" text-anchor="end">{y:.2f}</text>')
    for color, (name, points) in zip(COLORS, curves.items()):
        path_points = " ".join(f"{px:.1f},{py:.1f}" for px, py in (at(*p) for p in [base] + sorted(points)))
        out.append(f'<polyline points="{path_points}" fill="none" stroke="{color}" stroke-width="2"/>')
        out += [f'<circle cx="{px:.1f}" cy="{py:.1f}" r="3.5" fill="{color}"/>' for px, py in (at(*p) for p in points)]
    for i, (color, name) in enumerate(zip(COLORS, curves)):
        y = 40 + 22 * i
        out.append(f'<line x1="{width - right + 20}" x2="{width - right + 44}" y1="{y - 4}" y2="{y - 4}" stroke="{color}" '
                   f'stroke-width="3"/><text x="{width - right + 52}" y="{y}">{name}</text>')
    out.append(f'<text x="{(left + width - right) / 2}" y="{height - 10}" text-anchor="middle">network evaluations a sample</text>'
               f'<text x="16" y="{height / 2}" transform="rotate(-90 16 {height / 2})" text-anchor="middle">{key}, mean</text></svg>')
    path.write_text("\n".join(out) + "\n")
