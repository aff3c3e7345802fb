--- Scheduled coordinate descent: linear models whose coordinates are updated in an order of one's choice.
--
--   minimise  F(b) = sum_i phi(x_i'b + b0, y_i) + l1 ||b||_1 + l2/2 ||b||^2
--
-- Rows are dealt to the workers, and `epact.strads` runs the phases: a schedule names some coordinates, each worker
-- gives its part of their gradients g_j = x_j'u, u_i = phi'(t_i), and all of them step at once,
--
--   b_j <- S(h_j b_j - g_j, l1) / (h_j + l2),      h_j = c ||x_j||^2,  |phi''| <= c.
--
-- The orders: "cyclic" and "random" (one coordinate a phase: sequential descent), "shotgun" (P* random ones, what the
-- spectral radius of X'X allows), "greedy" (in each of some blocks of correlated columns the coordinate that would move
-- most), "dynamic" (STRADS: by priority, and none that is correlated with another one under way), or a policy of
-- `epact.sched`. Coordinates that step together from the same residual may overshoot: when the objective rises, all go
-- back to where it was lowest, and half as many step together for a while.
--
-- Sources: Bradley, Kyrola, Bickson, Guestrin 2011 (Shotgun); Scherrer, Tewari, Halappanavar, Haglin 2012
-- (block-greedy); Lee, Kim, Zheng, Ho, Gibson, Xing 2014 (STRADS); Ndiaye, Fercoq, Gramfort, Salmon 2017 (gap).
-- @module epact.optim.coordinate

local ffi = require "ffi"
local checks = require "epact.model.checks"
local columns = require "epact.kernel.columns"
local core = require "epact.core"
local data = require "epact.data"
local design = require "epact.kernel.design"
local kernel = require "epact.kernel.coordinate"
local linear = require "epact.kernel.linear"
local options = require "epact.options"
local orders = require "epact.optim.coordinate_orders"
local partition = require "epact.partition"
local strads = require "epact.strads"
local sums = require "epact.model.sums"

local coordinate = {}

local losses = { "squared", "huber", "logistic", "squared_hinge", "smoothed_hinge" }

local known = {
  loss = { losses, "squared" },
  width = { "positive", 1 },                 -- of the Huber and the smoothed hinge loss
  lambda = { "non_negative" },               -- l1; default lambda_ratio times the smallest l1 that makes all b_j 0
  lambda_ratio = { "non_negative", 0.1 },
  l2 = { "non_negative", 0 },
  intercept = { "boolean", true },
  standardise = { "boolean", true },         -- columns get population variance 1; coefficients are on the old scale
  order = { "any", "dynamic" },
  parallel = { "count" },                    -- coordinates that step together; default: by the order
  depth = { "index", 0 },                    -- phases under way beyond the one that is computed
  rho = { "positive", 0.2 },                 -- "dynamic": correlations below it are no dependency
  blocks = { "count", 32 },                  -- "greedy": of correlated columns
  guard = { "boolean", true },               -- go back and step more carefully when the objective rises
  tolerance = { "positive", 1e-6 },          -- of the gap, in units of the objective at b = 0
  max_updates = { "count" },                 -- default: 10000 for each column
  every = { "count" },                       -- updates between two looks at the gap; default: one for each column
  name = { "string", "coordinate" },
  on_report = { "function" },                -- called by worker 0 with the newest entry of `history`
}

local curvature_bound = { squared = 1, huber = 1, logistic = 0.25, squared_hinge = 1 }

local methods = {}
local class = { __index = methods }

local function soft_threshold(z, t)
  return z > t and z - t or z < -t and z + t or 0
end

--- The change of b_j that a gradient asks for.
function methods:step(j, gradient)
  local curvature = self.damping * self.curvature[j]
  if curvature == 0 then return 0 end
  return soft_threshold(curvature * self.b[j] - gradient, self.l1) / (curvature + self.o.l2) - self.b[j]
end

--- push: this worker's part of the gradients.
function methods:push(vars) return self.rows:products(vars) end

--- pull: steps along the coordinates, and says by how much sqrt(h_j) b_j changed.
function methods:pull(vars, gradient)
  local changes, moves = {}, {}
  for k, j in ipairs(vars) do changes[k] = self:step(j, gradient[k - 1]) end
  if self.order.block then self:keep_greedy(vars, changes) end
  for k, j in ipairs(vars) do
    moves[k] = math.sqrt(self.curvature[j]) * changes[k]
    -- a step of exact descent lowers F by half of this, and so never by more than what there was
    if moves[k] ^ 2 > 4 * self.null then self.wild = true end
  end
  if self.wild then return nil end
  for k, j in ipairs(vars) do
    self.b[j] = self.b[j] + changes[k]
    if self.shifts then self.intercept = self.intercept - changes[k] * self.scale[j] * self.x.mean[j] end
  end
  self.rows:move(vars, changes)
  return moves
end

--- Of each block only the coordinate that would move most; those of a block follow each other.
function methods:keep_greedy(vars, changes)
  local block, best = self.order.block, nil
  for k, j in ipairs(vars) do
    local same = best and block[vars[best]] == block[j]
    if same and math.abs(changes[k]) <= math.abs(changes[best]) then
      changes[k] = 0
    else
      if same then changes[best] = 0 end
      best = k
    end
  end
end

--- The sums of some numbers over all workers.
function methods:add(numbers)
  for i, number in ipairs(numbers) do self.scalars[i - 1] = number end
  local total, result = self.few:of { scalars = self.scalars }.scalars, {}
  for i = 1, #numbers do result[i] = total[i - 1] end
  return unpack(result)
end

--- Puts the intercept where the loss is least: Newton steps; where one leaves what is known to hold the minimum, the
-- middle of that, or, as long as one side is open, steps that grow.
-- @treturn number the sum of the loss over all rows
-- @treturn boolean whether it is there: only then the dual point of the gap is feasible
function methods:centre()
  local low, high, at, shift, reach, loss, settled = -math.huge, math.huge, 0, 0, 1, nil, false
  for _ = 1, 200 do
    local slope, size, curvature
    loss, slope, size, curvature, self.seen_rows = self:add { self.rows:shift(shift) }
    if not self.o.intercept or math.abs(slope) <= 1e-11 * size then return loss, true end
    if slope > 0 then high = at else low = at end
    local next = at - slope / curvature
    if not (next > low and next < high) then
      next = (low + high) / 2
      if next - next ~= 0 then next, reach = at + (slope > 0 and -reach or reach), 4 * reach end
    end
    if settled or next == at then return loss, true end
    at, shift = next, next - at
    self.intercept = self.intercept + shift
    settled = math.abs(shift) <= 4e-16 * math.abs(self.intercept) -- the rest is rounding's
  end
  return loss, false
end

--- The exact objective, and an upper bound of how far it is above the minimum: Fenchel's dual at -u, scaled until it is
-- feasible. All rows are predicted anew, so that rounding does not add up.
function methods:look()
  local l1, l2, c, b = self.l1, self.o.l2, self.correlation, self.b
  self.rows:predict(b, self.intercept)
  local loss, centred = self:centre()
  self.rows:gradient(c)
  c = self.many:of { column = c }.column
  local norm1, norm2, largest, steepest, excess2, nonzeros = 0, 0, 0, 0, 0, 0
  for j = 0, self.columns - 1 do
    local size = self.curvature[j] > 0 and math.abs(c[j]) or 0
    norm1, norm2, largest = norm1 + math.abs(b[j]), norm2 + b[j] ^ 2, math.max(largest, size)
    if size > 0 then steepest = math.max(steepest, size / math.sqrt(self.curvature[j])) end
    excess2 = excess2 + math.max(size - l1, 0) ^ 2
    if b[j] ~= 0 then nonzeros = nonzeros + 1 end
  end
  local scale = largest > l1 and l1 / largest or 1
  local objective, gap = loss + l1 * norm1 + l2 / 2 * norm2, math.huge
  local dual, scaled = self:add({ self.rows:conjugate(1), self.rows:conjugate(scale) })
  if l2 > 0 then gap = objective + dual + excess2 / (2 * l2) end
  if l1 > 0 then gap = math.min(gap, objective + scaled) end
  if not centred then gap = math.huge end
  self.now = {
    objective = objective, gap = math.max(gap, 0), correlation = largest, steepest = steepest,
    nonzeros = nonzeros,
    updates = self.run and self.run.updates or 0, phases = self.run and self.run.pulled or 0,
    parallel = self.parallel, damping = self.damping, seconds = core.C.epact_now() - self.started,
    phase_seconds = self.phase_seconds,
  }
  return self.now
end

function methods:report()
  local now = self.now
  self.history[#self.history + 1] = now
  if self.w.id == 0 and self.o.on_report then self.o.on_report(now) end
end

function methods:penalised() return self.l1 > 0 or self.o.l2 > 0 end

function methods:converged()
  if not self:penalised() then
    return self.now.steepest <= self.o.tolerance * self.steepest + math.sqrt(self.rounding)
  end
  return self.now.gap <= self.o.tolerance * self.null + 1e-14 * self.null + self.rounding
end

--- Remembers b when the objective is as low as ever; false when it has risen, or stands still far from the minimum:
-- with steps that are just too long b goes round in circles.
function methods:keep()
  local now, noise, lowest = self.now, 1e-14 * self.null, self.lowest or math.huge
  local falls = now.objective <= lowest + noise -- and is a number
  local still = now.objective > lowest - noise and now.gap > 0.99 * self.gap and now.gap > 1e-6 * self.null
  if self.wild or not falls or (still and (self.parallel > 1 or self.o.depth > 0)) then return false end
  self.gap, self.lowest = now.gap, math.min(self.lowest or now.objective, now.objective)
  ffi.copy(self.best, self.b, self.columns * 8)
  self.best_intercept = self.intercept
  self.calm = self.calm + 1
  if self.calm >= self.patience and self.parallel < self.order.parallel then
    self.parallel, self.calm = math.min(2 * self.parallel, self.order.parallel), 0
  end
  return true
end

--- Back to where the objective was lowest, from where half as many coordinates step together, or by shorter steps.
-- As many as before are tried again after some looks without a rise; each time after twice as many.
function methods:back_off()
  ffi.copy(self.b, self.best, self.columns * 8)
  self.intercept, self.wild = self.best_intercept, false
  self.patience, self.calm = 2 * self.patience, 0
  if self.parallel > 1 then
    self.parallel = math.floor(self.parallel / 2)
  else
    self.damping = math.min(2 * self.damping, 1 + self.o.depth)
  end
  self:look()
  self.lowest = nil
  self:keep()
end

-- Rows [from, to) of X by column, with the means and scales of all rows.
local function take_rows(self, X, from, to)
  local o = self.o
  -- a move along a centred column visits all rows, unless the loss is squared (csrc/kernel/coordinate.h)
  local many = data.kind(X) == "dense" or X.count >= 0.1 * X.rows * X.cols
  local centred = o.intercept and (o.loss == "squared" or many)
  local copy = linear.zeros(X.cols)
  return columns.shared(self.where, X:slice(from, to):transpose(),
    { intercept = centred, standardise = o.standardise }, X.rows, function(array)
      ffi.copy(copy, self.many:of { column = array }.column, X.cols * 8)
      return copy
    end)
end

local function begin(w, X, y, o)
  local where, p = "coordinate.fit", X.cols
  local loss = design.loss(where, o.loss, o.width)
  local labels, one_class = design.labels(where, loss, y)
  if one_class and o.intercept and o.loss == "logistic" then
    core.fail("%s: y has one class only, so that the logistic loss has no minimum with an intercept", where)
  end
  design.new(where, X, false) -- checks X
  if linear.dot(y.rows, y.value, y.value) == math.huge then
    core.fail("%s: the squares of y are beyond double precision: scale y", where)
  end
  local self = setmetatable({
    where = where, w = w, o = o, columns = p, labels = labels, history = {}, damping = 1, intercept = 0, l1 = 0,
    phase_seconds = 0, patience = 2, calm = 0, started = core.C.epact_now(), scalars = linear.zeros(5),
    b = linear.zeros(p),
    best = linear.zeros(p),
    correlation = linear.zeros(p), curvature = linear.zeros(p), scale = linear.zeros(p),
  }, class)
  self.many = sums.new(w, o.name .. ".columns", { column = { 1, p, "f64" } })
  self.few = sums.new(w, o.name .. ".scalars", { scalars = { 1, 5, "f64" } })
  local from, to = partition.share(X, w.id, w.workers)
  local x = take_rows(self, X, from, to)
  local bound = curvature_bound[o.loss] or 1 / o.width
  for j = 0, p - 1 do self.curvature[j] = bound * x.squared_norm[j] end
  self.x, self.rows = x, kernel.new(x, loss, labels + from)
  self.shifts = x.centred and o.loss ~= "squared" -- t is that of centred columns, and the intercept that of stored ones
  for j = 0, p - 1 do self.scale[j] = x.standardised and x.scale[j] or 1 end
  return self
end

-- The program of the phases, whose schedule ends when `left` updates are planned.
local function program(self)
  local policy = self.order.policy
  return strads.new(self.w, {
    name = self.o.name, variables = self.columns, batch = self.order.most, depth = self.o.depth,
    schedule = function()
      if self.left <= 0 or self.wild then return false end
      local vars = policy:next(math.min(self.parallel, self.left))
      if type(vars) == "table" then self.left = self.left - #vars end
      return vars
    end,
    push = function(vars) return self:push(vars) end,
    pull = function(vars, gradient)
      local moves = self:pull(vars, gradient)
      if self.w.id ~= 0 then return end
      if moves and policy.feed then
        policy:feed(vars, moves)
      elseif policy.landed then
        policy:landed(vars)
      end
    end,
  })
end

--- Some phases: about `every` updates.
function methods:descend()
  local begun = core.C.epact_now()
  self.left = math.min(self.o.every, self.o.max_updates - self.run.updates)
  self.run:run()
  self.phase_seconds = self.phase_seconds + core.C.epact_now() - begun
end

local function result_of(self, status)
  local coefficients = data.new("dense", self.columns, 1)
  for j = 0, self.columns - 1 do coefficients.value[j] = self.scale[j] * self.b[j] end
  return {
    coefficients = coefficients, intercept = self.intercept, lambda = self.l1, lambda_max = self.lambda_max,
    objective = self.now.objective, gap = self:penalised() and self.now.gap or nil, status = status,
    updates = self.run.updates, phases = self.run.pulled, nonzeros = self.now.nonzeros, parallel = self.parallel,
    rows = self.seen_rows, order = tostring(self.order.description), history = self.history,
  }
end

--- Fits the model; every worker of the job calls it with the same arguments: the whole of X and y.
-- Each worker keeps its rows by column (12 bytes a non-zero; 8 when dense), 24 bytes a row and about 110 a column, with
-- several workers 150; with the orders "shotgun", "greedy" and "dynamic" worker 0 keeps all columns besides, for their
-- correlations. Columns are centred, unless X is sparse (less than a tenth is stored) and the loss is not squared: a
-- move along a centred column would then visit all rows. Without, columns with large means make the descent slow.
-- Where a worker is lost and `on_loss` is "continue", the model is that of the rows that are left.
-- @param w the worker
-- @tparam epact_sparse|epact_dense X
-- @tparam epact_dense y rows x 1; labels of -1 and 1, or 0 and 1, of the logistic and the hinge losses
-- @tparam ?table given `loss` ("squared", "huber", "logistic", "squared_hinge", "smoothed_hinge"), `width` (1),
-- `lambda` (l1) or `lambda_ratio` (of the smallest l1 that makes all coefficients 0; 0.1), `l2` (0), `intercept`,
-- `standardise` (true), `order` ("dynamic"; see above), `parallel` (coordinates that step together: 32; 1 for "cyclic"
-- and "random"; P* for "shotgun"; all blocks for "greedy"), `depth` (0), `rho` (0.2), `blocks` (32), `guard` (true),
-- `tolerance` (1e-6: the gap to reach, in units of the objective at b = 0), `max_updates` (10000 a column), `every`
-- (updates between two looks at the gap, one a column), `name`, `on_report`
-- @treturn table on every worker the same: `coefficients` (epact_dense, columns x 1, for X as it is), `intercept`,
-- `lambda`, `lambda_max`, `objective`, `gap` (the objective is at most that far above its minimum), `status`
-- ("CONVERGED", "MAXITER", "ENDED": the policy had no more, "DIVERGED": without guard, the best b is returned),
-- `updates`, `phases`, `nonzeros`, `parallel` (how many stepped together at the end), `rows` (which the last look saw),
-- `order` (its description), and `history`: a list of `{ updates, phases, objective, gap, nonzeros, parallel, damping,
-- seconds, phase_seconds (without looks) }`
function coordinate.fit(w, X, y, given)
  options.worker("coordinate.fit", w)
  local o = options.read("coordinate.fit", given, known)
  checks.matrix("coordinate.fit", X)
  checks.response("coordinate.fit", y, X.rows)
  o.name = given and given.name or w:free_name("coordinate.fit", o.name)
  w:claim("coordinate.fit", o.name)
  o.every, o.max_updates = o.every or X.cols, o.max_updates or 10000 * X.cols
  local fit = begin(w, X, y, o)
  local start = fit:look()
  fit.null, fit.lambda_max, fit.steepest = start.objective, start.correlation, start.steepest
  -- what rounding leaves of a constant y's ||y - mean(y)||^2 is no reason to go on
  fit.rounding = 1e-28 * (start.objective + linear.dot(y.rows, y.value, y.value))
  fit.l1 = o.lambda or o.lambda_ratio * fit.lambda_max
  fit.order = orders.make(fit, X)
  fit.parallel = fit.order.parallel
  fit:look()
  fit:report()
  fit:keep()
  fit.run = program(fit)

  local status = "MAXITER"
  while not fit:converged() and fit.run.updates < o.max_updates do
    local before = fit.run.updates
    fit:descend()
    if fit.run.updates == before then
      status = "ENDED"
      break
    end
    fit:look()
    fit:report()
    if not fit:keep() then
      if not o.guard and fit.wild then
        status = "DIVERGED"
        break
      elseif o.guard then
        fit:back_off()
      end
    end
  end
  if fit.wild or fit.now.objective > fit.lowest then fit:back_off() end
  return result_of(fit, fit:converged() and "CONVERGED" or status)
end

return coordinate
