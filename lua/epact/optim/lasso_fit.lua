--- The lasso and the elastic net by coordinate descent, model-parallel over the parameter server.
--
--   minimise  1/2 ||y - b0 - X b||^2 + l1 ||b||_1 + l2/2 ||b||^2      (sum form: glmnet's lambda is l1 / n)
--
-- The columns, with their coefficients, are dealt to the workers. All they share is the residual r = y - X b, one row
-- of a table. At each clock a worker takes its view of r, at most `staleness` clocks old, sweeps over its active
-- columns
--
--   b_j <- S(x_j'r + d q_j b_j, l1) / (d q_j + l2),      q_j = ||x_j||^2
--
-- and publishes what that did to r. The damping d is 1 as long as that makes the objective fall. At a barrier, where r
-- is exact, the workers join their columns' numbers into the duality gap; when the objective has risen instead, all go
-- back to where it was lowest, and d doubles. With d = the number of workers, all at the same r, it cannot rise.
--
-- Sources: Friedman, Hastie, Tibshirani 2010 (coordinate descent); Ma et al. 2015 (damping); Ndiaye et al. 2017 (gap).
-- @module epact.optim.lasso_fit

local ffi = require "ffi"
local checks = require "epact.model.checks"
local core = require "epact.core"
local data = require "epact.data"
local kernel = require "epact.kernel.lasso"
local linear = require "epact.kernel.linear"
local options = require "epact.options"
local partition = require "epact.partition"

local lasso = {}

local known = {
  lambda = { "non_negative" },               -- l1; default lambda_ratio times the smallest l1 that makes all b_j 0
  lambda_ratio = { "non_negative", 0.1 },
  l2 = { "non_negative", 0 },
  intercept = { "boolean", true },
  standardise = { "boolean", true },         -- columns get population variance 1; coefficients are on the old scale
  tolerance = { "positive", 1e-6 },          -- of the gap, in units of the objective at b = 0
  max_sweeps = { "count", 10000 },
  every = { "count", 8 },                    -- clocks between two looks at the gap
  passes = { "count" },                      -- sweeps a clock; default: enough to outweigh the exchange of r
  name = { "string", "lasso" },              -- of its tables; a second model of the same job needs another
  on_report = { "function" },                -- called by worker 0 with { sweeps, objective, gap, ... }
}

local COLUMN = 8     -- entries that cost as much as a column
local ROUNDING = 2e-13 -- of the objective at b = 0: what the sums of a gap are uncertain by
local MOST_IDLE = 8     -- looks
local SAMPLE = 500000 -- entries by which the columns are dealt

-- The columns [first, last) of worker `id`: about as much work as the others'.
local function deal_columns(X, id, workers)
  if data.kind(X) == "dense" then return partition.equal(X.cols, id, workers) end
  local step = math.max(1, math.floor(X.count / SAMPLE)) -- of much data a sample says enough
  local entries, work = X:column_entries("lasso.fit: X", step), COLUMN * X.cols
  for j = 0, X.cols - 1 do work = work + step * tonumber(entries[j]) end
  local first, column, before = nil, 0, 0
  for part = id, id + 1 do
    while column < X.cols and (before < work * part / workers or part == workers) do
      before, column = before + step * tonumber(entries[column]) + COLUMN, column + 1
    end
    first = first or column
  end
  return first, column
end

local function mean(n, r)
  local sum = 0
  for i = 0, n - 1 do sum = sum + r[i] end
  return sum / n
end

-- One model while it is fitted, as a worker sees it.
local methods = {}
local class = { __index = methods }

local function begin(w, X, y, o)
  local first, last = deal_columns(X, w.id, w.workers)
  local n, columns = X.rows, X:transpose(first, last)
  local origin, response = o.intercept and mean(n, y.value) or 0, linear.zeros(n)
  for i = 0, n - 1 do response[i] = y.value[i] - origin end
  w:claim("lasso.fit", o.name)
  local self = setmetatable({
    w = w, n = n, cols = X.cols, y = response, origin = origin,
    o = o, first = first, looks = 0, idle_looks = 0, smallest_gap = math.huge, clocks = 0, damping = 1, l1 = 0,
    share = kernel.share { columns = columns, first = first, intercept = o.intercept, standardise = o.standardise },
    residual = w:table(o.name .. ".residual", { rows = 1, cols = n }),
    certificates = w:table(o.name .. ".certificates", { cols = 5, staleness = 0 }),
    kept_residual = linear.zeros(n), history = {}, started = core.C.epact_now(),
    -- what rounding leaves of a constant y's ||y - mean(y)||^2 is no reason to go on
    rounding = 1e-28 * linear.dot(n, y.value, y.value),
  }, class)
  if w.id == 0 then self.residual:inc_row(0, response) end
  return self
end

--- The exact objective and gap, at a barrier: each worker adds its columns' numbers, and joins those of all. Between
-- the two barriers nobody publishes a change of r: only then it is the same for all. `self.exact` keeps that view until
-- the next `get`, which may already see what a faster worker did since.
function methods:look()
  local w, share = self.w, self.share
  w:barrier()
  self.exact = self.residual:get(0)
  local whole, row = share:certify(self.y, self.exact, self.l1, self.o.l2), self.looks * w.workers
  self.certificates:inc_row(row + w.id, { whole.largest_correlation, whole.excess2, whole.norm1, whole.norm2,
    share:nonzeros() })
  w:barrier()
  whole.largest_correlation, whole.excess2, whole.norm1, whole.norm2 = 0, 0, 0, 0
  local now = { nonzeros = 0, sweeps = self.clocks, damping = self.damping }
  for id = 0, w.workers - 1 do
    local part = self.certificates:get(row + id)
    kernel.join(whole, ffi.new("epact_lasso_certificate", 0, 0, part[0], part[1], part[2], part[3]))
    now.nonzeros = now.nonzeros + part[4]
  end
  self.looks = self.looks + 1
  now.objective, now.gap = kernel.gap(whole, self.l1, self.o.l2)
  now.correlation, now.seconds = whole.largest_correlation, core.C.epact_now() - self.started
  self.now = now
  return now
end

function methods:report()
  local now = self.now
  self.history[#self.history + 1] = now
  if self.w.id == 0 and self.o.on_report then self.o.on_report(now) end
end

function methods:penalised() return self.l1 > 0 or self.o.l2 > 0 end

function methods:converged()
  if not self:penalised() then
    return self.now.correlation <= self.o.tolerance * self.lambda_max + math.sqrt(self.rounding)
  end
  return self.now.gap <= self.o.tolerance * self.null + self.rounding
end

--- Whether the last looks all found no smaller gap than one before, where rounding may be all that is left of it.
function methods:stalled()
  local gap = self.now.gap
  self.idle_looks = (gap < self.smallest_gap or gap > ROUNDING * self.null) and 0 or self.idle_looks + 1
  self.smallest_gap = math.min(gap, self.smallest_gap)
  return self.idle_looks >= MOST_IDLE
end

--- Some clocks of sweeps.
function methods:descend(clocks)
  local share, residual, o = self.share, self.residual, self.o
  share:activate(self.l1)
  local passes = o.passes or math.max(1, math.min(10, math.floor(self.n / math.max(1, share:active_entries()))))
  for _ = 1, clocks do
    residual:inc_row(0, share:sweep(residual:get(0), passes, self.damping, self.l1, o.l2))
    self.w:clock()
  end
  self.clocks = self.clocks + clocks
end

--- Remembers b and r when the objective is as low as ever; false when it has risen.
function methods:keep()
  local objective, noise = self.now.objective, 1e-14 * self.null
  if self.lowest and objective > self.lowest + noise then return false end
  -- With just too long steps r goes round in circles: nothing changes, far from the minimum.
  local still = self.lowest and objective > self.lowest - noise and self.now.gap > 0.99 * self.gap
  if still and self.now.gap > 1e-6 * self.null then self:damp() end
  self.gap = self.now.gap
  self.lowest = math.min(self.lowest or objective, objective)
  self.share:save()
  ffi.copy(self.kept_residual, self.exact, self.n * ffi.sizeof "double")
  return true
end

--- Smaller steps: as small as it takes when each worker knows its own clocks only, of the last `staleness` and now.
function methods:damp()
  local others = self.w.workers - 1
  self.damping = math.min(2 * self.damping, others == 0 and 1 or 1 + others * (1 + self.residual.staleness))
end

--- All workers go back to where the objective was lowest.
function methods:roll_back()
  self.share:restore()
  if self.w.id == 0 then
    linear.axpy(self.n, -1, self.exact, self.kept_residual)
    self.residual:inc_row(0, self.kept_residual)
  end
  self:damp()
  self:look()
  self.lowest = nil
  self:keep()
end

--- The coefficients of all workers, columns x 1.
function methods:gather()
  local w, own = self.w, self.share:coefficients()
  local table = w:table(self.o.name .. ".coefficients", { rows = 1, cols = self.cols, staleness = 0 })
  for j = 0, self.share.columns - 1 do
    if own[j] ~= 0 then table:inc(0, self.first + j, own[j]) end
  end
  w:barrier()
  local coefficients = data.new("dense", self.cols, 1)
  ffi.copy(coefficients.value, table:get(0), self.cols * ffi.sizeof "double")
  return coefficients
end

--- Fits the model; every worker of the job calls it with the same arguments: the whole of X and y.
-- NaN and infinity are refused. With an intercept or standardised, a constant column gets the coefficient 0: a column
-- of ones of one's own needs `intercept = false, standardise = false`.
-- @param w the worker
-- @tparam epact_sparse|epact_dense X
-- @tparam epact_dense y
-- @tparam ?table given `lambda` (l1) or `lambda_ratio` (of the smallest l1 that makes all coefficients 0; 0.1), `l2`
-- (0), `intercept`, `standardise` (true), `tolerance` (1e-6: the gap to reach, in units of the objective at b = 0),
-- `max_sweeps` (10000; counted in clocks), `every` (clocks between two looks at the gap, 8), `passes` (sweeps a clock),
-- `name`, `on_report`
-- @treturn table on every worker the same: `coefficients` (columns x 1, for X as it is), `intercept`, `lambda`,
-- `lambda_max`, `objective`, `gap` (the objective is at most that far above its minimum; without a penalty there is no
-- such bound, and it stops when the gradient is `tolerance` times what it was), `status` ("CONVERGED"; "MAXITER";
-- "STALLED": the gap, below 2e-13 in those units, is rounding's and no longer falls),
-- `sweeps`, `nonzeros`, and `history`: a list of `{ sweeps, objective, gap, nonzeros, damping, seconds }`
function lasso.fit(w, X, y, given)
  options.worker("lasso.fit", w)
  local o = options.read("lasso.fit", given, known)
  checks.matrix("lasso.fit", X)
  checks.response("lasso.fit", y, X.rows)
  local fit = begin(w, X, y, o)
  local start = fit:look()
  fit.null, fit.lambda_max = start.objective, start.correlation
  fit.l1 = o.lambda or o.lambda_ratio * fit.lambda_max
  fit:look()
  fit:report()
  fit:keep()

  local clocks, status = 1, "MAXITER"
  while not fit:converged() and fit.clocks < o.max_sweeps do
    fit:descend(math.min(clocks, o.max_sweeps - fit.clocks))
    fit:look()
    fit:report()
    if fit:penalised() and not fit:converged() and fit:stalled() then
      status = "STALLED"
      break
    end
    if fit:keep() then
      clocks = math.min(2 * clocks, o.every)
    else
      fit:roll_back()
      clocks = 1
    end
  end

  return {
    coefficients = fit:gather(), intercept = o.intercept and fit.origin + mean(fit.n, fit.exact) or 0, lambda = fit.l1,
    lambda_max = fit.lambda_max, objective = fit.now.objective, gap = fit:penalised() and fit.now.gap or nil,
    status = fit:converged() and "CONVERGED" or status, nonzeros = fit.now.nonzeros, sweeps = fit.clocks,
    history = fit.history,
  }
end

return lasso
