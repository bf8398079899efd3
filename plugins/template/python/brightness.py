"""brightness: how bright a picture is, 0 = black to 1 = white. Change score(); it asks for what it wants by the names of its parameters."""

dimensions = ["brightness"]


def score(frames):
    """One value a sample, None for one that cannot be scored. frames: float32 [B,F,3,H,W] in [0,1]."""
    return frames.mean(axis=(1, 2, 3, 4))


def slope(frames, cotangent):
    """The derivative of what score() returns by each pixel, times the sample's cotangent; for steering by gradients."""
    return 0.0 * frames + cotangent.reshape(-1, 1, 1, 1, 1) / frames[0].size
