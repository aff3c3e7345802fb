--- Matrix factorisation with biases by stochastic gradient descent.
--
--   minimise  sum over ratings (u, i, r) of e^2 + lambda (b_u^2 + c_i^2 + ||p_u||^2 + ||q_i||^2),
--             e = r - mu - b_u - c_i - p_u'q_i
--
-- with mu the mean rating. One step for a rating, with the old p_u in the last equation:
--
--   b_u += g (e - lambda b_u)         c_i += g (e - lambda c_i)
--   p_u += g (e q_i - lambda p_u)     q_i += g (e p_u - lambda q_i)
--
-- In which order workers take the ratings, and how they share the items' rows, is an order of its own, a module each:
--
-- - "shards" (`epact.model.mf.shards`): each worker the ratings of its users; the items are a table, up to `staleness`
--   clocks old. Any number of processes.
-- - "rotation" (`epact.model.mf.rotation`): blocks of users and items such that workers never meet (DSGD): the result
--   of a serial run. Any number of processes; fastest in one.
-- - "ccd" (`epact.model.mf.ccd`): no steps; each number of a factor in its turn becomes the best there is, for all
--   users, then all items (CCD++). The result does not depend on the number of workers. Any number of processes.
-- - "hogwild" (`epact.model.mf.hogwild`): random ratings of all users, on rows shared without a lock. One process.
--
-- With snapshots (`epact.run`'s option) training goes on where it was; not with "hogwild".
--
-- Source: Koren, Bell, Volinsky 2009.
-- @module epact.model.mf

local core = require "epact.core"
local data = require "epact.data"
local epochs = require "epact.optim.epochs"
local kernel = require "epact.kernel.mf"
local model = require "epact.model.mf.model"
local options = require "epact.options"
local partition = require "epact.partition"

local mf = { Model = model.Model }

local orders = {
  shards = require "epact.model.mf.shards", rotation = require "epact.model.mf.rotation",
  hogwild = require "epact.model.mf.hogwild", ccd = require "epact.model.mf.ccd",
}

local known = {
  factors = { "index", 8 },           -- k; 0: biases alone
  lambda = { "non_negative", 0.05 },
  step = { "positive", 0.005 },       -- g, in the first epoch
  bias_lambda = { "non_negative" },   -- default: lambda
  bias_step = { "positive" },         -- default: step
  decay = { "positive", 0.95 },       -- of the steps, an epoch
  epochs = { "count", 30 },
  tolerance = { "positive" },         -- default: all epochs
  order = { { "shards", "rotation", "hogwild", "ccd" }, "shards" },
  clocks = { "count", 16 },           -- an epoch: how finely workers exchange changes (hogwild: deal ratings)
  blocks = { "count" },               -- rotation: parts of users and items
  fugue = { "boolean", false },       -- rotation: more steps instead of waiting for who is slower
  inner = { "count" },                -- ccd: how often a factor's users and items take turns (1)
  deviation = { "non_negative", 0.1 }, -- of the factors at the start
  test = { "any" },                   -- ratings to measure the error on
  seed = { "integer" },
  on_divergence = { { "error", "keep" }, "error" },
  name = { "string", "mf" },          -- of its tables; a second model of the same job needs another
  filter = { "table" },               -- shards: of the items' increments (epact.worker: table)
  on_report = { "function" },         -- called by worker 0 with the newest entry of the history
}

local function check_data(name, ratings)
  if data.kind(ratings) ~= "ratings" then
    core.fail("mf.fit: %s must be ratings, got %s", name, options.show(ratings))
  end
  if ratings.count == 0 then core.fail("mf.fit: %s has no ratings", name) end
end

local function read_options(w, given)
  local o = options.read("mf.fit", given, known)
  if o.factors > 65535 then core.fail("mf.fit: at most 65535 factors, got %d", o.factors) end
  if o.blocks and o.order ~= "rotation" then
    core.fail("mf.fit: option 'blocks' is one of order \"rotation\", not of %q", o.order)
  end
  if o.filter and o.order ~= "shards" then
    core.fail("mf.fit: option 'filter' is one of order \"shards\", not of %q", o.order)
  end
  if o.fugue and o.order ~= "rotation" then
    core.fail("mf.fit: option 'fugue' is one of order \"rotation\", not of %q", o.order)
  end
  if o.inner and o.order ~= "ccd" then
    core.fail("mf.fit: option 'inner' is one of order \"ccd\", not of %q", o.order)
  end
  if o.order == "ccd" then
    for _, name in ipairs { "step", "bias_step", "decay", "clocks" } do
      if given[name] ~= nil then core.fail("mf.fit: option '%s' is none of order \"ccd\", which has no steps", name) end
    end
  end
  o.inner = o.inner or 1
  if o.blocks and (o.blocks < w.workers or o.blocks > 1024) then
    core.fail("mf.fit: option 'blocks' must be in %d (the workers) .. 1024, got %d", w.workers, o.blocks)
  end
  o.bias_step, o.bias_lambda = o.bias_step or o.step, o.bias_lambda or o.lambda
  return o
end

-- One model while it is fitted, as a worker sees it.
local methods = {}
local class = { __index = methods }

local function begin(w, ratings, given)
  local started = core.C.epact_now()
  local o = read_options(w, given)
  check_data("ratings", ratings)
  local self = setmetatable({ w = w, o = o, ratings = ratings, started = started, seed = o.seed or w.seed,
    summary = kernel.check(ratings, "mf.fit"), history = {}, keeps = o.on_divergence == "keep",
    travels = w.size > 1 or w.snapshots, -- rows go through tables: memory of the process would not do
    -- How far this worker is: clocks done of an epoch, barriers passed of its end, squared errors of its ratings so
    -- far, the clock at which it diverged. That, the order's state and what was measured is its state.
    at = { epoch = 0, done = 0, barriers = 0, sum = 0 },
  }, class)
  if o.test ~= nil then
    check_data("option 'test'", o.test)
    kernel.check(o.test, "mf.fit: option 'test'")
  end
  w:claim("mf.fit", o.name, true)
  self.order = orders[o.order](self)
  self:take_test()
  self.errors = w:table(o.name .. ".errors", { rows = o.epochs, cols = 4 + w.workers, staleness = 0 })
  self.preparation_seconds = core.C.epact_now() - started
  return self
end

--- Rows for the factors, see `epact.kernel.mf.new`.
function methods:new_factors(given)
  given.items, given.factors, given.mean = self.ratings.items, self.o.factors, self.summary.mean
  return kernel.new(given)
end

--- This worker's share of `size` things: from, to.
function methods:share(size)
  return partition.equal(size, self.w.id, self.w.workers)
end

--- Notes the squared errors of steps; nil: the factors left the finite numbers.
function methods:learned(squared_error)
  local at = self.at
  if squared_error then at.sum = at.sum + squared_error else at.diverged = at.diverged or self.w:now() end
end

--- The test ratings of this worker's users, by number; whom nobody knows is the last worker's.
function methods:take_test()
  local test, order, w = self.o.test, self.order, self.w
  if not test then return end
  local users, items, known_users, known_items = order.users, order.items, self.ratings.users, self.ratings.items
  local nobody, count = 0xffffffff, 0
  local function place(t)
    local u, i = test.user[t], test.item[t]
    local number = u < known_users and (users.number and users.number[u] or u)
    local mine = number and number >= order.first and number < order.last or not number and w.id == w.workers - 1
    if not mine then return nil end
    local row = i < known_items and (items.number and items.number[i] or i)
    return number and number - order.base or nobody, row or nobody
  end
  for t = 0, test.count - 1 do
    if place(t) then count = count + 1 end
  end
  local own, at = data.new("ratings", 1, 1, count), 0
  for t = 0, test.count - 1 do
    local u, i = place(t)
    if u then own.user[at], own.item[at], own.value[at], at = u, i, test.value[t], at + 1 end
  end
  self.test, self.test_view = own, kernel.order(count, own.user, own.item, own.value).view
end

--- Begins, or goes on from a snapshot.
function methods:resume()
  local w, order = self.w, self.order
  local begun = core.C.epact_now()
  order.factors:save()
  local resumed = w.snapshots and w:state(function() -- a worker keeps one state; without snapshots it may train more
    return { at = self.at, order = order:state(), history = self.history, begun = self.begun,
      seconds = core.C.epact_now() - begun }
  end, function(state)
    self.at, self.history, self.begun, begun = state.at, state.history, state.begun, begun - state.seconds
    order:take_state(state.order)
  end)
  order:begin(resumed)
  self.training = begun
end

--- A barrier at the end of an epoch, unless it was passed before the job was resumed.
function methods:barrier(number)
  if self.at.barriers >= number then return end
  self.at.barriers = number
  self.w:barrier()
end

local function finite(x) return x - x == 0 end

--- Adds this worker's part of what is measured after an epoch.
function methods:add_measures()
  local o, at, order, errors, summary = self.o, self.at, self.order, self.errors, self.summary
  if not at.diverged then
    order:settle(self.test ~= nil or self.keeps)
    local penalty = order.factors:penalty(o.lambda, o.bias_lambda, order)
    local on_test = self.test and order.factors:squared_error_of(self.test_view, summary.low, summary.high) or 0
    if finite(at.sum + penalty + on_test) then
      errors:inc(at.epoch, 0, at.sum)
      errors:inc(at.epoch, 1, on_test)
      errors:inc(at.epoch, 2, penalty)
      errors:inc(at.epoch, 3 + self.w.workers, at.extra or 0)
    else
      at.diverged = self.w:now()
    end
  end
  if at.diverged then errors:inc(at.epoch, 3 + self.w.id, at.diverged + 1) end
end

--- At a barrier the rows are exact, and the same for all.
-- @treturn table what is measured after an epoch
-- @treturn ?number the clock of a divergence
function methods:measure()
  local w, o, at = self.w, self.o, self.at
  self:barrier(1)
  if at.barriers == 1 then self:add_measures() end
  self:barrier(2)
  local cell = self.errors:get(at.epoch)
  local clock = epochs.first_divergence(cell, 3, w.workers)
  local train = math.sqrt(cell[0] / self.ratings.count)
  self.begun = self.begun or train -- the error of the first epoch
  if not clock and train > 10 * math.max(self.summary.deviation, self.begun) then clock = w:now() end
  return { epoch = at.epoch + 1, train = train, test = o.test and math.sqrt(cell[1] / o.test.count) or nil,
    objective = cell[0] + cell[2], extra = o.fugue and cell[3 + w.workers] / self.ratings.count or nil,
    seconds = core.C.epact_now() - self.training }, clock
end

--- Three epochs in a row changed the error (on the test ratings, if there are any) by at most `tolerance`.
function methods:converged()
  local tolerance = self.o.tolerance
  return tolerance ~= nil and epochs.settled(self.history, #self.history, function(before, now)
    return math.abs((now.test or now.train) - (before.test or before.train)) <= tolerance
  end)
end

--- Epoch after epoch.
-- @treturn string the status
-- @treturn ?string what went wrong
function methods:train()
  local o, order = self.o, self.order
  while self.at.epoch < o.epochs and not self:converged() do
    local epoch = self.at.epoch
    local fade = o.decay ^ epoch
    local step, bias_step = math.max(o.step * fade, 1e-37), math.max(o.bias_step * fade, 1e-37) -- floats, and not 0
    order.factors:set_rates(step, o.lambda, bias_step, o.bias_lambda)
    if self.at.barriers == 0 then order:pass() end
    local now, clock = self:measure()
    if clock then
      order.factors:restore()
      local reason = o.order == "ccd" and "a number left the range of floats: the ratings are too large"
        or epochs.too_large(o.step)
      local failure = epochs.diverged("mf.fit", clock, epoch + 1, reason)
      if not self.keeps then core.fail("%s", failure) end
      return "DIVERGED", failure
    end
    order.factors:save()
    if self.keeps and order.shares then self:barrier(3) end -- the next epoch's steps are on what is saved here
    now.step = o.order ~= "ccd" and step or nil
    self.history[epoch + 1] = now
    if self.w.id == 0 and o.on_report then o.on_report(now) end
    self.at = { epoch = epoch + 1, done = 0, barriers = 0, sum = 0 }
  end
  return self:converged() and "CONVERGED" or "MAXITER"
end

--- The rows of all workers, by id, as dense data sets: in one process shared by its workers, otherwise everybody's own.
function methods:gather(diverged)
  local w, o, order, ratings = self.w, self.o, self.order, self.ratings
  local factors, first, last = order.factors, order.first, order.last
  local stride, cols = factors.stride, o.factors + 1
  if not diverged then order:settle(true) end -- else the rows are those that were kept
  if not self.travels then
    local function matrix(side, rows)
      return kernel.dense_over(w:shared(("%s.model.%s"):format(o.name, side), rows * cols, "f64"), rows, cols)
    end
    local user, item = matrix("users", ratings.users), matrix("items", ratings.items)
    kernel.copy_rows(user, factors.user, stride, order.users, order.base, first, last)
    kernel.copy_rows(item, factors.item, stride, order.items, 0, order.item_first, order.item_last)
    self:barrier(4)
    return user, item
  end
  local user, item = data.new("dense", ratings.users, cols), data.new("dense", ratings.items, cols)
  local rows = w:table(o.name .. ".users", { rows = ratings.users, cols = cols, type = "f32", staleness = 0 })
  if self.at.barriers < 4 then
    for number = first, last - 1 do
      local id = order.users.id and order.users.id[number] or number
      rows:inc_row(id, factors.user + (number - order.base) * stride)
    end
  end
  self:barrier(4)
  kernel.copy_rows(user, rows:all(), cols, {}, 0, 0, ratings.users)
  kernel.copy_rows(item, factors.item, stride, order.items, 0, 0, ratings.items)
  return user, item
end

local function zeros_of(count, size)
  local zeros = 0
  for i = 0, size - 1 do
    if count[i] == 0 then zeros = zeros + 1 end
  end
  return zeros
end

--- Fits the model; every worker of the job calls it with the same arguments, the ratings of all users.
--
-- A run whose error leaves the finite numbers, or becomes ten times the ratings' standard deviation, has diverged: an
-- error that names the clock, or, with `on_divergence = "keep"`, the model as it was after the last good epoch.
-- @param w the worker
-- @tparam epact_ratings ratings
-- @tparam ?table given `factors` (8; 0: biases alone; may be more than users or items), `lambda` (0.05), `step`
-- (0.005), `bias_lambda` and `bias_step` (those of the factors), `decay` (0.95, of the steps each epoch), `epochs`
-- (30), `tolerance` (stops when the error on the test ratings, or else on the training ratings, changes by less for
-- three epochs), `order` ("shards", "rotation", "hogwild", "ccd"), `clocks` (an epoch, 16), `blocks` (of a rotation;
-- default: a multiple of the workers, for blocks that stay in a cache), `fugue` (of a rotation, false: who is faster
-- makes more steps in its block instead of waiting; not deterministic), `inner` (of ccd, 1: how often users and items
-- of a factor take turns; ccd has no `step`, `bias_step`, `decay` and `clocks`), `deviation` (of the factors at the
-- start, 0.1), `test` (ratings), `seed`, `on_divergence` ("error", "keep"), `name`, `filter` (of the items' increments
-- in shards, see `epact.worker:table`), `on_report`
-- @treturn epact.model.mf.model on every worker the same, with the methods `predict`, `score` and `save`: `user` (users
-- x (factors + 1): p_u, then b_u) and `item` (items x (factors + 1)), dense; `factors`, `mean`, `low` and `high` (the
-- range of the ratings), `users`, `items`, `ratings` (their number), `cold_users` and `cold_items` (how many have no
-- ratings: their rows are zeros), `status` ("CONVERGED", "MAXITER" or "DIVERGED"), `failure`, `objective`,
-- `preparation_seconds`, and `history`: a list of `{ epoch, train, test, objective, step, seconds, extra }` (`extra`:
-- the steps that Fugue has added, of the number of ratings) with the root mean squared errors, on the training ratings
-- before the step of each (ccd: at the end of the epoch), as in the objective
function mf.fit(w, ratings, given)
  options.worker("mf.fit", w)
  local fit = begin(w, ratings, given)
  fit:resume()
  local status, failure = fit:train()
  local user, item = fit:gather(status == "DIVERGED")
  local history, summary = fit.history, fit.summary
  return setmetatable({
    user = user, item = item, factors = fit.o.factors, mean = fit.order.factors.mean, low = summary.low,
    high = summary.high,
    users = ratings.users, items = ratings.items, ratings = ratings.count,
    cold_users = zeros_of(summary.user_count, ratings.users), cold_items = zeros_of(summary.item_count, ratings.items),
    status = status, failure = failure, objective = history[1] and history[#history].objective,
    preparation_seconds = fit.preparation_seconds, history = history,
  }, mf.Model)
end

--- Reads what `model:save(path)` has written: the model, in any Lua state.
-- @function mf.load
-- @tparam string path
-- @treturn epact.model.mf.model
mf.load = model.load

return mf
