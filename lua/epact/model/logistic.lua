--- Logistic regression for two classes: minimise sum_i log(1 + exp(-y_i (x_i'w + b))) + penalty(w).
--
-- `fit(w, X, y, options)` takes labels -1 and 1, or 0 and 1, and the options of `epact.optim.sgd` (`l1`, `l2`,
-- `penalty`, `intercept` (true), `epochs`, `run`, ...); with `solver = "exact"` one worker solves for all (`l1`, `l2`,
-- `scale`, `intercept`, `tolerance`, `max_iterations`; see `epact.optim.exact`), and `gap` of the model bounds what its
-- objective is above the minimum. The model has `predict` (labels), `probabilities`, `decision`,
-- `score` (accuracy), `save`; `logistic.load(path)` reads it.
-- @module epact.model.logistic
-- @usage local model = epact.run({ workers = 2 }, function(w) return logistic.fit(w, X, y, { l2 = 1 }) end)
return require("epact.model.predictor").define { kind = "logistic", classifies = true, default_loss = "logistic" }
