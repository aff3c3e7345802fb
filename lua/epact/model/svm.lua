--- The linear support vector machine: minimise sum_i max(0, 1 - y_i (x_i'w + b)) + penalty(w).
--
-- `loss = "squared_hinge"` and `"smoothed_hinge"` are there too. Everything else as in `epact.model.logistic`.
-- @module epact.model.svm
return require("epact.model.predictor").define { kind = "svm", classifies = true, default_loss = "hinge" }
