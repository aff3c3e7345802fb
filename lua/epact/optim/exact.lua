--- Linear models solved to a certified accuracy, by one worker, from data that fit it.
--
--   minimise  F(w, b) = sum_i phi(x_i'w + b, y_i) + l1 ||w||_1 + l2/2 ||w||^2
--
-- in the sum form (LIBLINEAR's C is 1 / l2 or 1 / l1; its squared hinge loss has no 1/2: there l = 1 / (2 C)), where b
-- is optional and never penalised. Four methods, of which the one that should be fastest for the shape is taken:
--
--   "lasso"   the squared loss with an l1: see `epact.optim.lasso`
--   "newton"  few columns: Newton steps with the p x p Hessian, proximal with an l1
--   "dual"    many columns, l1 = 0 and l2 > 0: dual coordinate descent; the only one for the hinge loss
--   "active"  many or dense columns and an l1, or no penalty: proximal Newton steps on a working set of columns
--
-- The result says how far it may be from the minimum: `gap` is an upper bound of F - min F, by duality (without any
-- penalty, where there is none, what the last Newton step promised).
-- @module epact.optim.exact

local checks = require "epact.model.checks"
local core = require "epact.core"
local data = require "epact.data"
local design = require "epact.kernel.design"
local linear = require "epact.kernel.linear"
local newton = require "epact.kernel.newton"
local loss_objects = require "epact.optim.loss"
local options = require "epact.options"

local exact = {}

local methods = {
  newton = require "epact.optim.newton", dual = require "epact.optim.dual", active = require "epact.optim.active",
  lasso = require "epact.optim.exact_lasso",
}
local losses = { "squared", "huber", "logistic", "hinge", "squared_hinge", "smoothed_hinge" }
local most_iterations = { newton = 200, active = 1000, lasso = 200, dual = 10000 }

local known = {
  loss = { "any", "logistic" },
  width = { "positive", 1 },             -- of the Huber and the smoothed hinge loss
  l1 = { "non_negative", 0 },
  l2 = { "non_negative", 0 },
  intercept = { "boolean", false },
  tolerance = { "positive", 1e-6 },      -- of the gap, relative to the objective
  method = { { "newton", "dual", "active", "lasso" } },
  max_iterations = { "count" },          -- default: 200 steps ("active": 1000), 10000 sweeps of "dual"
  seed = { "index", 1 },                 -- of the order in which "dual" visits the rows
}

-- The name and width of a loss given as an object.
local function read_loss(where, o)
  if getmetatable(o.loss) == loss_objects.Loss then
    if not o.loss.kind then core.fail("%s: a loss defined in Lua has no curvature: take `optim.sgd`", where) end
    o.loss, o.width = o.loss.name, o.loss.width or o.width
  end
  options.argument(where, "option 'loss'", losses, o.loss)
end

--- The non-zeros of a dense data set, as a sparse one.
local function compress(X)
  local count, cols = 0, X.cols
  for k = 0, X.rows * cols - 1 do
    if X.value[k] ~= 0 then count = count + 1 end
  end
  local sparse, at = data.new("sparse", X.rows, cols, count), 0
  for i = 0, X.rows - 1 do
    for j = 0, cols - 1 do
      local value = X.value[i * cols + j]
      if value ~= 0 then sparse.index[at], sparse.value[at], at = j, value, at + 1 end
    end
    sparse.start[i + 1] = at
  end
  return sparse
end

-- Why a method cannot do it; nil when it can.
local function obstacle(method, o, columns)
  if o.loss == "hinge" and method ~= "dual" then return "the hinge loss needs method \"dual\"" end
  if method == "dual" and (o.l1 > 0 or o.l2 == 0) then
    return (o.loss == "hinge" and "the hinge loss" or "method \"dual\"") .. " needs l2 > 0 and l1 = 0"
  end
  if method == "lasso" and (o.loss ~= "squared" or o.l1 == 0) then
    return "method \"lasso\" needs the squared loss and l1 > 0"
  end
  local most = o.l1 > 0 and 8000 or 16000 -- two gigabytes
  if method == "newton" and columns > most then
    return ("method \"newton\" is for at most %d columns, X has %d"):format(most, columns)
  end
  return nil
end

-- Seconds that a method should need, from what its loops took: a nanosecond for a multiplication of the sparse Hessian,
-- a twentieth in dense ones; two for an entry that a sweep reads and writes, four by columns, a quarter by dense ones.
local function predict(method, o, x)
  local entries, columns = x:entries(), x.size
  if method == "dual" then return 80 * entries * 2e-9 end
  if method == "active" then return 150 * entries * (x.view.start == nil and o.l1 > 0 and 0.25e-9 or 4e-9) end
  local hessian = x:hessian_cost() * (x.view.start == nil and 0.05e-9 or 1e-9)
  local factors = o.l1 > 0 and 5 or 1
  return 7 * (hessian + factors * columns ^ 3 / 3 * 0.05e-9 + entries * 4e-9)
end

--- The method that `solve` takes when none is given.
local function choose(where, o, x)
  if not obstacle("lasso", o, x.columns) then return "lasso" end
  local best, least, why = nil, math.huge, nil
  for _, method in ipairs { "newton", "dual", "active" } do
    local reason = obstacle(method, o, x.columns)
    local seconds = reason and math.huge or predict(method, o, x)
    if method == "dual" or not why then why = reason or why end -- what "dual" wants can be given
    if method == "active" and best == "dual" then seconds = math.huge end
    if seconds < least then best, least = method, seconds end
  end
  if not best then core.fail("%s: %s", where, why) end
  return best
end

--- What the methods are given. Private to the solvers of this folder.
-- @tparam string where the function as the user calls it
-- @param X data set
-- @tparam epact_dense y
-- @tparam table o `loss` (a name), `width`, `l1`, `l2`, `intercept`, `tolerance`, `seed`
function exact.pose(where, X, y, o)
  checks.matrix(where, X)
  checks.response(where, y, X.rows)
  local loss = design.loss(where, o.loss, o.width)
  local labels, one_class = design.labels(where, loss, y)
  if one_class and o.intercept and o.loss == "logistic" then
    core.fail("%s: y has one class only, so that the logistic loss has no minimum with an intercept", where)
  end
  local x = design.new(where, X, o.intercept)
  local at_zero = core.C.epact_loss_sum(loss, X.rows, linear.zeros(X.rows), labels)
  if at_zero == math.huge then core.fail("%s: the loss at w = 0 is beyond double precision: scale y", where) end
  local at_best = at_zero
  if o.intercept and o.loss ~= "hinge" and not one_class then
    local t, u, d = linear.zeros(X.rows), linear.zeros(X.rows), linear.zeros(X.rows)
    at_best = newton.centre(loss, X.rows, t, labels, u, d)
  end
  local problem = {
    design = x, y = labels, response = y, loss = loss,
    n = X.rows, columns = X.cols, size = x.size, l1 = o.l1, l2 = o.l2,
    tolerance = o.tolerance, seed = o.seed, kinked = o.loss == "hinge", objective_at_zero = at_zero,
    one_class = one_class and o.intercept,
  }
  -- what rounding leaves, of a loss that is 0 where the response is the intercept, too
  problem.rounding = 1e-14 * at_best + 1e-20 * at_zero
  function problem.enough(gap, objective) return gap <= o.tolerance * objective + problem.rounding end
  function problem.diverges(u)
    if o.loss ~= "logistic" or problem.l1 > 0 or o.l2 > 0 then return end
    for i = 0, X.rows - 1 do
      if u[i] >= 0.5 or u[i] <= -0.5 then return end
    end
    core.fail("%s: a plane separates the classes, so that the logistic loss has no minimum without a penalty: give l2 "
      .. "[E_DIVERGED]", where)
  end
  return problem
end

--- A method's solver of a problem: `solver:run()` goes to the minimum from where it is. Private to the solvers of this
-- folder.
-- @tparam string where the function as the user calls it
-- @tparam table problem of `exact.pose`
-- @param X its data set
-- @tparam table o as `exact.pose`'s, with `method` (nil: chosen) and `max_iterations`
-- @treturn table
-- @treturn string the method
function exact.prepare(where, problem, X, o)
  local method = o.method or choose(where, o, problem.design)
  local reason = obstacle(method, o, X.cols)
  if reason then core.fail("%s: %s", where, reason) end
  problem.max_iterations = o.max_iterations or most_iterations[method]
  if method == "dual" and data.kind(X) == "dense" then
    problem.design = design.new(where, compress(X), o.intercept)
  end
  return methods[method].prepare(problem), method
end

-- One class and a free intercept: no weights are needed.
local function solve_one_class(problem)
  local w = linear.zeros(problem.size)
  w[problem.columns] = problem.y[0]
  return { w = w, objective = 0, gap = 0, status = "CONVERGED", iterations = 0 }
end

--- Minimises F.
-- @param X data set, sparse or dense, rows x columns; finite values
-- @tparam epact_dense y rows x 1: labels -1 and 1, or 0 and 1, of the logistic and the hinge losses; else any numbers
-- @tparam ?table given `loss` ("logistic", "squared", "huber", "hinge", "squared_hinge", "smoothed_hinge", or an object
-- of `epact.optim.loss`), `width` (1), `l1` (0), `l2` (0), `intercept` (false), `tolerance` (1e-6, relative to the
-- objective), `method` (chosen by the shape), `max_iterations`, `seed`
-- @treturn table `weights` (epact_dense, columns x 1), `intercept`, `objective` (F), `gap` (F - min F is at most this),
-- `status` ("CONVERGED"; "MAXITER"; "STALLED": rounding keeps F from falling further), `certificate` ("gap": that is
-- below the tolerance; "step": method "active" ended where its last steps promised less than that, an estimate, which
-- is too low where columns hardly differ; the gap is then at most 1000 times the tolerance), `method`, `iterations`
-- (steps or sweeps), `seconds` (CPU)
function exact.solve(X, y, given)
  local where = "exact.solve"
  local o = options.read(where, given, known)
  read_loss(where, o)
  local began = core.C.epact_thread_cpu()
  local problem = exact.pose(where, X, y, o)
  local solver, method = exact.prepare(where, problem, X, o)
  local found = problem.one_class and solve_one_class(problem) or solver:run()
  local certificate = problem.enough(found.gap, found.objective) and "gap" or "step"
  local weights = data.new("dense", X.cols, 1)
  for j = 0, X.cols - 1 do weights.value[j] = found.w[j] end
  return {
    weights = weights, intercept = o.intercept and found.w[X.cols] or 0, objective = found.objective, gap = found.gap,
    status = found.status, certificate = certificate, method = method, iterations = found.iterations,
    seconds = core.C.epact_thread_cpu() - began,
  }
end

return exact
