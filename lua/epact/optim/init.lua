--- Optimisation: losses, penalties and steps as objects, and the methods that put them together.
-- @module epact.optim
return {
  lasso = require "epact.optim.lasso", loss = require "epact.optim.loss", penalty = require "epact.optim.penalty",
  sgd = require "epact.optim.sgd", step = require "epact.optim.step",
  theory = require "epact.optim.theory",
}
