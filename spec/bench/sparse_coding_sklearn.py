"""scikit-learn's side of sparse_coding.lua: python3 sparse_coding_sklearn.py FOLDER DIMS L1; prints rate (signals/s) and
objective of codes, seconds and learned (the objective) of five epochs of dictionary learning."""
import sys
import time

import numpy as np
from sklearn.decomposition import MiniBatchDictionaryLearning, sparse_encode

folder, dims, l1 = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
x, d = (np.fromfile(folder + "/" + name).reshape(-1, dims) for name in "xd")


def objective(codes, dictionary):
    return (0.5 * np.sum((x - codes @ dictionary) ** 2) + l1 * np.abs(codes).sum()) / len(x)


def encode(dictionary):
    begin = time.process_time()
    codes = sparse_encode(x, dictionary, algorithm="lasso_cd", alpha=l1)
    return time.process_time() - begin, codes


runs = [encode(d) for _ in range(3)]
print("rate", len(x) / min(seconds for seconds, _ in runs))
print("objective", objective(runs[0][1], d))
learner = MiniBatchDictionaryLearning(n_components=len(d), alpha=l1, batch_size=256, max_iter=5, random_state=0,
                                      fit_algorithm="cd", tol=0, max_no_improvement=None)
begin = time.process_time()
learner.fit(x)
print("seconds", time.process_time() - begin)
print("learned", objective(encode(learner.components_)[1], learner.components_))
