"""python3 test_brightness.py, or pytest: needs numpy and brightness.py alone."""

import numpy
from brightness import dimensions, score, slope


def test_order():
    black, white = numpy.zeros((2, 1, 3, 4, 4), "float32"), numpy.ones((2, 1, 3, 4, 4), "float32")
    assert (numpy.asarray(score(black)) < numpy.asarray(score(white))).all()


def test_one_value_a_sample_and_dimension():
    assert numpy.asarray(score(numpy.zeros((3, 1, 3, 4, 4), "float32"))).size == 3 * len(dimensions)


def test_slope_is_that_of_the_score():
    frames = numpy.random.default_rng(0).uniform(0.2, 0.8, (2, 1, 3, 4, 4)).astype("float32")
    up, down = frames.copy(), frames.copy()
    up[:, 0, 1, 2, 3] += 0.1
    down[:, 0, 1, 2, 3] -= 0.1
    expected = (numpy.asarray(score(up)) - numpy.asarray(score(down))) / 0.2
    assert numpy.allclose(slope(frames, numpy.ones((2, 1), "float32"))[:, 0, 1, 2, 3], expected, atol=1e-4)


if __name__ == "__main__":
    for name, test in list(globals().items()):
        if name.startswith("test_"):
            test()
            print(name, "passed")
