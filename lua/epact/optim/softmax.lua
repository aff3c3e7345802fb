--- How `epact.model.multinomial` finds its weights: two orders of the same gradients, over the workers of a job.
--
--   minimise  F(W, b) = sum_i [ log sum_c exp(s_ic) - s_i,y_i ] + l2/2 ||W||^2,      s_i = W'x_i + b
--
-- "sgd": the rows are dealt to the workers. At each clock a worker makes steps for the batches of a part of its rows,
-- from weights at most `staleness` clocks old, and publishes its share of the change. The penalty shrinks all weights,
-- but costs and sends only what the rows touch: the table has V, W = S V, and S, the product of the mean shrinking of
-- all workers' steps so far, follows from the clock alone. With one worker, or under BSP, that is exact: W becomes the
-- mean of what the workers found, by their rows.
--
-- "batch": at each barrier the workers add up the gradients of their rows, and all make the same step of L-BFGS.
-- @module epact.optim.softmax

local ffi = require "ffi"
local core = require "epact.core"
local epochs = require "epact.optim.epochs"
local lbfgs = require "epact.optim.lbfgs"
local linear = require "epact.kernel.linear"
local partition = require "epact.partition"
local sgd = require "epact.optim.sgd"
local sgd_kernel = require "epact.kernel.sgd"

local softmax = {}

local double = ffi.sizeof "double"

-- ---- SGD ----

-- A row of the weights' table has 2^8 columns' weights: a row a column costs five times as much time, a single row
-- twice the bytes (20,000 x 50,000, 80 entries a row, 10 classes, 8 clocks an epoch).
local largest_shift = 8

-- What a pass shrinks the weights by is exp(-shrink); it must not leave the range of numbers, nor differ by much
-- between views that are `staleness` clocks apart.
local function largest_step(fit)
  local o, w = fit.o, fit.w
  if o.l2 == 0 then return math.huge end
  local apart = 1 + math.min(fit.staleness, o.clocks)
  return w.workers * math.min(o.clocks / apart, 300) / o.l2
end

local function step_of(fit)
  local o, limit = fit.o, largest_step(fit)
  if not o.step then
    local default = sgd.default_step({ curvature = 0.5 }, fit.all_X, o.l2 / fit.n, o.batch, o.intercept)
    default.step = math.min(default.step, limit)
    return default
  end
  if o.step.name == "adagrad" or o.step.name == "adarevision" then
    core.fail("multinomial.fit: option 'step': %s is not for this model", o.step.name)
  end
  local step = o.step:resolve { workers = fit.w.workers, staleness = fit.staleness, lipschitz = fit.lipschitz,
    updates = math.ceil(fit.n / fit.w.workers / o.clocks / o.batch) }
  if step.step > 2 * limit then
    core.fail("multinomial.fit: a step of %g shrinks the weights too much between two clocks (l2 %g): at most %g",
      step.step, o.l2, 2 * limit)
  end
  return step
end

-- The shrinking of W by all workers' steps of a clock: the mean, by their rows.
local function mean_shrink(fit, clock)
  local o, mean = fit.o, 0
  for id = 0, fit.w.workers - 1 do
    local first, last = partition.equal(fit.dealt[id], clock, o.clocks)
    local batches, done = math.ceil((last - first) / o.batch), fit.updates[id]
    mean = mean + fit.dealt[id] / fit.n * (1 + fit.step:at(done) * o.l2 / fit.n) ^ -batches
    fit.updates[id] = done + batches
  end
  return mean
end

local methods = {}
local class = { __index = methods }

local function begin(fit)
  local w, o, stride = fit.w, fit.o, fit.rows.stride
  fit.staleness = w.deterministic and 0 or w.staleness
  fit.shift = math.min(largest_shift, math.ceil(math.log(fit.p) / math.log(2)))
  fit.blocks = math.ceil(fit.p / 2 ^ fit.shift)
  fit.cells = 2 ^ fit.shift * stride
  fit.step = step_of(fit)
  fit.dealt, fit.updates, fit.scale = {}, {}, 1
  for id = 0, w.workers - 1 do
    local first, last = partition.share(fit.all_X, id, w.workers)
    fit.dealt[id], fit.updates[id] = last - first, 0
  end
  fit.table = w:table(o.name .. ".weights", { rows = fit.blocks + 1, cols = fit.cells, push = o.push }) -- last: b
  fit.notes = w:table(o.name .. ".notes", { rows = o.epochs + 1, cols = 1 + w.workers, staleness = 0 })
  fit.direction, fit.change = linear.zeros((fit.blocks + 1) * fit.cells), linear.zeros(fit.cells)
  fit.touched = fit.rows:blocks(fit.shift)
  fit.order, fit.rng = linear.identity(fit.rows.rows), w:rng()
  fit.weights, fit.sum, fit.summed = linear.zeros(fit.size), linear.zeros(fit.size), 0
  return setmetatable(fit, class)
