--- Distance metric learning: a linear map under which similar rows are near each other and dissimilar ones are not.
--
--   minimise over L   sum over similar pairs ||L (x_i - x_j)||^2
--                     + lambda sum over dissimilar pairs max(0, c - ||L (x_i - x_j)||^2)
--
-- L is a table of outputs x columns. At each clock a worker takes its part of a mini-batch of pairs, half of them
-- similar and half dissimilar, and publishes its share of the step
--
--   L <- L - step / (|S| + |D|) (|S|/|half| sum of 2 (L e) e' - lambda |D|/|half| sum of 2 (L e) e' [||L e||^2 < c])
--
-- Each half is scaled by its own true number of pairs, or it would be another objective. A half with no more pairs than
-- half a batch is taken as a whole, and then there is no noise from it. The pairs of a clock are the same, and divided
-- among the workers, however many there are: under BSP P workers compute what one computes, to rounding. (For
-- that a barrier stands between the look at L and the step; under SSP and Async there is none.)
--
-- With snapshots (`epact.run`'s option) training goes on where it was.
--
-- Memory of a worker: the view of L, its gradient, the last good L and the one to become so: 16 bytes (32 with type
-- "f64") a number of L; 4 bytes a row to draw pairs from labels.
--
-- `metric.diagonal` is another form, in which only the scale of each column is learned: `epact.model.metric_diagonal`.
--
-- Sources: Xing, Ng, Jordan, Russell 2002 (the pairs); Weinberger, Blitzer, Saul 2005 (the margin); Xie, Xing 2014
-- (mini-batches of pairs over a parameter server).
-- @module epact.model.metric

local ffi = require "ffi"
local checks = require "epact.model.checks"
local core = require "epact.core"
local data = require "epact.data"
local diagonal = require "epact.model.metric_diagonal"
local epochs = require "epact.optim.epochs"
local kernel = require "epact.kernel.metric"
local learned = require "epact.model.metric_model"
local options = require "epact.options"
local pairs_of = require "epact.model.metric_pairs"
local replay = require "epact.model.replay"
local rng = require "epact.rng"
local store = require "epact.model.store"

local metric = { Model = learned.Model, diagonal = diagonal.fit }

local known = {
  outputs = { "count" },               -- rows of L; default: the columns of X
  margin = { "positive", 1 },          -- c
  lambda = { "non_negative", 1 },
  similar = { "any" }, dissimilar = { "any" }, -- edges between rows, instead of labels
  batch = { "count", 256 },            -- pairs a step, of all workers together
  clocks = { "count", 50 },            -- steps an epoch
  epochs = { "count", 20 },
  step = { "positive", 0.05 },
  decay = { "positive", 0.9 },         -- of the step, an epoch
  deviation = { "positive", 0.05 },    -- of L at the start; L = 0 would never move
  type = { { "f32", "f64" }, "f32" },
  seed = { "integer" },
  on_divergence = { { "error", "keep" }, "error" },
  push = { "boolean", false },         -- ESSP: see epact.worker:table
  name = { "string", "metric" },       -- of its tables; a second model of the same job needs another
  on_report = { "function" },          -- called by worker 0 with the newest entry of the history
}

local function share(count, w, id) return math.floor(count * id / w.workers) end

-- One model while it is fitted, as a worker sees it.
local methods = {}
local class = { __index = methods }

local function begin(w, X, kinds, o)
  local q, p, most = o.outputs or X.cols, X.cols, 1
  for _, kind in pairs(kinds) do
    kind.drawn = math.min(kind.count, math.max(1, math.floor(o.batch / 2)))
    most = math.max(most, math.ceil(kind.drawn / w.workers))
  end
  local self = setmetatable({ w = w, o = o, kinds = kinds, seed = o.seed or w.seed, sum = 0, history = {},
    total = kinds.similar.count + kinds.dissimilar.count, started = core.C.epact_now(),
    kernel = kernel.new { X = X, outputs = q, margin = o.margin, type = o.type, pairs = most } }, class)
  self.kept, self.fresh = self.kernel:zeros(), self.kernel:zeros()
  w:claim("metric.fit", o.name, true)
  self.L = w:table(o.name .. ".L", { rows = q, cols = p, type = o.type, push = o.push })
  self.sums = w:table(o.name .. ".sums", { rows = o.epochs + 1, cols = 1 + w.workers, staleness = 0 })
  self.together = w.workers > 1 and self.L.staleness == 0 and not w.deterministic
  self.run = replay.begin(w, function() return self:state() end, function(state) self:restore(state) end)
  for i = 0, self.run.resumed and -1 or q - 1 do
    local stream, row = rng(self.seed, 1, i), self.kept + i * p
    for j = 0, p - 1 do row[j] = o.deviation * stream:normal() end
    if i >= share(q, w, w.id) and i < share(q, w, w.id + 1) then self.L:inc_row(i, row) end
  end
  self.run:barrier()
  return self
end

local plain_fields = { "sum", "diverged", "pending", "begun", "objective", "history" }

--- What a snapshot has of this worker: what was measured, the good L, and a gradient that waits to be published.
function methods:state()
  local state = { seconds = core.C.epact_now() - self.started, kept = self.kernel:bytes(self.kept),
    fresh = self.kernel:bytes(self.fresh), gradient = self.pending and self.kernel:bytes(self.kernel.gradient) }
  for _, name in ipairs(plain_fields) do state[name] = self[name] end
  return state
end

function methods:restore(state)
  self.started = self.started - state.seconds
  for _, name in ipairs(plain_fields) do self[name] = state[name] end
  ffi.copy(self.kept, state.kept, #state.kept)
  ffi.copy(self.fresh, state.fresh, #state.fresh)
  if state.gradient then ffi.copy(self.kernel.gradient, state.gradient, #state.gradient) end
end

--- This worker's share of a step, which waits in the kernel's gradient. Returns its share of the objective.
function methods:gradient(number, step)
  local w, own, L, objective = self.w, self.kernel, self.L:all(), 0
  own:clear()
  for at, name in ipairs { "similar", "dissimilar" } do
    local kind, weight = self.kinds[name], at == 2 and self.o.lambda or 1
    local from, to = share(kind.drawn, w, w.id), share(kind.drawn, w, w.id + 1)
    kind:take(rng(self.seed, 1 + at, number), from, to, own.first, own.second)
    local scale = kind.drawn > 0 and weight * kind.count / kind.drawn or 0
    objective = objective + scale * own:add(name, L, to - from, -step * scale / self.total)
  end
  return objective
end

-- Adds the waiting gradient to L; false when it, or the objective that came with it, is not finite.
local function publish(self)
  local finite, reason = pcall(self.L.inc_all, self.L, self.kernel.gradient)
  if not finite and core.error_code(reason) ~= "E_NONFINITE" then error(reason, 0) end
  self.sum = self.sum + self.pending
  return finite and self.sum - self.sum == 0
end

--- An epoch of steps: `sum` becomes the sum of this worker's shares of the objective, each before its step, `diverged`
-- the clock at which it diverged, if it did.
function methods:pass(epoch, step)
  local run, clocks = self.run, self.o.clocks
  if run:live() then self.sum, self.diverged = 0, nil end
  for number = (epoch - 1) * clocks, epoch * clocks - 1 do
    if run:live() and not self.diverged then self.pending = self:gradient(number, step) end
    if self.together then run:barrier() end
    if run:live() and self.pending then
      if not publish(self) then self.diverged = self.w:now() end
      self.pending = nil
    end
    run:clock()
  end
end

--- At a barrier: finds the mean objective of the epoch, and returns the clock of a divergence; without one L is kept.
function methods:measure(epoch)
  local w, run, sums, bytes = self.w, self.run, self.sums, self.kernel.bytes_of_L
  run:barrier()
  if run:live() then
    ffi.copy(self.fresh, self.L:all(), bytes)
    if self.diverged then sums:inc(epoch, 1 + w.id, self.diverged + 1) else sums:inc(epoch, 0, self.sum) end
  end
  run:barrier()
  if not run:live() then return nil end
  local all = sums:get(epoch)
  local clock = epochs.first_divergence(all, 1, w.workers)
  local objective = all[0] / self.o.clocks
  -- With L = 0 it would be c lambda |D|; the first L may be larger.
  self.begun = self.begun or math.max(objective, self.o.margin * self.o.lambda * self.kinds.dissimilar.count)
  if clock or objective > 10 * self.begun then return clock or w:now() end
  ffi.copy(self.kept, self.fresh, bytes)
  self.objective = objective
  return nil
end

--- An epoch's entry in the history, once it was measured.
function methods:note(epoch, step)
  local now = { epoch = epoch, objective = self.objective, step = step, seconds = core.C.epact_now() - self.started }
  self.history[epoch] = now
  if self.w.id == 0 and self.o.on_report then self.o.on_report(now) end
end

--- Learns a metric; every worker of the job calls it with the same arguments: the whole of X and y. Columns of X
-- should have about the same spread.
--
-- A run whose L leaves the finite numbers, or whose objective becomes ten times what it was, has diverged: an error
-- that names the clock, or, with `on_divergence = "keep"`, the model as it was after the last good epoch.
-- @param w the worker
-- @tparam epact_dense X
-- @tparam ?epact_dense y labels, rows x 1: rows with the same label are similar, all others dissimilar; or nil, with
-- the options `similar` and `dissimilar`: data sets of edges between rows
-- @tparam ?table given `outputs` (rows of L; default the columns of X), `margin` (c, 1), `lambda` (1), `similar`,
-- `dissimilar`, `batch` (pairs a step, of all workers together, 256), `clocks` (steps an epoch, 50), `epochs` (20),
-- `step` (0.05), `decay` (of the step each epoch, 0.9), `deviation` (of L at the start, 0.05), `type` ("f32", "f64"),
-- `seed`, `on_divergence` ("error", "keep"), `push`, `name`, `on_report`
-- @treturn table on every worker the same: `L` (outputs x columns), `similar` and `dissimilar` (numbers of pairs),
-- `objective` (the mean over the last epoch's steps, estimated from the pairs drawn), `margin`, `lambda`, `status`
-- ("MAXITER", "DIVERGED"), `failure`, `history`: a list of `{ epoch, objective, step, seconds }`
function metric.fit(w, X, y, given)
  options.worker("metric.fit", w)
  local o = options.read("metric.fit", given, known)
  checks.rows("metric.fit", "X", X)
  local kinds = pairs_of.read("metric.fit", X, y, o.similar, o.dissimilar)
  local fit, step, status, failure = begin(w, X, kinds, o), o.step, "MAXITER", nil
  for epoch = 1, o.epochs do
    fit:pass(epoch, step)
    local clock = fit:measure(epoch)
    if clock then
      status, failure = "DIVERGED", epochs.diverged("metric.fit", clock, epoch, epochs.too_large(o.step))
      if o.on_divergence == "error" then core.fail("%s", failure) end
      break
    end
    if fit.run:live() then fit:note(epoch, step) end
    step = math.max(step * o.decay, 1e-30) -- a float, and not 0
  end
  local model = setmetatable({ margin = o.margin, lambda = o.lambda, similar = kinds.similar.count,
    dissimilar = kinds.dissimilar.count, status = status, failure = failure, history = fit.history,
    objective = fit.objective or fit.begun, L = data.new("dense", fit.kernel.outputs, X.cols) }, metric.Model)
  for i = 0, fit.kernel.size - 1 do model.L.value[i] = fit.kept[i] end
  return model
end

--- Reads what `model:save` has written, in any Lua state.
-- @tparam string path
function metric.load(path) return setmetatable(store.load(path, "metric"), metric.Model) end

return metric
