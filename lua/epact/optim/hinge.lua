--- The linear support vector machine by stochastic subgradient steps, data-parallel over the parameter server.
--
--   minimise  1/n sum_i max(0, 1 - y_i x_i'w) + l2/2 ||w||^2
--
-- The rows are dealt to the workers, the weights are one row of a table. At each clock a worker takes its view of w, at
-- most `staleness` clocks old, makes a step for each row of its next batch,
--
--   w <- (1 - eta_t l2) w + eta_t y_i x_i [y_i x_i'w < 1],      eta_t = step / (1 + decay t),
--
-- and publishes 1/P of the change, P the number of workers: w stays the mean of what they found.
-- `examples/hinge.lua` has the same algorithm in plain Lua.
--
-- Sources: Shalev-Shwartz, Singer, Srebro 2007; Bottou 2010 (decay); Zinkevich et al. 2010 (the mean).
-- @module epact.optim.hinge

local core = require "epact.core"
local data = require "epact.data"
local linear = require "epact.kernel.linear"
local options = require "epact.options"

local hinge = {}

local known = {
  l2 = { "positive", 1e-4 },
  step = { "positive" },           -- default: 1 over the largest squared norm of a row
  decay = { "non_negative" },      -- default: step * l2
  epochs = { "count", 20 },
  clocks = { "count", 8 },         -- an epoch: how finely workers exchange changes
  name = { "string", "hinge" },    -- of its tables; a second model of the same job needs another
  on_report = { "function" },      -- called by worker 0 with { epoch, objective, seconds }
}

local function check_data(X, y)
  if data.kind(X) ~= "sparse" then core.fail("hinge.fit: X must be a sparse data set, got %s", options.show(X)) end
  if data.kind(y) ~= "dense" or y.cols ~= 1 or y.rows ~= X.rows then
    core.fail("hinge.fit: y must be a dense data set of %d x 1, got %s", X.rows, tostring(y))
  end
  if X.rows == 0 or X.cols == 0 then core.fail("hinge.fit: X has no rows or no columns: %s", tostring(X)) end
end

local function largest_squared_norm(X)
  local largest = 0
  for i = 0, X.rows - 1 do
    local sum = 0
    for k = tonumber(X.start[i]), tonumber(X.start[i + 1]) - 1 do sum = sum + X.value[k] ^ 2 end
    largest = math.max(largest, sum)
  end
  return largest
end

--- The step and decay that `hinge.fit` takes when none are given: eta_t = step / (1 + step l2 t), step = 1 / max
-- ||x_i||^2.
-- @treturn number step
-- @treturn number decay
function hinge.schedule(X, l2)
  local step = 1 / math.max(largest_squared_norm(X), l2)
  return step, step * l2
end

--- Trains on this worker's share of the rows; every worker of the job calls it with the same arguments.
-- @param w the worker
-- @tparam epact_sparse X
-- @tparam epact_dense y labels, -1 and +1
-- @tparam ?table given `l2` (1e-4), `step`, `decay` (see `schedule`), `epochs` (20), `clocks` (an epoch, 8), `name`,
-- `on_report`
-- @treturn table on every worker the same: `weights` (by column from 0), `objective`, and `history`: a list of
-- `{ epoch, objective, seconds }`
function hinge.fit(w, X, y, given)
  local o = options.read("hinge.fit", given, known)
  check_data(X, y)
  local step, decay = hinge.schedule(X, o.l2)
  o.step = o.step or step
  o.decay = o.decay or (given and given.step and o.step * o.l2) or decay
  local own_X, own_y = w:shard(X, y)
  local sgd = linear.hinge(own_X, own_y, { step = o.step, decay = o.decay, l2 = o.l2 })
  w:claim("hinge.fit", o.name)
  local weights = w:table(o.name .. ".weights", { rows = 1, cols = X.cols })
  local losses = w:table(o.name .. ".losses", { rows = o.epochs, cols = 1, staleness = 0 })
  local order, rng, change = linear.identity(own_X.rows), w:rng(), linear.zeros(X.cols)

  local function learn(first, last)
    local view = weights:get(0)
    sgd:begin(view)
    sgd:steps(order, first, last)
    local now = sgd:current()
    for j = 0, X.cols - 1 do change[j] = (now[j] - view[j]) / w.workers end
    weights:inc_row(0, change)
    w:clock()
  end

  -- At a barrier the weights are exact; each worker adds the losses of its rows.
  local function objective(epoch)
    w:barrier()
    local now = weights:get(0)
    losses:inc(epoch, 0, own_X.rows * sgd:loss(now))
    w:barrier()
    return losses:cell(epoch, 0) / X.rows + o.l2 / 2 * linear.dot(X.cols, now, now)
  end

  local history, begin = {}, core.C.epact_now()
  for epoch = 0, o.epochs - 1 do
    linear.shuffle(rng, order, own_X.rows)
    for clock = 0, o.clocks - 1 do
      learn(math.floor(own_X.rows * clock / o.clocks), math.floor(own_X.rows * (clock + 1) / o.clocks))
    end
    history[epoch + 1] = { epoch = epoch + 1, objective = objective(epoch), seconds = core.C.epact_now() - begin }
    if w.id == 0 and o.on_report then o.on_report(history[epoch + 1]) end
  end
  local view, found = weights:get(0), {}
  for j = 0, X.cols - 1 do found[j] = view[j] end
  return { weights = found, objective = history[o.epochs].objective, history = history }
end

--- Share of the rows of X on the right side of the plane.
function hinge.accuracy(model, X, y)
  local right = 0
  for i = 0, X.rows - 1 do
    if y[i] * X:dot(i, model.weights) > 0 then right = right + 1 end
  end
  return right / math.max(1, X.rows)
end

return hinge
