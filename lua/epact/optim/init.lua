--- Optimisation: linear models whose workers descend.
-- @module epact.optim
return { lasso = require "epact.optim.lasso", hinge = require "epact.optim.hinge" }
