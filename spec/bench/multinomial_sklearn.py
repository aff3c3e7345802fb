"""Multinomial logistic regression of scikit-learn on the rows that multinomial.lua has dumped: CPU seconds (one thread)
and objective of L-BFGS at two tolerances, and of an epoch of SAGA.

usage: multinomial_sklearn.py FOLDER ROWS COLUMNS DENSE L2
"""
import os
import sys
import time
import warnings

for name in "OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS":
    os.environ[name] = "1"

import numpy as np
from scipy.sparse import csr_matrix
from sklearn.linear_model import LogisticRegression

warnings.filterwarnings("ignore")
folder, rows, columns, dense, l2 = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4] == "1", float(sys.argv[5])


def load(name, kind):
    return np.fromfile(os.path.join(folder, name), dtype=kind)


value, y = load("value", "f8"), load("label", "f8").astype(int)
if dense:
    x = value.reshape(rows, columns)
else:
    x = csr_matrix((value, load("index", "u4").astype("i4"), load("start", "i8").astype("i4")), shape=(rows, columns))


def run(**given):
    best = float("inf")
    for _ in range(2):
        model = LogisticRegression(C=1 / l2, multi_class="multinomial", fit_intercept=False, **given)
        begin = time.process_time()
        model.fit(x, y)
        best = min(best, time.process_time() - begin)
    log_p = model.predict_log_proba(x)
    objective = -log_p[np.arange(rows), np.searchsorted(model.classes_, y)].sum() + l2 / 2 * (model.coef_ ** 2).sum()
    return best, objective, model.n_iter_[0]


for tolerance in 1e-4, 1e-6:
    seconds, objective, iterations = run(solver="lbfgs", tol=tolerance, max_iter=5000)
    print("lbfgs %g %.4f %.10g %d" % (tolerance, seconds, objective, iterations))
few, _, _ = run(solver="saga", tol=0, max_iter=1)
seconds, objective, _ = run(solver="saga", tol=0, max_iter=6)
print("saga 0 %.4f %.10g 5" % (seconds - few, objective))
