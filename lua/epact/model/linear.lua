--- Linear regression: minimise sum_i (x_i'w + b - y_i)^2 / 2 + penalty(w); `loss = "huber"` for outliers.
--
-- `predict` gives numbers, `score` R^2; options as in `epact.model.logistic`.
-- @module epact.model.linear
return require("epact.model.predictor").define { kind = "linear", classifies = false, default_loss = "squared" }
