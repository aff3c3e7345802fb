"""scikit-learn's side of nmf.lua: python3 nmf_sklearn.py FOLDER FACTORS EPOCHS SOLVER; prints milliseconds, objective."""
import sys
import time

import numpy as np
from scipy.sparse import csr_matrix
from sklearn.decomposition import non_negative_factorization

folder, factors, epochs, solver = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
w0 = np.fromfile(folder + "/w").reshape(-1, factors)
h0 = np.ascontiguousarray(np.fromfile(folder + "/h").reshape(-1, factors).T)
v = csr_matrix((np.fromfile(folder + "/value"), np.fromfile(folder + "/index", np.uint32).astype(np.int32),
                np.fromfile(folder + "/start", np.int64)), shape=(len(w0), h0.shape[1]))


def run(iterations):
    begin = time.process_time()
    w, h, _ = non_negative_factorization(v, W=w0.copy(), H=h0.copy(), n_components=factors, init="custom",
                                         solver=solver, tol=0, max_iter=iterations)
    return time.process_time() - begin, w, h


seconds = []
for _ in range(3):
    short = run(1)[0]
    long, w, h = run(epochs + 1)
    seconds.append((long - short) / epochs)
_, w, h = run(epochs)
objective = 0.5 * (v.multiply(v).sum() - 2 * np.sum((v @ h.T) * w) + np.sum((w.T @ w) * (h @ h.T)))
print("milliseconds", 1e3 * min(seconds))
print("objective", objective)
