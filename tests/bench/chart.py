"""A small SVG of curves: axes with a grid, lines, dots, bands and a legend. The horizontal axis is `x_of` of its values."""

import numpy as np

COLORS = ["#4269d0", "#efb118", "#ff725c", "#6cc5b0", "#3ca951", "#ff8ab7", "#a463f2", "#97bbf5", "#9c6b4e", "#9498a0"]
WIDTH, HEIGHT, LEFT, BOTTOM, RIGHT = 820, 420, 60, 50, 250


class Chart:
    """`x_ticks` and `y_range` span it; 20 pixels are left above."""

    def __init__(self, x_ticks, y_range, x_of=lambda x: x):
        self.x_of, (self.low, self.high) = x_of, y_range
        self.lines = 0
        self.x0, self.x1 = x_of(min(x_ticks)), x_of(max(x_ticks))
        self.out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" '
                    'font-size="13">', f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>']
        for x in x_ticks:
            px, _ = self.at(x, self.low)
            self.out.append(f'<line x1="{px:.1f}" x2="{px:.1f}" y1="20" y2="{HEIGHT - BOTTOM}" stroke="#e3e3e3"/>'
                            f'<text x="{px:.1f}" y="{HEIGHT - BOTTOM + 18}" text-anchor="middle">{x:g}</text>')
        for y in np.linspace(self.low, self.high, 6):
            _, py = self.at(x_ticks[0], y)
            self.out.append(f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{py:.1f}" y2="{py:.1f}" stroke="#e3e3e3"/>'
                            f'<text x="{LEFT - 8}" y="{py + 4:.1f}" text-anchor="end">{y:.2f}</text>')

    def at(self, x, y):
        return (LEFT + (self.x_of(x) - self.x0) / (self.x1 - self.x0) * (WIDTH - LEFT - RIGHT),
                HEIGHT - BOTTOM - (y - self.low) / (self.high - self.low) * (HEIGHT - BOTTOM - 20))

    def points(self, points):
        return " ".join(f"{px:.1f},{py:.1f}" for px, py in (self.at(*point) for point in points))

    def line(self, points, color):
        self.out.append(f'<polyline points="{self.points(points)}" fill="none" stroke="{color}" stroke-width="2"{dash(self.lines)}/>')
        self.lines += 1

    def dots(self, points, color):
        self.out += [f'<circle cx="{px:.1f}" cy="{py:.1f}" r="3.5" fill="{color}"/>'
                     for px, py in (self.at(*point) for point in points)]

    def band(self, lower, upper, color):
        self.out.append(f'<polygon points="{self.points([*lower, *reversed(upper)])}" fill="{color}" opacity="0.15"/>')

    def write(self, path, names, x_title, y_title):
        for i, (color, name) in enumerate(zip(color_cycle(), names)):
            y = 40 + 22 * i
            self.out.append(f'<line x1="{WIDTH - RIGHT + 20}" x2="{WIDTH - RIGHT + 44}" y1="{y - 4}" y2="{y - 4}" '
                            f'stroke="{color}" stroke-width="3"{dash(i)}/><text x="{WIDTH - RIGHT + 52}" y="{y}">{name}</text>')
        self.out.append(f'<text x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 10}" text-anchor="middle">{x_title}</text>'
                        f'<text x="16" y="{HEIGHT / 2}" transform="rotate(-90 16 {HEIGHT / 2})" text-anchor="middle">'
                        f'{y_title}</text></svg>')
        path.write_text("\n".join(self.out) + "\n")


def dash(number):
    """Of a line with as many before it: where colors come round again it is dashed."""
    return ' stroke-dasharray="6 4"' if number >= len(COLORS) else ""


def color_cycle():
    while True:
        yield from COLORS


def wide(values):
    """The range of the values and a twentieth more on both sides."""
    low, high = min(values), max(values)
    return low - 0.05 * (high - low), high + 0.05 * (high - low)