end

-- Publishes a * (now - view) of a row of the table.
function methods:publish(row, now, view, a)
  local change = self.change
  for e = 0, self.cells - 1 do change[e] = a * (now[e] - view[e]) end
  self.table:inc_row(row, change)
end

-- All rows of the table that were brought, the intercepts last: against the views they were brought from, for another
-- `get` may have what others have published meanwhile.
function methods:publish_all(ids, views, own, a)
  for i = 1, #ids do
    self:publish(ids[i], self.direction + ids[i] * self.cells, views[i], i == #ids and own or a)
  end
end

-- Brings the rows of the table that these of X touch, and the intercepts, into `direction`.
function methods:bring(first, last)
  local count, list = self.rows:touched(self.touched, self.order, first, last), self.touched.list
  local ids, views = {}, {}
  for i = 0, count - 1 do ids[i + 1] = list[i] end
  ids[count + 1] = self.blocks
  self.table:fetch(ids)
  for i = 1, #ids do
    views[i] = self.table:get(ids[i])
    ffi.copy(self.direction + ids[i] * self.cells, views[i], self.cells * double)
  end
  return ids, views
end

--- One clock: steps for the rows order[first] .. order[last - 1]. False when they diverged.
function methods:learn(clock, first, last)
  local o, ids, views = self.o, self:bring(first, last)
  local eta, own = self.step:at(self.updates[self.w.id]), self.dealt[self.w.id] / self.n
  local b = o.intercept and self.direction + self.blocks * self.cells or nil
  local scale = self.rows:steps(self.order, first, last, eta, o.l2 / self.n, self.direction, b, self.scale)
  self.scale = self.scale * mean_shrink(self, clock)
  if not scale then return false end
  local finite, reason = pcall(self.publish_all, self, ids, views, own, own * scale / self.scale)
  if not finite and core.error_code(reason) ~= "E_NONFINITE" then error(reason, 0) end
  return finite
end

function methods:pass()
  local rows, clocks = self.rows.rows, self.o.clocks
  linear.shuffle(self.rng, self.order, rows)
  for clock = 0, clocks - 1 do
    local first, last = partition.equal(rows, clock, clocks)
    if not self.diverged and not self:learn(clock, first, last) then self.diverged = self.w:now() end
    self.w:clock()
  end
end

--- V becomes W, and S 1. In two steps: what is small beside V would be lost in one.
function methods:settle()
  local change, filled = self.change, self.p * self.rows.stride
  for stage = 1, 2 do
    self.w:barrier()
    for block = self.w.id, self.blocks - 1, self.w.workers do
      local view, at = self.table:get(block), block * self.cells
      for e = 0, self.cells - 1 do
        change[e] = stage == 1 and -view[e] or (at + e < filled and self.weights[at + e] or 0)
      end
      self.table:inc_row(block, change)
    end
  end
  self.scale = 1
  self.w:barrier()
end

--- At a barrier, W and b as they are for all, into `weights`.
function methods:meet()
  self.w:barrier()
  local view, filled = self.table:all(), self.p * self.rows.stride
  for e = 0, filled - 1 do self.weights[e] = self.scale * view[e] end
  ffi.copy(self.weights + filled, view + self.blocks * self.cells, self.rows.stride * double)
  if self.scale < 1e-100 then self:settle() end
end

--- F at weights that are the same for all; each adds the losses of its rows. nil, and the clock, when some worker has
-- diverged.
function methods:objective(line, weights)
  local w, loss = self.w, self.diverged and 0 or self.rows:gradient(weights, self:intercept(weights))
  if loss - loss ~= 0 then self.diverged, loss = self.diverged or w:now(), 0 end
  self.notes:inc(line, 0, loss)
  if self.diverged then self.notes:inc(line, 1 + w.id, self.diverged + 1) end
  w:barrier()
  local note = self.notes:get(line)
  local clock = epochs.first_divergence(note, 1, w.workers)
  local objective = note[0] + self:penalty(weights)
  if clock or objective - objective ~= 0 then return nil, clock or w:now() end
  return objective
end

-- `weights` are the best to return so far.
function methods:keep(weights, objective)
  ffi.copy(self.kept, weights, self.size * double)
  self.found = objective
end

-- The mean of the last half's epochs, when it is better than the last of them.
local function average(fit)
  if fit.summed < 2 then return end
  for e = 0, fit.size - 1 do fit.sum[e] = fit.sum[e] / fit.summed end
  local objective = fit:objective(fit.o.epochs, fit.sum)
  if objective and objective < fit.found then
    fit.history[#fit.history].objective, fit.averaged = objective, true
    fit:keep(fit.sum, objective)
  end
end

--- Stochastic gradient descent.
-- @tparam table fit of `epact.model.multinomial`
-- @treturn string status
-- @treturn ?string failure
function softmax.sgd(fit)
  begin(fit)
  local o, start, high = fit.o, fit.n * math.log(fit.rows.classes), 0
  fit.found = start -- at W = 0
  for epoch = 1, o.epochs do
    fit:pass()
    fit:meet()
    local objective, clock = fit:objective(epoch - 1, fit.weights)
    high = objective and objective > 1e3 * start and high + 1 or 0
    if clock or high == 3 then
      return "DIVERGED",
        epochs.diverged("multinomial.fit", clock or fit.w:now(), epoch, epochs.too_large(fit.step.step))
    end
    fit:note { epoch = epoch, objective = objective, step = fit.step:at(fit.updates[fit.w.id]) }
    if high == 0 then fit:keep(fit.weights, objective) end
    if epochs.objective_settled(fit.history, o.tolerance) then return "CONVERGED" end
    if epoch > o.epochs / 2 then
      linear.axpy(fit.size, 1, fit.weights, fit.sum)
      fit.summed = fit.summed + 1
    end
  end
  average(fit)
  return "MAXITER"
end

-- ---- all rows at once ----

--- L-BFGS on the sum of all workers' gradients. Memory: 21 arrays as large as the weights, on each worker.
-- @tparam table fit of `epact.model.multinomial`
-- @treturn string status
function softmax.batch(fit)
  local w, o, rows, size = fit.w, fit.o, fit.rows, fit.size
  local filled = fit.p * rows.stride
  local sums = w:table(o.name .. ".sums", { rows = fit.p + 2, cols = rows.stride, staleness = 0 }) -- last: the loss
  local own, told, change = linear.zeros(size + rows.stride), linear.zeros(size + rows.stride),
    linear.zeros(size + rows.stride)

  -- The table holds what all have told; each adds by how much its own has changed. Nobody tells before all have read.
  local function sums_of_all()
    for e = 0, size + rows.stride - 1 do change[e] = own[e] - told[e] end
    ffi.copy(told, own, (size + rows.stride) * double)
    sums:inc_all(change)
    w:barrier()
    return sums:all()
  end

  local function evaluate(weights, gradient)
    ffi.fill(own, (size + rows.stride) * double)
    own[size] = rows:gradient(weights, fit:intercept(weights), own, o.intercept and own + filled or nil)
    local sum = w.workers == 1 and own or sums_of_all()
    local loss = sum[size]
    ffi.copy(gradient, sum, size * double)
    if w.workers > 1 then w:barrier() end
    linear.axpy(filled, o.l2, weights, gradient)
    return loss + fit:penalty(weights)
  end

  -- ||gradient||^2 / (2 l2) bounds what is left without intercepts, and tells its size with them.
  local start_size
  local rounding = 1e-15 * fit.n * math.sqrt(sgd_kernel.largest_norm2(fit.all_X) + 1)
  local function done(iteration, objective, norm)
    start_size = start_size or norm
    local left = o.l2 > 0 and norm ^ 2 / (2 * o.l2) or nil
    fit.gap = not o.intercept and left or nil
    fit:note { epoch = iteration, objective = objective, gradient = norm }
    local small = norm <= o.tolerance * start_size and (not left or left <= o.tolerance * objective)
    return small or norm <= rounding
  end
  return (lbfgs.minimise(size, fit.kept, evaluate, { memory = 8, iterations = o.epochs, done = done }))
end

return softmax
