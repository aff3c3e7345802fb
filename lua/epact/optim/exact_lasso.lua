--- The squared loss with an l1: the lasso's own solver behind `epact.optim.exact`, to which it is private.
-- @module epact.optim.exact_lasso

local lasso_problem = require "epact.optim.lasso_problem"
local linear = require "epact.kernel.linear"

local exact_lasso = {}

local methods = {}
local class = { __index = methods }

--- Goes to the minimum; returns what `epact.optim.newton` does.
function methods:run()
  local p, fit = self.problem, self.fit
  local status, w = fit:minimise(p.l1, p.l2), linear.zeros(p.size)
  fit:each(function(j, b) w[j] = b end)
  if p.size > p.columns then w[p.columns] = fit.intercept end
  return { w = w, objective = fit.objective, gap = fit.gap, status = status, iterations = fit.iterations }
end

--- Makes room; takes what `epact.optim.newton` does.
function exact_lasso.prepare(p)
  local x = lasso_problem.columns("exact.solve", p.design.keep, { intercept = p.size > p.columns })
  local fit = lasso_problem.new("exact.solve", x, p.response, {
    tolerance = p.tolerance, relative_to_objective = true, max_iterations = p.max_iterations,
  })
  fit.rounding = p.rounding
  return setmetatable({ problem = p, fit = fit }, class)
end

return exact_lasso
