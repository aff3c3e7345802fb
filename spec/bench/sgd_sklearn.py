"""Epochs of scikit-learn's SGDClassifier on the rows that sgd.lua has written: CPU seconds of one thread."""
import sys
import time
import numpy as np
import scipy.sparse as sp
from sklearn.linear_model import SGDClassifier

folder, columns = sys.argv[1], int(sys.argv[2])
start = np.fromfile(folder + "/start", np.int64)
index = np.fromfile(folder + "/index", np.int32)
value = np.fromfile(folder + "/value", np.float64)
y = np.fromfile(folder + "/label", np.float64)
X = sp.csr_matrix((value, index, start.astype(np.int32)), shape=(len(y), columns))
for loss, name in (("hinge", "hinge"), ("log_loss", "logistic")):
    best = np.inf
    for repeat in range(3):
        m = SGDClassifier(loss=loss, alpha=1e-6, max_iter=8, tol=None, learning_rate="constant", eta0=0.5,
                          fit_intercept=False, random_state=1)
        begin = time.process_time()
        m.fit(X, y)
        best = min(best, (time.process_time() - begin) / 8)
    print(name, X.nnz / best)
