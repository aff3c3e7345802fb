--- The lasso and the elastic net by coordinate descent, model-parallel over the parameter server.
--
--   minimise  1/2 ||y - b0 - X b||^2 + l1 ||b||_1 + l2/2 ||b||^2      (sum form: glmnet's lambda is l1 / n)
--
-- The columns, with their coefficients, are dealt to the workers. All they share is the residual r = y - X b, one row of
-- a table. At each clock a worker takes its view of r, at most `staleness` clocks old, sweeps over its active columns
--
--   b_j <- S(x_j'r + d q_j b_j, l1) / (d q_j + l2),      q_j = ||x_j||^2
--
-- and publishes what that did to r. The damping d is 1 as long as that makes the objective fall. At a barrier, where r
-- is exact, the workers join their columns' numbers into the duality gap; when the objective has risen instead, all go
-- back to where it was lowest and d doubles. With d = the number of workers and staleness 0 it cannot rise.
--
-- Sources: Friedman, Hastie, Tibshirani 2010 (coordinate descent); Ma et al. 2015 (damping); Ndiaye et al. 2017 (gap).
-- @module epact.optim.lasso

local ffi = require "ffi"
local core = require "epact.core"
local data = require "epact.data"
local kernel = require "epact.kernel.lasso"
local options = require "epact.options"

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

local function check_data(X, y)
  local kind = data.kind(X)
  if kind ~= "sparse" and kind ~= "dense" then
    core.fail("lasso.train: X must be a sparse or dense data set, got %s", options.show(X))
  end
  if data.kind(y) ~= "dense" or y.cols ~= 1 or y.rows ~= X.rows then
    core.fail("lasso.train: y must be a dense data set of %d x 1, got %s", X.rows, tostring(y))
  end
  if X.rows == 0 or X.cols == 0 then core.fail("lasso.train: X has no rows or no columns: %s", tostring(X)) end
  for i = 0, y.rows - 1 do
    if y[i] - y[i] ~= 0 then core.fail("lasso.train: y[%d] is %g", i, y[i]) end
  end
end

local function refuse(row, col, value) core.fail("lasso.train: X[%d][%d] is %g", row, col, value) end

-- The entries of each column; ffi.new is enough for one number a column.
local function count_entries(X)
  local count = ffi.new("int64_t[?]", X.cols)
  for k = tonumber(X.start[0]), tonumber(X.start[X.rows]) - 1 do count[X.index[k]] = count[X.index[k]] + 1 end
  return count
end

-- Columns [first, last) of worker `id`: about as many entries as the others'.
local function deal_columns(X, entries, id, workers)
  if not entries then return math.floor(X.cols * id / workers), math.floor(X.cols * (id + 1) / workers) end
  local first, column, before = nil, 0, 0
  for part = id, id + 1 do
    while column < X.cols and (before < X.count * part / workers or part == workers) do
      before, column = before + tonumber(entries[column]), column + 1
    end
    first = first or column
  end
  return first, column
end

-- Columns [first, last) of X as the rows of a data set of their own.
local function take_sparse(X, entries, first, last)
  local count = 0
  for j = first, last - 1 do count = count + tonumber(entries[j]) end
  local columns = data.new("sparse", last - first, X.rows, count)
  local start, row, value = columns.start, columns.index, columns.value
  for j = first, last - 1 do start[j - first + 1] = start[j - first] + entries[j] end
  local free = ffi.new("int64_t[?]", last - first + 1)
  ffi.copy(free, start, (last - first) * 8)
  for i = 0, X.rows - 1 do
    for k = tonumber(X.start[i]), tonumber(X.start[i + 1]) - 1 do
      local j, x = X.index[k], X.value[k]
      if j >= first and j < last then
        if x - x ~= 0 then refuse(i, j, x) end
        local at = free[j - first]
        row[at], value[at], free[j - first] = i, x, at + 1
      end
    end
  end
  return columns
end

local function take_dense(X, first, last)
  local columns, rows, cols = data.new("dense", last - first, X.rows), X.rows, X.cols
  local from, to = X.value, columns.value
  for i = 0, rows - 1 do
    for j = first, last - 1 do
      local x = from[i * cols + j]
      if x - x ~= 0 then refuse(i, j, x) end
      to[(j - first) * rows + i] = x
    end
  end
  return columns
end

local function take_share(w, X)
  local entries = data.kind(X) == "sparse" and count_entries(X) or nil
  local first, last = deal_columns(X, entries, w.id, w.workers)
  return first, entries and take_sparse(X, entries, first, last) or take_dense(X, first, last)
end

-- The coefficients of all workers, as a Lua table by column.
local function gather(w, name, share, first, cols)
  local table = w:table(name .. ".coefficients", { rows = 1, cols = cols, staleness = 0 })
  local own = share:coefficients()
  for j = 0, share.columns - 1 do
    if own[j] ~= 0 then table:inc(0, first + j, own[j]) end
  end
  w:barrier()
  local all, coefficients = table:get(0), {}
  for j = 0, cols - 1 do coefficients[j] = all[j] end
  return coefficients
end

local function mean(n, r)
  local sum = 0
  for i = 0, n - 1 do sum = sum + r[i] end
  return sum / n
end

--- Fits the model; every worker of the job calls it with the same arguments: the whole of X and y.
-- NaN and infinity are refused; a constant column gets the coefficient 0.
-- @param w the worker
-- @tparam epact_sparse|epact_dense X
-- @tparam epact_dense y
-- @tparam ?table given `lambda` (l1) or `lambda_ratio` (of the smallest l1 that makes all coefficients 0; 0.1), `l2` (0),
-- `intercept`, `standardise` (true), `tolerance` (1e-6: the gap to reach, in units of the objective at b = 0),
-- `max_sweeps` (10000), `every`, `passes`, `name`, `on_report`
-- @treturn table on every worker the same: `coefficients` (by column from 0, for X as it is), `intercept`, `lambda`,
-- `lambda_max`, `objective`, `gap` (the objective is at most that far above its minimum; without a penalty there is no
-- such bound, and it stops when the gradient is `tolerance` times what it was), `status` ("CONVERGED" or "MAXITER"),
-- `nonzeros`, and `history`: a list of `{ sweeps, objective, gap, nonzeros, damping, seconds }`
function lasso.train(w, X, y, given)
  local o = options.read("lasso.train", given, known)
  check_data(X, y)
  local n, begin = X.rows, core.C.epact_now()
  local first, columns = take_share(w, X)
  local share = kernel.share { columns = columns, intercept = o.intercept, standardise = o.standardise }
  local residual = w:table(o.name .. ".residual", { rows = 1, cols = n })
  local certificates = w:table(o.name .. ".certificates", { cols = 5, staleness = 0 })

  -- At a barrier r is exact and the same for all. Each worker adds its columns' numbers, and all join all of them.
  local looks = 0
  local function certify(l1)
    w:barrier()
    local whole = share:certify(y.value, residual:get(0), l1, o.l2)
    local row = looks * w.workers
    certificates:inc_row(row + w.id, { whole.largest_correlation, whole.excess2, whole.norm1, whole.norm2,
      share:nonzeros() })
    w:barrier()
    local now = { nonzeros = 0 }
    whole.largest_correlation, whole.excess2, whole.norm1, whole.norm2 = 0, 0, 0, 0
    for id = 0, w.workers - 1 do
      local part = certificates:get(row + id)
      kernel.join(whole, ffi.new("epact_lasso_certificate", 0, 0, part[0], part[1], part[2], part[3]))
      now.nonzeros = now.nonzeros + part[4]
    end
    looks = looks + 1
    now.objective, now.gap = kernel.gap(whole, l1, o.l2)
    now.correlation = whole.largest_correlation
    return now
  end

  if w.id == 0 then
    if mean(n, residual:get(0)) ~= 0 then
      core.fail("lasso.train: this job has trained '%s' before: give the model another name", o.name)
    end
    residual:inc_row(0, y.value)
  end
  local now = certify(0)
  local null, lambda_max = now.objective, now.correlation
  local l1 = o.lambda or o.lambda_ratio * lambda_max
  now = certify(l1)

  local penalised = l1 > 0 or o.l2 > 0
  local rounding = 1e-28 * core.C.epact_dot(n, y.value, y.value) -- what a constant y leaves of ||y - mean(y)||^2
  local function converged()
    if not penalised then return now.correlation <= o.tolerance * lambda_max + math.sqrt(rounding) end
    return now.gap <= o.tolerance * null + rounding
  end

  local history, sweeps, damping, best = {}, 0, 1, math.huge
  local best_residual = core.own(ffi.cast("double *", core.C.epact_block_new(n * 8)))
  local function report()
    history[#history + 1] = { sweeps = sweeps, objective = now.objective, gap = now.gap, nonzeros = now.nonzeros,
      damping = damping, seconds = core.C.epact_now() - begin }
    if w.id == 0 and o.on_report then o.on_report(history[#history]) end
  end

  -- True when the objective has risen; then b and r are those of the best look again.
  local function went_wrong()
    if now.objective <= best + 1e-13 * null then
      best = now.objective
      share:save()
      ffi.copy(best_residual, residual:get(0), n * 8)
      return false
    end
    share:restore()
    if w.id == 0 then
      core.C.epact_axpy(n, -1, residual:get(0), best_residual)
      residual:inc_row(0, best_residual)
    end
    w:barrier()
    ffi.copy(best_residual, residual:get(0), n * 8)
    share:certify(y.value, best_residual, l1, o.l2)
    return true
  end

  report()
  went_wrong()
  local clocks = 1
  while not converged() and sweeps < o.max_sweeps do
    share:activate(l1)
    local passes = o.passes or math.max(1, math.min(10, math.floor(n / math.max(1, share:active_entries()))))
    for _ = 1, clocks do
      residual:inc_row(0, share:sweep(residual:get(0), passes, damping, l1, o.l2))
      w:clock()
    end
    sweeps = sweeps + clocks
    now = certify(l1)
    report()
    if went_wrong() then
      damping = 2 * damping
      if w.staleness == 0 then damping = math.min(damping, w.workers) end
      clocks = 1
    else
      clocks = math.min(2 * clocks, o.every, math.max(1, o.max_sweeps - sweeps))
    end
  end

  local r = residual:get(0)
  return {
    coefficients = gather(w, o.name, share, first, X.cols), intercept = o.intercept and mean(n, r) or 0,
    lambda = l1, lambda_max = lambda_max, objective = now.objective, gap = penalised and now.gap or nil,
    status = converged() and "CONVERGED" or "MAXITER", nonzeros = now.nonzeros, sweeps = sweeps, history = history,
  }
end

return lasso
