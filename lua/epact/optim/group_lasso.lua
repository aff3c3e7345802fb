--- The group lasso by block coordinate descent on working sets of groups, on one core.
--
--   minimise  1/2 ||y - b0 - X b||^2 + lambda sum_g w_g ||b_g||_2 + l2/2 ||b||^2      (sum form)
--
-- over coefficients whose groups partition the columns. A group's coefficients are put at their minimum, the others
-- held (how: csrc/kernel/group_lasso.h), one group after the other, until a duality gap certifies them: with rho the
-- residual, c_g = X_g'rho - l2 b_g, a = min(1, lambda min_g w_g / ||c_g||),
--
--   F - min F  <=  F + a^2/2 (||rho||^2 + l2 ||b||^2) - a y'rho.
--
-- Groups that are 0 and have ||c_g|| <= lambda w_g need no visit: the working set is the others, found by a look at all
-- columns, and sweeps go over it until its own gap is small. On a path the set of the next penalty is what the
-- sequential strong rule keeps, ||c_g|| >= (2 lambda_k - lambda_k-1) w_g; the gap, which is of all columns, then finds
-- what it has dropped in error.
--
-- Sources: Yuan, Lin 2006 (the model); Qin, Scheinberg, Goldfarb 2013 (exact blocks); Tibshirani et al. 2012 (strong
-- rules); Ndiaye et al. 2017 (gap).
-- @module epact.optim.group_lasso
-- @usage
-- local model = epact.optim.group_lasso.solve(X, y, { groups = { { 0, 1, 2 }, { 3, 4 } }, lambda_ratio = 0.1 })

local checks = require "epact.model.checks"
local core = require "epact.core"
local groups = require "epact.optim.groups"
local kernel = require "epact.kernel.group_lasso"
local lasso_problem = require "epact.optim.lasso_problem"
local linear = require "epact.kernel.linear"
local options = require "epact.options"
local paths = require "epact.optim.path"

local group_lasso = {}

local LEAST_GROUPS = 50 -- that may enter the working set at once; or as many as are in it
local SWEEPS = 5        -- over the groups that are not 0, between two looks at the working set

local known = {
  groups = { "table", required = true },
  weights = { "table" },              -- w_g, a list; default the square roots of the groups' sizes
  lambda = { "non_negative" },        -- default: lambda_ratio of the smallest that makes all coefficients 0
  lambda_ratio = { "non_negative", 0.1 },
  l2 = { "non_negative", 0 },
  intercept = { "boolean", true },
  standardise = { "boolean", true },  -- columns get population variance 1; coefficients are on the old scale
  tolerance = { "positive", 1e-6 },   -- of the gap, in units of the objective at b = 0
  max_iterations = { "count", 10000 },
}

local methods = {}
local class = { __index = methods }

local function begin(where, X, y, o)
  local began = core.C.epact_thread_cpu()
  local x = lasso_problem.columns(where, X, o)
  checks.response(where, y, X.rows)
  local set = kernel.new(where, x, y.value, groups.read(where, o.groups, o.weights, X.cols))
  local self = setmetatable({ where = where, set = set, o = o, y = y, began = began, n = X.rows, sweeps = 0 }, class)
  self.null = set:look(0, 0)
  if self.null - self.null ~= 0 then core.fail("%s: the objective at b = 0 is beyond double precision", where) end
  self.lambda_max = set:largest_correlation()
  -- what rounding leaves of a constant y's ||y - mean(y)||^2 is no reason to go on
  self.rounding = 1e-28 * linear.dot(self.n, y.value, y.value)
  return self
end

--- Whether a gap, or without a penalty the largest correlation, is small enough.
function methods:is_enough(lambda, gap, share)
  if lambda > 0 or self.o.l2 > 0 then return gap <= (share or 1) * (self.o.tolerance * self.null + self.rounding) end
  return self.set:largest_correlation() <= (share or 1) * self.o.tolerance * self.lambda_max + math.sqrt(self.rounding)
end

--- Sweeps over the candidates until their own gap is a part of what is wanted, or falls no more.
function methods:descend(lambda, count)
  local set, o, lowest, least, still = self.set, self.o, math.huge, math.huge, 0
  while count > 0 and self.sweeps < o.max_iterations do
    local objective, gap = set:look(lambda, o.l2, set.candidates, count)
    if self:is_enough(lambda, gap, 0.3) or still == 5 then return end
    still = (objective < lowest * (1 - 1e-15) or gap < 0.9 * least) and 0 or still + 1
    lowest, least = math.min(lowest, objective), math.min(least, gap)
    set.count = set:choose(set.candidates, count, lambda * (1 - 1e-12), math.huge, set.active)
    local times = math.min(SWEEPS, o.max_iterations - self.sweeps)
    set:sweeps(times, lambda, o.l2)
    self.sweeps = self.sweeps + times
  end
end

-- How many of a rising list are not in another one.
local function count_missing(list, count, other, others)
  local missing, at = 0, 0
  for k = 0, count - 1 do
    while at < others and other[at] < list[k] do at = at + 1 end
    if at == others or other[at] ~= list[k] then missing = missing + 1 end
  end
  return missing
end

