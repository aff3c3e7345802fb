--- Optimisation: losses, penalties and steps as objects, and the methods that put them together.
-- @module epact.optim
return {
  min_cut = require "epact.optim.min_cut", sparsity = require "epact.optim.sparsity",
  lasso = require "epact.optim.lasso", loss = require "epact.optim.loss", penalty = require "epact.optim.penalty",
  sgd = require "epact.optim.sgd", step = require "epact.optim.step",
  theory = require "epact.optim.theory",
}
