--- The lasso and the elastic net: one penalty or a whole path by one core, to a certified accuracy; or by many workers.
--
--   minimise  1/2 ||y - b0 - X b||^2 + l1 ||b||_1 + l2/2 ||b||^2      (sum form: glmnet's lambda is l1 / n)
--
-- `solve` and `path` look at all columns in one pass, which finds those that break the optimality conditions, and the
-- duality gap. The most promising of them join a working set. There coordinate descent, by the residual or by
-- covariances, finds the signs, and Newton steps on the support, where the objective is a parabola as long as no sign
-- changes, find the minimum. `fit` deals the columns to the workers of a job: see `epact.optim.lasso_fit`.
--
-- Memory of `solve` and `path`, in bytes: a copy of X by columns (12 a non-zero, 8 an entry of a dense one), 61 a
-- column, 32 a row, 80 a member of the working set; the covariances of members, 8 for each two (at most 128 MiB), and
-- of a sparse X 16 a row and at most 64 a non-zero of the members; a factor of that size at most. A path keeps 12 bytes
-- a coefficient that is not 0.
--
-- Sources: Friedman, Hastie, Tibshirani 2010 (coordinate descent, covariances, paths); Tibshirani et al. 2012 (strong
-- rules); Massias, Gramfort, Salmon 2018 (working sets); Ndiaye et al. 2017 (gap, safe bounds).
-- @module epact.optim.lasso

local core = require "epact.core"
local data = require "epact.data"
local options = require "epact.options"
local paths = require "epact.optim.path"
local problem = require "epact.optim.lasso_problem"

local lasso = { fit = require("epact.optim.lasso_fit").fit }

local known = {
  lambda = { "non_negative" },                 -- l1; default lambda_ratio times the smallest l1 that makes all b_j 0
  lambda_ratio = { "non_negative", 0.1 },
  l2 = { "non_negative", 0 },
  intercept = { "boolean" },                   -- default: true, or as in X where that is `lasso.columns`
  standardise = { "boolean" },                 -- columns get population variance 1; coefficients are on the old scale
  non_negative = { "boolean", false },
  tolerance = { "positive", 1e-6 },            -- of the gap, in units of the objective at b = 0
  max_iterations = { "count", 200 },           -- passes over all columns, for each penalty
}

local known_by_path = paths.known(known)
known_by_path.l2_ratio = { "non_negative", 0 } -- l2 is that many times l1, plus `l2`
known_by_path.explained = { "fraction", 1 }    -- stop when that share of y's variance is explained

--- X by columns, for several calls of `solve` and `path`, which then need not make it anew.
-- @tparam epact_sparse|epact_dense X rows x columns
-- @tparam ?table given `intercept` (true), `standardise` (true)
-- @treturn table takes the place of X
function lasso.columns(X, given)
  local o = options.read("lasso.columns", given, { intercept = { "boolean", true }, standardise = { "boolean", true } })
  return problem.columns("lasso.columns", X, o)
end

-- The problem of X, a data set or `lasso.columns`.
local function pose(where, X, y, o)
  if problem.is_columns(X) then
    for name, has in pairs { intercept = X.centred, standardise = X.standardised } do
      if o[name] ~= nil and o[name] ~= has then
        core.fail("%s: option '%s' is %s, but X was made with %s", where, name, tostring(o[name]), tostring(has))
      end
    end
    return problem.new(where, X, y, o)
  end
  local x = problem.columns(where, X, { intercept = o.intercept ~= false, standardise = o.standardise ~= false })
  return problem.new(where, x, y, o)
end

-- What is known of the solution at hand, but for the coefficients.
local function describe(fit, status)
  return {
    lambda = fit.l1, l2 = fit.l2, lambda_max = fit.lambda_max, intercept = fit.intercept, objective = fit.objective,
    gap = fit:penalised() and fit.gap or nil, status = status, nonzeros = fit:nonzeros(), iterations = fit.iterations,
    explained = fit.null > 0 and 1 - fit.set.certificate.residual_norm2 / (2 * fit.null) or 1,
    all_zero = fit.l1 >= fit.lambda_max, columns = fit.x.columns,
  }
end

local Solution = {}
function Solution:__tostring()
  local zero = self.all_zero and ", lambda is not below lambda_max: all coefficients are 0" or ""
  return ("epact.lasso <lambda %g (%.3g of lambda_max), %d of %d coefficients, objective %g, gap %s, %s%s>"):format(
    self.lambda, self.lambda_max > 0 and self.lambda / self.lambda_max or 1, self.nonzeros, self.columns,
    self.objective, self.gap and ("%.2g"):format(self.gap) or "unknown", self.status, zero)
end

--- Solves for one penalty.
-- NaN and infinity are refused. With an intercept or standardised, a constant column gets the coefficient 0.
-- @param X data set, sparse or dense, rows x columns; or `lasso.columns` of one
-- @tparam epact_dense y rows x 1
-- @tparam ?table given `lambda` (l1) or `lambda_ratio` (of the smallest l1 that makes all coefficients 0; 0.1), `l2`
-- (0), `intercept`, `standardise` (true), `non_negative` (false: b >= 0), `tolerance` (1e-6: the gap to reach, in units
-- of the objective at b = 0), `max_iterations` (200 passes over all columns)
-- @treturn table `coefficients` (epact_dense, columns x 1, for X as it is), `intercept`, `lambda`, `l2`, `lambda_max`,
-- `all_zero` (lambda is not below lambda_max), `columns`, `objective`, `gap` (the objective is at most that far above
-- its minimum, from a residual computed anew; without a penalty there is no such bound, and it stops when no
-- correlation with the residual is above `tolerance` times lambda_max), `status` ("CONVERGED"; "MAXITER"; "STALLED":
-- rounding keeps it from going further), `nonzeros`, `explained` (share of y's variance), `iterations`, `seconds` (CPU)
function lasso.solve(X, y, given)
  local o = options.read("lasso.solve", given, known)
  local began = core.C.epact_thread_cpu()
  local fit = pose("lasso.solve", X, y, o)
  local status = fit:minimise(o.lambda or o.lambda_ratio * fit.lambda_max, o.l2)
  local found = describe(fit, status)
  found.coefficients = data.new("dense", fit.x.columns, 1)
  fit:each(function(j, b) found.coefficients.value[j] = b end)
  found.seconds = core.C.epact_thread_cpu() - began
  return setmetatable(found, Solution)
end

--- Solves for a path of falling penalties, each from the solution of the one before.
-- A pass at the end of each looks ahead: columns with |x_j'r| > 2 lambda' - lambda, lambda' the next penalty, join the
-- working set (the sequential strong rule); the passes that follow check the conditions of all others.
-- @param X data set, sparse or dense, rows x columns; or `lasso.columns` of one
-- @tparam epact_dense y rows x 1
-- @tparam ?table given `lambdas` (100 penalties from lambda_max, log-spaced), `ratio` (of the last to the first: 1e-4
-- when rows >= columns, else 1e-2), or `path` (a list of penalties in any order), `l2` (0), `l2_ratio` (0: l2 has that
-- many times l1 added), `explained` (1: stops at the first penalty that explains that share of y's variance; the
-- list has those that were solved, in the order of `path`), `intercept`, `standardise`, `non_negative`, `tolerance`,
-- `max_iterations` as `solve`
-- @treturn table a list, in the order of `path`, of what `solve` returns, with `coefficients` an epact_sparse of 1 x
-- columns; and `lambda_max`, `columns`, `iterations`, `seconds` (CPU), and the method `coefficients(k)`, an epact_dense
function lasso.path(X, y, given)
  local o = options.read("lasso.path", given, known_by_path)
  local began = core.C.epact_thread_cpu()
  local fit = pose("lasso.path", X, y, o)
  local penalties, found = paths.penalties("lasso.path", o, fit.lambda_max, fit.x.rows, fit.x.columns), {}
  for k, penalty in ipairs(penalties) do
    local l1, following = penalty[1], penalties[k + 1]
    local ahead = following and 2 * following[1] - l1 or l1
    -- A threshold below half the next penalty says little: its own first pass will do better.
    local looks_ahead = following and following[1] < l1 and ahead > following[1] / 2
    local status = fit:minimise(l1, o.l2 + o.l2_ratio * l1, looks_ahead and ahead or l1, fit.looked_ahead)
    fit.looked_ahead = looks_ahead
    local point = describe(fit, status)
    point.coefficients = paths.row(fit.x.columns, function(visit) fit:each(visit) end)
    found[penalty[2]] = setmetatable(point, Solution)
    if o.explained < 1 and point.explained >= o.explained then break end
  end
  local points = { lambda_max = fit.lambda_max, iterations = fit.iterations }
  for k = 1, #penalties do points[#points + 1] = found[k] end
  points.seconds = core.C.epact_thread_cpu() - began
  return paths.new(points, "lasso", fit.x.columns)
end

return lasso
