#!/usr/bin/env python3
"""Regenerates diabetes.csv, breast-cancer.svm, digits.csv.gz and wine.csv from scikit-learn (Debian: python3-sklearn).

Usage: python3 examples/data/make-sklearn.py [DIRECTORY], from the root of the project.
"""
import gzip
import sys

import numpy as np
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits, load_wine


def standardise(column):
    return (column - column.mean()) / column.std()


def write_diabetes(path):
    """The 64 predictors of Efron, Hastie, Johnstone, Tibshirani (Ann. Statist. 32, 2004): 10 measurements, the squares
    of all but sex (which has two values only), and their 45 products; each standardised."""
    measured = load_diabetes(scaled=False)
    names = list(measured.feature_names)
    base = [standardise(column) for column in measured.data.T]
    columns = dict(zip(names, base))
    for i, first in enumerate(names):
        for j, second in enumerate(names[i:], start=i):
            if i == j and first == "sex":
                continue
            name = first + "^2" if i == j else first + ":" + second
            columns[name] = standardise(base[i] * base[j])
    with open(path, "w") as file:
        file.write(",".join(["progression", *columns]) + "\n")
        for y, row in zip(measured.target, np.column_stack(list(columns.values()))):
            file.write(",".join(["%d" % y, *("%.5g" % x for x in row)]) + "\n")


def write_breast_cancer(path):
    """30 standardised measurements; +1 benign, -1 malignant."""
    measured = load_breast_cancer()
    data = np.column_stack([standardise(column) for column in measured.data.T])
    with open(path, "w") as file:
        for y, row in zip(measured.target, data):
            file.write(" ".join(["+1" if y else "-1", *("%d:%.5g" % (j + 1, x) for j, x in enumerate(row))]) + "\n")


def write_digits(path):
    """64 grey values, 0 to 16, of 8 x 8 pixels; the digit comes first."""
    digits = load_digits()
    with gzip.GzipFile(path, "wb", mtime=0) as file:
        file.write((",".join(["digit", *("p%d%d" % (i, j) for i in range(8) for j in range(8))]) + "\n").encode())
        for digit, row in zip(digits.target, digits.data):
            file.write((",".join(["%d" % digit, *("%d" % x for x in row)]) + "\n").encode())


def write_wine(path):
    """13 measurements as they are; the cultivar, 0 to 2, comes first."""
    wine = load_wine()
    with open(path, "w") as file:
        file.write(",".join(["cultivar", *(name.replace("/", "_") for name in wine.feature_names)]) + "\n")
        for cultivar, row in zip(wine.target, wine.data):
            file.write(",".join(["%d" % cultivar, *("%g" % x for x in row)]) + "\n")


if __name__ == "__main__":
    output = sys.argv[1] if len(sys.argv) > 1 else "examples/data"
    write_diabetes(output + "/diabetes.csv")
    write_breast_cancer(output + "/breast-cancer.svm")
    write_digits(output + "/digits.csv.gz")
    write_wine(output + "/wine.csv")