--- The point where it is, as a path keeps it.
function methods:point(lambda, objective, gap)
  local set, o, sum = self.set, self.o, 0
  for i = 0, self.n - 1 do sum = sum + set.residual[i] end
  local row = paths.sparse(set.b, set.x.columns, set.x.standardised and set.x.scale or nil)
  return {
    lambda = lambda, objective = objective, gap = (lambda > 0 or o.l2 > 0) and gap or nil,
    intercept = o.intercept and sum / self.n + set.shift + set.origin or 0, coefficients = row, nonzeros = row.count,
    groups = set:choose(nil, 0, math.huge, 1, set.active),
  }
end

--- Goes to the minimum for a penalty from where it is.
-- @tparam number lambda
-- @tparam ?number level the correlations are those of this point, and the first working set is of those above `level`
-- @treturn table a point
function methods:solve(lambda, level)
  local set, o, began = self.set, self.o, core.C.epact_thread_cpu()
  local count, violations, lowest, best = 0, 0, math.huge, math.huge
  local status, objective, gap
  self.sweeps = 0
  if level then
    count = set:choose(nil, 0, level * (1 - 1e-12), math.huge, set.candidates)
    self:descend(lambda, count)
  end
  while true do
    set:refresh()
    objective, gap = set:look(lambda, o.l2)
    status = self:is_enough(lambda, gap) and "CONVERGED" or self.sweeps >= o.max_iterations and "MAXITER"
      or not (gap < best or objective < lowest) and "STALLED" or nil
    if status then break end
    lowest, best = math.min(lowest, objective), math.min(best, gap)
    local now = set:choose(nil, 0, lambda * (1 - 1e-12), math.max(LEAST_GROUPS, count), set.active)
    if level then violations = violations + count_missing(set.active, now, set.candidates, count) end
    set.active, set.candidates, count = set.candidates, set.active, now
    self:descend(lambda, count)
  end
  local point = self:point(lambda, objective, gap)
  point.status, point.violations, point.iterations = status, violations, self.sweeps
  point.seconds = core.C.epact_thread_cpu() - began
  return point
end

--- Fits the model for one penalty.
-- NaN and infinity are refused. A constant column gets the coefficient 0 with an intercept or standardised. Memory: 16
-- bytes a row and a column, besides a copy of X by columns (12 bytes a non-zero, dense 8); 8 |g| (|g| + 1) for each
-- group g that was active.
-- @tparam epact_sparse|epact_dense X rows x columns
-- @tparam epact_dense y rows x 1
-- @tparam table given `groups` (the number of each column's group, by column from 0, or a list of lists of columns: see
-- `epact.optim.groups`), `weights` (w_g; the square roots of their sizes), `lambda` or `lambda_ratio` (0.1; of the
-- smallest lambda that makes all coefficients 0), `l2` (0), `intercept`, `standardise` (true), `tolerance` (1e-6:
-- gap, in units of the objective at b = 0), `max_iterations` (10000 sweeps)
-- @treturn table `coefficients` (epact_dense, columns x 1, for X as it is), `intercept`, `lambda`, `lambda_max`,
-- `objective`, `gap` (the objective is at most that far above its minimum; nil without a penalty: there it stops when
-- the gradient is `tolerance` times what it was), `status` ("CONVERGED", "MAXITER", "STALLED": rounding), `nonzeros`,
-- `groups` (how many are not 0), `iterations` (sweeps), `seconds` (CPU)
function group_lasso.solve(X, y, given)
  local where = "group_lasso.solve"
  local o = options.read(where, given, known)
  local fit = begin(where, X, y, o)
  local model = fit:solve(o.lambda or o.lambda_ratio * fit.lambda_max)
  model.coefficients, model.lambda_max, model.violations = paths.dense(model.coefficients), fit.lambda_max, nil
  model.seconds = core.C.epact_thread_cpu() - fit.began
  return model
end

--- Fits the model for a sequence of penalties, each from where the last one ended.
-- @tparam epact_sparse|epact_dense X rows x columns
-- @tparam epact_dense y rows x 1
-- @tparam table given as `solve`'s, but instead of a lambda `lambdas` (100: how many, evenly in their logarithms, from
-- lambda_max down) and `ratio` (of the last to the first; 1e-4 with rows >= columns, else 1e-2), or `path`: a list
-- @treturn table a list, in the order of the penalties as given, of what `solve` returns, with `coefficients` an
-- epact_sparse of 1 x columns, and `violations`: groups that the strong rule had dropped in error; and `lambda_max`,
-- `columns`, `seconds` of all, and the method `coefficients(k)`, an epact_dense.
function group_lasso.path(X, y, given)
  local where = "group_lasso.path"
  local o = options.read(where, given, paths.known(known))
  local fit = begin(where, X, y, o)
  local points, before = {}, fit.lambda_max
  for _, penalty in ipairs(paths.penalties(where, o, fit.lambda_max, X.rows, X.cols)) do
    local lambda = penalty[1]
    points[penalty[2]] = fit:solve(lambda, math.max(0, 2 * lambda - before))
    before = math.min(before, lambda)
  end
  points.lambda_max, points.seconds = fit.lambda_max, core.C.epact_thread_cpu() - fit.began
  return paths.new(points, "group_lasso", X.cols)
end

return group_lasso
