"""Other solvers of a linear model on the rows that linear.lua has written: CPU seconds of training with one thread.

usage: linear_peers.py FOLDER COLUMNS LOSS L1 L2   (LOSS: logistic, squared_hinge or hinge; in the sum form of linear.lua)

Prints `solver<TAB>tolerance<TAB>seconds<TAB>objective`. LIBLINEAR is called in its shared library, so that reading the
file is not timed.
"""
import ctypes as ct
import ctypes.util
import os
import sys
import time
import warnings

os.environ["OPENBLAS_NUM_THREADS"] = "1"
import numpy as np
import scipy.sparse as sp

warnings.filterwarnings("ignore")
folder, columns, loss = sys.argv[1], int(sys.argv[2]), sys.argv[3]
l1, l2 = float(sys.argv[4]), float(sys.argv[5])
start = np.fromfile(folder + "/start", np.int64)
index = np.fromfile(folder + "/index", np.uint32).astype(np.int32)
value = np.fromfile(folder + "/value", np.float64)
y = np.fromfile(folder + "/label", np.float64)
rows = len(y)
X = sp.csr_matrix((value, index, start.astype(np.int32)), shape=(rows, columns))


def objective(w):
    m = y * (X @ w)
    short = np.maximum(0, 1 - m)
    terms = {"logistic": np.logaddexp(0, -m), "squared_hinge": short**2 / 2, "hinge": short}[loss]
    return terms.sum() + l1 * abs(w).sum() + l2 / 2 * w @ w


def report(name, tolerance, seconds, w):
    print(f"{name}\t{tolerance:g}\t{seconds:.6f}\t{objective(w):.12g}", flush=True)


def best_of(runs, train):
    best, result = np.inf, None
    for _ in range(runs):
        begin = time.process_time()
        result = train()
        best = min(best, time.process_time() - begin)
        if best > 1:
            break
    return best, result


class Node(ct.Structure):
    _fields_ = [("index", ct.c_int), ("value", ct.c_double)]


class Problem(ct.Structure):
    _fields_ = [("l", ct.c_int), ("n", ct.c_int), ("y", ct.c_void_p), ("x", ct.c_void_p), ("bias", ct.c_double)]


def liblinear():
    path = ctypes.util.find_library("linear")
    if not path:
        return
    library = ct.CDLL(path)
    version = ct.c_int.in_dll(library, "liblinear_version").value
    later = [("nu", ct.c_double)] if version >= 240 else []
    last = [("regularize_bias", ct.c_int)] if version >= 241 else []

    class Parameter(ct.Structure):
        _fields_ = [("solver", ct.c_int), ("eps", ct.c_double), ("C", ct.c_double), ("weights", ct.c_int),
                    ("weight_label", ct.c_void_p), ("weight", ct.c_void_p), ("p", ct.c_double)] + later + [
                        ("start", ct.c_void_p)] + last

    class Model(ct.Structure):
        _fields_ = [("parameter", Parameter), ("classes", ct.c_int), ("features", ct.c_int),
                    ("w", ct.POINTER(ct.c_double)), ("label", ct.POINTER(ct.c_int)), ("bias", ct.c_double)]

    library.train.restype = ct.POINTER(Model)
    silence = ct.CFUNCTYPE(None, ct.c_char_p)(lambda text: None)
    library.set_print_string_function(silence)
    nodes = np.zeros(X.nnz + rows, np.dtype([("index", "i4"), ("value", "f8")], align=True))
    at = np.arange(X.nnz) + np.repeat(np.arange(rows), np.diff(X.indptr))
    nodes["index"][at], nodes["value"][at] = X.indices + 1, X.data
    nodes["index"][X.indptr[1:] + np.arange(rows)] = -1
    pointers = (nodes.ctypes.data + ct.sizeof(Node) * (X.indptr[:-1] + np.arange(rows))).astype(np.uint64)
    problem = Problem(rows, columns, y.ctypes.data, pointers.ctypes.data, -1)
    kinds = {("logistic", True): [(0, (1e-2, 1e-3, 1e-4, 1e-5)), (7, (1e-1, 3e-2, 1e-2, 1e-3))],
             ("logistic", False): [(6, (1e-2, 1e-3, 3e-4, 1e-4))],
             ("squared_hinge", True): [(2, (1e-2, 1e-3, 1e-4, 1e-5)), (1, (1e-1, 3e-2, 1e-2, 1e-3))],
             ("squared_hinge", False): [(5, (1e-2, 1e-3))],
             ("hinge", True): [(3, (1e-1, 1e-2, 1e-3))]}[(loss, l1 == 0)]
    for solver, tolerances in kinds:
        for eps in tolerances:
            cost = 1 / (l1 or l2) / (2 if loss == "squared_hinge" else 1)
            parameter = Parameter(solver=solver, eps=eps, C=cost, p=0.1)
            seconds, model = best_of(3, lambda: library.train(ct.byref(problem), ct.byref(parameter)))
            w = np.ctypeslib.as_array(model.contents.w, (columns,)).copy()
            report(f"LIBLINEAR -s {solver}", eps, seconds, w if model.contents.label[0] == 1 else -w)


def scikit_learn():
    try:
        from sklearn.linear_model import LogisticRegression
    except ImportError:
        return
    if loss != "logistic" or l1 > 0:
        return
    solvers = [("lbfgs", (1e-2, 1e-3, 1e-4))]
    if columns <= 1000:
        solvers.append(("newton-cholesky", (1e-3, 1e-5)))
    for solver, tolerances in solvers:
        for tolerance in tolerances:
            model = LogisticRegression(C=1 / l2, fit_intercept=False, solver=solver, tol=tolerance, max_iter=5000)
            seconds, _ = best_of(3, lambda: model.fit(X, y))
            report(f"scikit-learn {solver}", tolerance, seconds, model.coef_.ravel())


liblinear()
scikit_learn()
