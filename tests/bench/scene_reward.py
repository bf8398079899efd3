"""The scene reward as a Python user writes it: numpy and scipy.ndimage, one picture after the other. The same rules as
plugins/scene, so that both sides of the benchmark do the same work; the driver compares the scores."""

import numpy as np
from scipy import ndimage

COLORS = {"red": (.90, .12, .12), "green": (.10, .70, .15), "blue": (.10, .20, .90), "yellow": (.95, .85, .10),
          "purple": (.65, .10, .70), "cyan": (.10, .80, .90)}
PALETTE = np.array(list(COLORS.values()), dtype=np.float32)
SHAPES = {"circle": (.70, .84, .7854, .08), "square": (.92, 1.06, 1., .08), "triangle": (.42, .68, .5, .15)}
COUNTS = {"a": 1, "one": 1, "two": 2, "three": 3, "four": 4}
RELATIONS = {"left": (-1, 0), "right": (1, 0), "above": (0, -1), "below": (0, 1)}
CROSS, SQUARE = ndimage.generate_binary_structure(2, 1), np.ones((3, 3), bool)


def parse(prompt):
    """[(colour, shape, count)] and the direction in which the first group lies from the second."""
    words, groups, relation = prompt.lower().rstrip(".").split(), [], None
    while words:
        count, color, shape, *words = words
        groups.append((color, shape.rstrip("s") if COUNTS[count] > 1 else shape, COUNTS[count]))
        if words:
            link, *words = words
            if link in RELATIONS:
                relation = RELATIONS[link]
            if link in ("left", "right"):
                words = words[1:]
    return groups, relation


def cover_of(rgb):
    least = rgb.min(0)
    ground = least > .85
    level = least[ground].mean() if ground.any() else .97
    return np.clip(((level - least) / (level - .15) - .5) * 1.6 + .5, 0, 1)


def color_of(rgb, inside):
    pixels = rgb[:, inside].T
    if not len(pixels):
        return None
    saturated = pixels.max(1) - pixels.min(1) > .25
    distance = ((pixels[:, None] - PALETTE) ** 2).sum(-1)
    nearest = distance.argmin(1)
    counts = np.bincount(nearest[saturated & (distance.min(1) < .09)], minlength=len(PALETTE)) / len(pixels)
    most = counts.argmax()
    return None if counts[most] < .7 or counts.sum() - counts[most] > .04 else list(COLORS)[most]


def ideal(shape, x, y, width, height):
    step = lambda distance: np.clip(.5 - distance, 0, 1)
    if shape == "square":
        return step(abs(x) - width / 2) * step(abs(y) - height / 2)
    if shape == "circle":
        return step((np.hypot(2 * x / width, 2 * y / height) - 1) * min(width, height) / 2)
    slant = (abs(x) * height - (y + height * 2 / 3) * width / 2) / np.hypot(height, width / 2)
    return step(slant) * step(y - height / 3)


def shape_of(cover):
    area, width, height = cover.sum(), cover.sum(1).max(), cover.sum(0).max()
    rows, columns = np.mgrid[:cover.shape[0], :cover.shape[1]] + .5
    x, y = (cover * columns).sum() / area, (cover * rows).sum() / area
    fill, found = area / (width * height), None
    for shape, (least, most, full, mismatch) in SHAPES.items():
        if not least <= fill <= most or max(width, height) / min(width, height) > 1.4:
            continue
        grow = np.sqrt(area / (width * height * full))
        if abs(cover - ideal(shape, columns - x, rows - y, width * grow, height * grow)).sum() / area <= mismatch:
            found = shape
    return found, x, y


def objects_of(rgb):
    height, width = rgb.shape[1:]
    cover = cover_of(rgb)
    labels, count = ndimage.label(cover > .5, CROSS)
    found = []
    for label, box in zip(range(1, count + 1), ndimage.find_objects(labels)):
        piece = labels == label
        if piece.sum() < np.ceil(30 / 4096 * height * width):
            continue
        inside = ndimage.binary_erosion(piece, CROSS)
        rim = ndimage.binary_dilation(piece, SQUARE) & (labels == 0)
        top, left = max(box[0].start - 1, 0), max(box[1].start - 1, 0)
        window = np.s_[top:box[0].stop + 1, left:box[1].stop + 1]
        shape, x, y = shape_of((cover * (piece | rim))[window])
        found.append((color_of(rgb, inside), shape, (x + left) / width, (y + top) / height))
    return found


def score(rgb, prompt):
    """(soft, strict) of one picture [3,H,W] in [0,1]."""
    groups, relation = parse(prompt)
    objects = objects_of(rgb)
    if not objects:
        return 0., 0.
    colors = [color for color, *_ in objects]
    asked = {color: sum(n for c, _, n in groups if c == color) for color in COLORS}
    credit = 0.
    for color, shape, n in groups:
        exact = min(sum(o[:2] == (color, shape) for o in objects), n)
        credit += .75 * exact / n + .25 * min(colors.count(color), asked[color]) / asked[color]
    if relation:  # of each object of the first group to each of the second
        first, second = ([o for o in objects if o[:2] == g[:2]] for g in groups)
        offsets = [(a[2] - b[2]) * relation[0] + (a[3] - b[3]) * relation[1] for a in first for b in second]
        credit += float(np.mean([offset >= .125 for offset in offsets])) if offsets else 0.
    extras = colors.count(None) + sum(max(0, colors.count(color) - asked[color]) for color in COLORS)
    soft = credit / (len(groups) + bool(relation)) / (1 + .5 * extras)
    return soft, float(soft == 1)


def rewards(frames_B3HW, prompts):
    """Mean of soft and strict, as the benchmark's jobs weigh them."""
    return np.array([np.mean(score(rgb, prompt)) for rgb, prompt in zip(frames_B3HW, prompts)])
