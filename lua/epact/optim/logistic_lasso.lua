--- The logistic lasso and elastic net by proximal Newton steps, on one core.
--
--   minimise  sum_i log(1 + exp(-y_i (x_i'b + b0))) + lambda ||b||_1 + l2/2 ||b||^2
--
-- in the sum form (glmnet's lambda is this one over n), where b0 is never penalised. A step minimises the quadratic
-- model of the loss at the present point plus the penalty: with few columns from their Hessian, with many by coordinate
-- descent on a working set (`epact.optim.exact` has both). It ends at a duality gap: with theta_i =
-- s / (1 + exp(y_i (x_i'b + b0))), s = min(1, lambda / max_j |x_j'(y theta)|),
--
--   F - min F  <=  F + sum_i theta_i log(theta_i) + (1 - theta_i) log(1 - theta_i).
--
-- On a path each penalty begins where the last one ended, with the columns that the sequential strong rule keeps,
-- |c_j| >= 2 lambda_k - lambda_k-1; the gap, which is of all columns, finds what it has dropped in error.
--
-- Sources: Friedman, Hastie, Tibshirani 2010 (glmnet); Yuan, Ho, Lin 2012 (newGLMNET); Tibshirani et al. 2012 (strong
-- rules); Ndiaye et al. 2017 (gap).
-- @module epact.optim.logistic_lasso
-- @usage
-- local path = epact.optim.logistic_lasso.path(X, y)
-- print(path, path:coefficients(50))

local core = require "epact.core"
local columns = require "epact.kernel.columns"
local exact = require "epact.optim.exact"
local linear = require "epact.kernel.linear"
local newton = require "epact.kernel.newton"
local options = require "epact.options"
local paths = require "epact.optim.path"

local logistic_lasso = {}

local known = {
  lambda = { "non_negative" },        -- default: lambda_ratio of the smallest that makes all coefficients 0
  lambda_ratio = { "non_negative", 0.1 },
  l2 = { "non_negative", 0 },
  intercept = { "boolean", true },
  standardise = { "boolean", true },  -- columns get population variance 1; coefficients are on the old scale
  tolerance = { "positive", 1e-6 },   -- of the gap, in units of the objective at b = 0
  method = { { "newton", "active" } },
  max_iterations = { "count" },       -- Newton steps for a penalty
}

-- The model without columns: its intercept and objective, and the smallest lambda that leaves it so.
local function find_null(p)
  local t, u, d, c = linear.zeros(p.n), linear.zeros(p.n), linear.zeros(p.n), linear.zeros(p.size)
  local null = { intercept = 0, objective = newton.terms(p.loss, p.n, t, p.y, u, d), lambda = 0 }
  if p.size > p.columns then null.objective, null.intercept = newton.centre(p.loss, p.n, t, p.y, u, d) end
  p.design:gradient(u, c)
  for j = 0, p.columns - 1 do null.lambda = math.max(null.lambda, math.abs(c[j])) end
  return null
end

local function begin(where, X, y, o)
  local began = core.C.epact_thread_cpu()
  local problem = exact.pose(where, X, y, { loss = "logistic", width = 1, l1 = 1, l2 = o.l2, intercept = o.intercept,
    tolerance = o.tolerance })
  if o.standardise then
    local set = X:transpose()
    problem.design:rescale(columns.new(where, set, { standardise = true }).scale)
    problem.design.transposed = set
  end
  local null = find_null(problem)
  function problem.enough(gap) return gap <= o.tolerance * null.objective + 1e-14 * problem.objective_at_zero end
  return { X = X, o = o, where = where, problem = problem, null = null, began = began, zeros = linear.zeros(X.cols) }
end

-- The minimum for a penalty, from where the solver is.
local function solve(fit, lambda, level)
  local p, began, null = fit.problem, core.C.epact_thread_cpu(), fit.null
  local point = { lambda = lambda, status = "CONVERGED", iterations = 0, violations = 0, gap = 0,
    objective = null.objective, intercept = null.intercept }
  local w = fit.zeros
  if lambda < null.lambda then
    p.l1, p.strict = lambda, lambda > 0 or p.l2 > 0
    local found = fit.solver:run(level)
    w = found.w
    point.status, point.iterations, point.objective = found.status, found.iterations, found.objective
    point.gap, point.violations = p.strict and found.gap or nil, found.violations or 0
    point.intercept = p.size > p.columns and found.w[p.columns] or 0
  end
  point.coefficients = paths.sparse(w, p.columns, p.design.scale)
  point.nonzeros, point.seconds = point.coefficients.count, core.C.epact_thread_cpu() - began
  return point
end

-- A solver for penalties from `least` up.
local function prepare(fit, least)
  local p, o = fit.problem, fit.o
  p.l1 = math.max(least, 1e-300) -- 0 too is a penalty of this kind
  fit.solver, fit.method = exact.prepare(fit.where, p, fit.X, { l1 = p.l1, l2 = o.l2, loss = "logistic",
    intercept = o.intercept, method = o.method, max_iterations = o.max_iterations })
  if fit.method == "newton" then p.design.transposed = nil end -- it was for the scales only
  fit.solver:start()
end

--- Fits the model for one penalty.
-- NaN, infinity and labels that are not of two classes are refused. A constant column gets the coefficient 0 when
-- standardised. Memory: that of the method of `epact.optim.exact`.
-- @tparam epact_sparse|epact_dense X rows x columns
-- @tparam epact_dense y rows x 1: labels -1 and 1, or 0 and 1
-- @tparam ?table given `lambda` or `lambda_ratio` (0.1; of the smallest lambda that makes all coefficients 0), `l2`
-- (0), `intercept`, `standardise` (true), `tolerance` (1e-6: of the gap, in units of the objective at b = 0), `method`
-- ("newton" or "active"; chosen by the shape), `max_iterations`
-- @treturn table `coefficients` (epact_dense, columns x 1, for X as it is), `intercept`, `lambda`, `lambda_max`,
-- `objective`, `gap` (the objective is at most that far above its minimum; nil without a penalty), `status`
-- ("CONVERGED", "MAXITER"; "STALLED": rounding), `nonzeros`, `method`, `iterations` (Newton steps), `seconds` (CPU)
function logistic_lasso.solve(X, y, given)
  local where = "logistic_lasso.solve"
  local o = options.read(where, given, known)
  local fit = begin(where, X, y, o)
  local lambda = o.lambda or o.lambda_ratio * fit.null.lambda
  prepare(fit, math.min(lambda, fit.null.lambda))
  local model = solve(fit, lambda)
  model.coefficients, model.violations = paths.dense(model.coefficients), nil
  model.lambda_max, model.method = fit.null.lambda, fit.method
  model.seconds = core.C.epact_thread_cpu() - fit.began
  return model
end

--- Fits the model for a sequence of penalties, each from where the last one ended.
-- @tparam epact_sparse|epact_dense X rows x columns
-- @tparam epact_dense y rows x 1
-- @tparam ?table given as `solve`'s, but instead of a lambda `lambdas` (100: how many, evenly in their logarithms, from
-- lambda_max down) and `ratio` (of the last to the first; 1e-4 with rows >= columns, else 1e-2), or `path`: a list
-- @treturn table a list, in the order of the penalties as given, of what `solve` returns, with `coefficients` an
-- epact_sparse of 1 x columns, and `violations`: columns that the strong rule had dropped in error; and `lambda_max`,
-- `columns`, `method`, `seconds` of all, the method `coefficients(k)`, an epact_dense, and `ended`: why there is no
-- point for a penalty of 0 (classes that a plane separates; those behind it in the list have moved up)
function logistic_lasso.path(X, y, given)
  local where = "logistic_lasso.path"
  local o = options.read(where, given, paths.known(known))
  local fit = begin(where, X, y, o)
  local penalties = paths.penalties(where, o, fit.null.lambda, X.rows, X.cols)
  prepare(fit, math.min(penalties[#penalties][1], fit.null.lambda))
  local found, points, before = {}, {}, fit.null.lambda
  for _, penalty in ipairs(penalties) do
    local lambda = penalty[1]
    local ok, point = pcall(solve, fit, lambda, math.max(0, 2 * lambda - before))
    if not ok then
      local no_minimum = lambda == 0 and o.l2 == 0 and tostring(point):find("[E_DIVERGED]", 1, true)
      if not no_minimum or not next(found) then error(point, 0) end
      points.ended = point -- without a penalty there may be no minimum: what was found is not lost for that
      break
    end
    found[penalty[2]], before = point, math.min(before, lambda)
  end
  for k = 1, #penalties do points[#points + 1] = found[k] end
  points.lambda_max, points.method, points.seconds = fit.null.lambda, fit.method, core.C.epact_thread_cpu() - fit.began
  return paths.new(points, "logistic_lasso", X.cols)
end

return logistic_lasso
