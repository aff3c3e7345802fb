--- Optimisation: losses, penalties and steps as objects, and the methods that put them together.
-- @module epact.optim
return {
  coordinate = require "epact.optim.coordinate", exact = require "epact.optim.exact",
  group_lasso = require "epact.optim.group_lasso", lasso = require "epact.optim.lasso",
  lbfgs = require "epact.optim.lbfgs", logistic_lasso = require "epact.optim.logistic_lasso",
  loss = require "epact.optim.loss", min_cut = require "epact.optim.min_cut",
  penalty = require "epact.optim.penalty", sgd = require "epact.optim.sgd",
  sparsity = require "epact.optim.sparsity", step = require "epact.optim.step",
  theory = require "epact.optim.theory",
}
