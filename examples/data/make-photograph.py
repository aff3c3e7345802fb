#!/usr/bin/env python3
"""Regenerates china.pgm from a photograph that scikit-learn brings along (Debian: python3-sklearn): grey, half as
wide and as high, a binary PGM.

Usage: python3 examples/data/make-photograph.py [DIRECTORY], from the root of the project.
"""
import sys

import numpy as np
from sklearn.datasets import load_sample_image


def main(directory):
    colours = load_sample_image("china.jpg").astype(float)
    grey = colours @ [0.299, 0.587, 0.114]
    height, width = grey.shape[0] // 2, grey.shape[1] // 2
    small = grey[: 2 * height, : 2 * width].reshape(height, 2, width, 2).mean(axis=(1, 3))
    with open(directory + "/china.pgm", "wb") as file:
        file.write(b"P5\n%d %d\n255\n" % (width, height))
        file.write(np.round(small).astype(np.uint8).tobytes())


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "examples/data")
