"""The Python side of lasso.lua. lasso_peers.py make NAME FOLDER: the synthetic data syndense or synsparse, by NumPy's
Philox. lasso_peers.py fit FOLDER SHARE: scikit-learn's coordinate descent for l1 = SHARE of lambda_max, until the duality
gap, computed here, is 1e-6 of ||y||^2 / 2; prints CPU seconds and that gap."""
import sys
import time

import numpy as np
from scipy.sparse import csc_matrix, csr_matrix


def write(folder, x, y):
    """X by columns, as start, index and value, or as dense."""
    if isinstance(x, np.ndarray):
        x.ravel(order="F").tofile(folder + "/dense")
    else:
        x = x.tocsc()
        x.indptr.astype(np.int64).tofile(folder + "/start")
        x.indices.astype(np.uint32).tofile(folder + "/index")
        x.data.tofile(folder + "/value")
    y.tofile(folder + "/y")
    print("rows", x.shape[0])
    print("columns", x.shape[1])


def make_syndense():
    """1,000 x 10,000, columns AR(1) with rho 0.5, 100 true coefficients, signal-to-noise 5."""
    rng = np.random.Generator(np.random.Philox(20240601))
    n, p, true, rho = 1000, 10000, 100, 0.5
    z = rng.standard_normal((n, p))
    x = np.empty((n, p), order="F")
    x[:, 0] = z[:, 0]
    for j in range(1, p):
        x[:, j] = rho * x[:, j - 1] + np.sqrt(1 - rho * rho) * z[:, j]
    b = np.zeros(p)
    at = rng.choice(p, true, replace=False)
    b[at] = rng.standard_normal(true)
    f = x @ b
    e = rng.standard_normal(n)
    return x, f + e * np.linalg.norm(f) / (5 * np.linalg.norm(e))


def make_synsparse():
    """50,000 x 500,000, 20 draws a row from Zipf 1 / (j + 100), 1,000 true coefficients, noise 0.2 of the signal."""
    rng = np.random.Generator(np.random.Philox(20240602))
    n, p, draws, true = 50000, 500000, 20, 1000
    cdf = np.cumsum(1 / (np.arange(p) + 100.0))
    cdf /= cdf[-1]
    column = np.searchsorted(cdf, rng.random((n, draws)))
    value = rng.standard_normal((n, draws))
    x = csr_matrix((value.ravel(), (np.repeat(np.arange(n), draws), column.ravel())), shape=(n, p))
    x.sum_duplicates()
    b = np.zeros(p)
    at = rng.choice(20000, true, replace=False)
    b[at] = rng.standard_normal(true)
    f = x @ b
    return x, f + rng.standard_normal(n) * f.std() * 0.2


def gap_of(x, y, b, l1):
    r = y - x @ b
    c = np.abs(x.T @ r).max()
    a = min(1, l1 / c)
    return r @ r / 2 + l1 * np.abs(b).sum() + a * a / 2 * (r @ r) - a * (y @ r)


def fit(folder, share):
    from sklearn.linear_model import Lasso

    y = np.fromfile(folder + "/y")
    n = len(y)
    try:
        start = np.fromfile(folder + "/start", np.int64)
        x = csc_matrix((np.fromfile(folder + "/value"), np.fromfile(folder + "/index", np.uint32).astype(np.int32),
                        start.astype(np.int32)), shape=(n, len(start) - 1))
    except FileNotFoundError:
        x = np.asfortranarray(np.fromfile(folder + "/dense").reshape((n, -1), order="F"))
    l1 = share * np.abs(x.T @ y).max()
    for tolerance in (5e-7, 2e-7, 5e-8):
        best = np.inf
        for _ in range(3):
            model = Lasso(alpha=l1 / n, fit_intercept=False, tol=tolerance, max_iter=100000, copy_X=False)
            begin = time.process_time()
            model.fit(x, y)
            best = min(best, time.process_time() - begin)
            if best > 1:
                break
        gap = gap_of(x, y, model.coef_, l1) / (y @ y / 2)
        if gap <= 1e-6:
            break
    print("seconds", best)
    print("gap", max(gap, 0))


if sys.argv[1] == "make":
    write(sys.argv[3], *(make_syndense() if sys.argv[2] == "syndense" else make_synsparse()))
else:
    fit(sys.argv[2], float(sys.argv[3]))
