--- The squared loss with an l1: the lasso's own solver behind `epact.optim.exact`, to which it is private.
-- @module epact.optim.exact_lasso

local lasso_problem = require "epact.optim.lasso_problem"
local linear = require "epact.kernel.linear"

local exact_lasso = {}

--- Minimises; takes and returns what `epact.optim.newton` does.
function exact_lasso.solve(p)
  local x = lasso_problem.columns("exact.solve", p.design.keep, { intercept = p.size > p.columns })
  local fit = lasso_problem.new("exact.solve", x, p.response, {
    tolerance = p.tolerance, relative_to_objective = true, max_iterations = p.max_iterations,
  })
  fit.rounding = 1e-14 * p.objective_at_zero
  local status, w = fit:minimise(p.l1, p.l2), linear.zeros(p.size)
  fit:each(function(j, b) w[j] = b end)
  if p.size > p.columns then w[p.columns] = fit.intercept end
  return { w = w, objective = fit.objective, gap = fit.gap, status = status, iterations = fit.iterations }
end

return exact_lasso
