--- Stochastic gradient descent on a loss of linear predictions with a penalty, over the workers of a job.
--
--   minimise  F(w, b) = sum_i phi(x_i'w + b, y_i) + penalty(w)
--
-- Any loss (`epact.optim.loss`), any separable penalty (`epact.optim.penalty`), any step (`epact.optim.step`), in any
-- of these orders (`run`):
--
-- - "server": at each clock a worker takes its view of w, at most `staleness` clocks old, makes an update for each
--   `batch` of its rows, and publishes the change (`combine`: "mean", its share of the rows, or "sum"). BSP, SSP, ESSP
--   and Async as the job says.
-- - "psgd": every worker runs alone to the end; the answer is the mean of what they found (Zinkevich et al. 2010).
-- - "hogwild": the workers of one process change the same memory without locks (Niu et al. 2011). Where rows meet in
--   so few columns that the cores would fight for their cache lines, each worker has weights of its own instead,
--   which are averaged at every clock; `mode` of the result says which.
--
-- `method = "svrg"` draws the updates to the mean gradient of the epoch's first weights (Johnson and Zhang 2013);
-- `"proximal"` makes one accelerated step an epoch from all rows' gradient, and takes any penalty, groups too.
-- @module epact.optim.sgd

local ffi = require "ffi"
local core = require "epact.core"
local data = require "epact.data"
local epochs = require "epact.optim.epochs"
local kernel = require "epact.kernel.sgd"
local linear = require "epact.kernel.linear"
local losses = require "epact.optim.loss"
local options = require "epact.options"
local orders = require "epact.optim.sgd_orders"
local partition = require "epact.partition"
local penalties = require "epact.optim.penalty"
local steps = require "epact.optim.step"

local sgd = {}

local known = {
  loss = { "any", required = true },
  penalty = { "any" }, l1 = { "non_negative" }, l2 = { "non_negative" },
  scale = { { "sum", "mean" }, "sum" },             -- mean: the penalty's weights are for the mean of the losses
  step = { "any" },                                 -- default: see sgd.default_step
  epochs = { "count", 20 }, clocks = { "count", 8 }, batch = { "count", 1 },
  intercept = { "boolean", false },
  run = { { "server", "psgd", "hogwild" }, "server" }, method = { { "sgd", "svrg", "proximal" }, "sgd" },
  combine = { { "mean", "sum" }, "mean" },
  average = { "boolean" },                          -- of the last half's iterates; default: where it can be had
  beta = { "positive", 0.9 },                       -- hogwild: of the step, an epoch
  exact = { "boolean", false }, shared = { "boolean" }, -- hogwild: no lost changes; one memory or several
  tolerance = { "non_negative", 1e-4 },             -- relative change of F, three epochs on; 0: never stop early
  report = { "boolean", false }, reference = { "table" }, -- the theorems' quantities, against this solution
  on_divergence = { { "error", "keep" }, "error" }, push = { "boolean", false },
  name = { "string", "sgd" }, on_report = { "function" },
}

-- lambda_max(X'X) / n of at most 4096 rows, evenly taken: a few power iterations, and a tenth more.
local function mean_curvature(X)
  local parts, rows = math.max(1, math.min(8, math.floor(X.rows / 512))), math.min(X.rows, 4096)
  local each, v, g = math.floor(rows / parts), linear.zeros(X.cols), linear.zeros(X.cols)
  local slices, found = {}, 0
  for part = 1, parts do
    local first = math.floor((X.rows - each) * (part - 1) / math.max(1, parts - 1))
    slices[part] = X:slice(first, first + each)
  end
  for j = 0, X.cols - 1 do v[j] = 1 + j % 7 / 7 end
  for _ = 1, 12 do
    ffi.fill(g, X.cols * ffi.sizeof "double")
    for _, slice in ipairs(slices) do kernel.product(slice, v, g) end
    local norm = math.sqrt(linear.dot(X.cols, g, g))
    if norm == 0 then return 0 end
    found = norm / math.sqrt(linear.dot(X.cols, v, v))
    for j = 0, X.cols - 1 do v[j] = g[j] / norm end
  end
  return 1.1 * found / (each * parts)
end

-- The largest ||(x_i, 1)||^2, or ||x_i||^2 without an intercept; 1 of rows that are 0.
local function largest_norm2(X, intercept)
  local largest = kernel.largest_norm2(X) + (intercept and 1 or 0)
  return largest > 0 and largest or 1
end

--- The step that `minimise` takes when none is given, for the mean form (`l2` is of one row).
--
-- Smooth losses: constant, 1 / L, with L the curvature of a batch's mean loss, between that of one row,
-- c max ||x_i||^2, and that of all. The hinge loss: 1 / (max ||x_i||^2 + l2 t), or, without l2, 1 / max ||x_i|| over
-- the root of the epochs begun.
-- @treturn epact.step
function sgd.default_step(loss, X, l2, batch, intercept)
  local n = X.rows
  local largest = largest_norm2(X, intercept)
  if loss.curvature == math.huge then
    if l2 > 0 then return steps.inverse(1 / math.max(largest, l2), l2 / math.max(largest, l2)) end
    return steps.inverse_sqrt(1 / math.sqrt(largest), batch / n)
  end
  local L = largest
  if batch > 1 and n > 1 then
    local mean = math.min(largest, sgd.mean_curvature(X) + (intercept and 1 or 0))
    L = (n * (batch - 1) * mean + (n - batch) * largest) / (batch * (n - 1))
  end
  return steps.constant(1 / (loss.curvature * math.max(L, largest / batch) + l2))
end

sgd.mean_curvature = mean_curvature

local function check_hogwild(where, w, o)
  if w.size > 1 then
    core.fail("%s: run = \"hogwild\" shares the memory of one process, this job has %d", where, w.size)
  end
  if o.shared and not o.loss.kind then
    core.fail("%s: a loss defined in Lua works on weights of each worker's own (shared = false)", where)
  end
  local adagrad = o.step and o.step.name == "adagrad"
  if w.deterministic and w.workers > 1 and (o.shared or adagrad) then
    core.fail("%s: shared weights without locks are deterministic for one worker only; this job has %d", where,
      w.workers)
  end
end

local function read(w, X, y, given)
  local where = "sgd.minimise"
  local o = options.read(where, given, known)
  o.loss = losses.of(where, o.loss)
  o.penalty = penalties.of(where, o.penalty, o.l1, o.l2)
  kernel.check(where, X, y, o.loss.classifies)
  o.batch = math.min(o.batch, X.rows)
  if o.batch > core.C.EPACT_LARGEST_BATCH then
    core.fail("%s: option 'batch' must be at most %d, got %d", where, core.C.EPACT_LARGEST_BATCH, o.batch)
  end
  if not o.penalty:is_separable() and o.method ~= "proximal" then
    core.fail("%s: groups cannot be paid row by row: take method = \"proximal\"", where)
  end
  if o.method == "proximal" then o.clocks = 1 end
  if o.method == "proximal" and (o.run ~= "server" or o.loss.curvature == math.huge) then
    core.fail("%s: method \"proximal\" needs run = \"server\" and a loss without kinks", where)
  end
  o.penalty:check(where, X.cols)
  if o.step ~= nil then o.step = steps.of(where, o.step) end
  local simple = o.penalty.l1 == 0 and not o.penalty:is_bounded()
  local averaged = simple and o.run == "server" and o.method == "sgd" and o.loss.kind
    and not (o.step and (o.step.name:find "^ada" or o.step.name == "ssp"))
  if o.average and not averaged then
    core.fail("%s: an average needs run = \"server\", a built-in loss, and no l1, bounds, AdaGrad or SVRG", where)
  end
  if o.average == nil then o.average = averaged and true or false end
  if o.step and o.step.name:find "^ada" and (o.run == "psgd" or not o.loss.kind or o.method == "svrg") then
    core.fail("%s: %s needs run = \"server\" or \"hogwild\" and a built-in loss", where, tostring(o.step))
  end
  if o.step and o.step.name == "adarevision" and (not simple or o.run ~= "server") then
    core.fail("%s: AdaRevision needs run = \"server\", and an l2 penalty or none", where)
  end
  if o.method == "svrg" and (not simple or o.run ~= "server" or not o.loss.kind) then
    core.fail("%s: SVRG needs run = \"server\", a built-in loss, and an l2 penalty or none", where)
  end
  local falls = not o.step or (o.step.power == 0.5 and o.step.decay >= 1) or o.step.name == "ssp"
  if o.report and not (o.run == "server" and o.method == "sgd" and o.step and falls and o.loss.lipschitz) then
    core.fail("%s: the theorems are about run = \"server\", a Lipschitz loss, and a step that falls as 1 / sqrt t: "
      .. "step.ssp or step.inverse_sqrt", where)
  end
  if o.batch > 1 and (o.method == "svrg" or o.run == "hogwild" or (o.step and o.step.name:find "^ada")) then
    core.fail("%s: batch = %d: SVRG, Hogwild! and AdaGrad make an update for each row, AdaRevision for each clock",
      where, o.batch)
  end
  if o.run == "hogwild" then check_hogwild(where, w, o) end
  local at = o.reference and o.reference.weights
  if o.reference and not (data.kind(at) == "dense" and at.rows == X.cols and at.cols == 1) then
    core.fail("%s: option 'reference' must have `weights`, a dense data set of %d x 1, got %s", where, X.cols,
      options.show(at))
  end
  return o
end

local methods = {}
local class = { __index = methods }

-- What every order of updates works on.
local function begin(w, X, y, o)
  local n, p = X.rows, X.cols
  -- Equal numbers of rows, not of non-zeros: every worker's updates count the same.
  local first, last = partition.equal(n, w.id, w.workers)
  local own_X, own_y = X:slice(first, last), y:slice(first, last)
  local per_row = o.scale == "sum" and 1 / n or 1
  local l1, l2 = o.penalty.l1 * per_row, o.penalty.l2 * per_row
  local step = (o.step or sgd.default_step(o.loss, X, o.method == "proximal" and 0 or l2,
    o.method == "proximal" and n or o.batch, o.intercept)):resolve {
    workers = w.workers, staleness = w.staleness, updates = math.ceil(n / w.workers / o.clocks / o.batch),
    lipschitz = o.loss.lipschitz and o.loss.lipschitz * math.sqrt(largest_norm2(X, o.intercept)) }
  w:claim("sgd.minimise", o.name)
  return setmetatable({
    w = w, o = o, X_all = X, X = own_X, y = own_y, n = n, p = p, size = p + 1, per_row = per_row, step = step,
    rule = { step = step.step, decay = step.decay, power = step.power, l1 = l1, l2 = l2, low = o.penalty.low,
      high = o.penalty.high, batch = o.batch, intercept = o.intercept, watched = o.report },
    notes = w:table(o.name .. ".notes", { rows = o.epochs + 3, cols = 3 + w.workers, staleness = 0 }),
    order = linear.identity(own_X.rows), rng = w:rng(), kept = linear.zeros(p + 1), history = {},
    started = core.C.epact_now(),
  }, class)
end

--- F at weights that are the same for all, at a barrier; each adds the losses of its rows.
-- @treturn number nil when a worker's descent has diverged
-- @treturn number the clock of that
function methods:objective(line, now)
  local w, o, mean = self.w, self.o, self.o.scale == "mean"
  local loss = self.diverged and 0 or kernel.loss(self.X, self.y, o.loss, now, now[self.p])
  local paid = o.penalty:value(now, self.p)
  if loss + paid - (loss + paid) ~= 0 then self.diverged, loss = self.diverged or w:now(), 0 end
  self.notes:inc(line, 0, loss)
  if self.diverged then self.notes:inc(line, 3 + w.id, self.diverged + 1) end
  w:barrier()
  local note = self.notes:get(line)
  local clock = epochs.first_divergence(note, 3, w.workers)
  if clock then return nil, clock end
  return (mean and note[0] / self.n or note[0]) + paid
end

--- One pass over this worker's rows in a new order, a clock at a time.
function methods:pass(epoch)
  local rows = self.X.rows
  linear.shuffle(self.rng, self.order, rows)
  for clock = 0, self.o.clocks - 1 do
    local first, last = partition.equal(rows, clock, self.o.clocks)
    if not self.diverged and not self:learn(epoch, first, last) then self.diverged = self.w:now() end
    self.w:clock()
  end
end

function methods:note(epoch, objective)
  local entry = { epoch = epoch, objective = objective, step = self.step:at(tonumber(self:updates())),
    seconds = core.C.epact_now() - self.started }
  self.history[#self.history + 1] = entry
  if self.w.id == 0 and self.o.on_report then self.o.on_report(entry) end
end

function methods:run()
  local o = self.o
  self.w:barrier()
  local start, status, high = self:objective(0, self:weights()), "MAXITER", 0
  self.kept_objective = start
  for epoch = 1, o.epochs do
    self:before(epoch)
    self:pass(epoch)
    local now = self:meet(epoch)
    local objective, clock = self:objective(epoch, now)
    high = objective and objective > 10 * start and high + 1 or 0
    if high == 3 then clock = self.w:now() end
    if clock then return "DIVERGED", clock, epoch end
    if high == 0 then self:keep(now, objective) end
    self:note(epoch, objective)
    if epochs.objective_settled(self.history, o.tolerance) then
      status = "CONVERGED"
      break
    end
  end
  return status
end

function methods:keep(now, objective)
  ffi.copy(self.kept, now, self.size * ffi.sizeof "double")
  self.kept_objective = objective
end

--- The model, from the last good weights.
function methods:result(status)
  local weights = data.new("dense", self.p, 1)
  ffi.copy(weights.value, self.kept, self.p * ffi.sizeof "double")
  return { weights = weights, intercept = self.kept[self.p], status = status, history = self.history, mode = self.mode,
    objective = self.kept_objective, averaged = self.averaged or false, step = tostring(self.step),
    updates = tonumber(self:updates()), theory = self.theory }
end

--- Minimises F; every worker of the job calls it with the same arguments.
-- @param w the worker
-- @tparam epact_sparse|epact_dense X
-- @tparam epact_dense y labels, rows x 1; -1 and +1 for losses that classify
-- @tparam table given `loss` (an object or its name), `penalty` or `l1` and `l2`, `scale` ("sum": as written above, or
-- "mean": of the mean of the losses), `step` (a schedule or a number), `epochs` (20), `clocks` (an epoch, 8), `batch`
-- (1), `intercept` (false), `run`, `method`, `combine`, `average`, `tolerance`, `beta`, `exact`, `shared`,
-- `on_divergence`, `push` (ESSP), `name`, `on_report`; `report`: gather what the theorems are about (`theory` of the
-- result, which prints itself; see `epact.optim.theory`), against the solution `reference` (`{ weights, intercept }`)
-- @treturn table on every worker the same: `weights` (epact_dense, columns x 1), `intercept`, `objective`, `status`
-- ("CONVERGED", "MAXITER", "DIVERGED"), `failure`, `averaged` (the weights are the average of the last half's iterates,
-- which were better than the last), `mode`, `history`: a list of `{ epoch, objective, step, seconds }`
function sgd.minimise(w, X, y, given)
  options.worker("sgd.minimise", w)
  local o = read(w, X, y, given)
  local fit = begin(w, X, y, o)
  orders.prepare(fit)
  local status, clock, epoch = fit:run()
  if status ~= "DIVERGED" then fit:finish() end
  local result = fit:result(status)
  if status == "DIVERGED" then
    result.failure = epochs.diverged("sgd", clock, epoch, epochs.too_large(fit.step.step))
    if o.on_divergence == "error" then core.fail("%s", result.failure) end
  end
  return result
end

return sgd
