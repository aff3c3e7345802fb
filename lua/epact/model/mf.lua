--- Matrix factorisation with biases by stochastic gradient descent over the parameter server.
--
--   minimise  sum over ratings (u, i, r) of e^2 + lambda (b_u^2 + c_i^2 + ||p_u||^2 + ||q_i||^2),
--             e = r - mu - b_u - c_i - p_u'q_i
--
-- The users are dealt to the workers: a worker keeps their rows (p_u, b_u) to itself. The items' rows (q_i, c_i) are a
-- table. At each clock a worker copies its view of them, at most `staleness` clocks old, makes a step
--
--   b_u += g (e - lambda b_u)         c_i += g (e - lambda c_i)
--   p_u += g (e q_i - lambda p_u)     q_i += g (e p_u - lambda q_i)
--
-- for each rating of a slice of its users' ratings, and publishes by how much its copy of the items has changed.
--
-- With snapshots (`epact.run`'s option) training goes on where it was, from the rows of each worker's users.
--
-- Source: Koren, Bell, Volinsky 2009.
-- @module epact.model.mf

local ffi = require "ffi"
local core = require "epact.core"
local data = require "epact.data"
local kernel = require "epact.kernel.mf"
local options = require "epact.options"

local mf = {}

local known = {
  factors = { "index", 8 },           -- k; 0: biases alone
  lambda = { "non_negative", 0.05 },
  step = { "positive", 0.005 },       -- g, in the first epoch
  decay = { "positive", 0.95 },       -- of the step, an epoch
  epochs = { "count", 30 },
  clocks = { "count", 16 },           -- an epoch: how finely workers exchange changes
  deviation = { "non_negative", 0.1 }, -- of the factors at the start
  test = { "any" },                   -- ratings to measure the error on
  seed = { "integer" },
  on_divergence = { { "error", "keep" }, "error" },
  name = { "string", "mf" },          -- of its tables; a second model of the same job needs another
  filter = { "table" },               -- of the items' increments (epact.worker: table)
  on_report = { "function" },         -- called by worker 0 with { epoch, train, test, step, seconds }
}

local function check_data(name, ratings)
  if data.kind(ratings) ~= "ratings" then
    core.fail("mf.fit: %s must be ratings, got %s", name, options.show(ratings))
  end
  if ratings.count == 0 then core.fail("mf.fit: %s has no ratings", name) end
end

-- Users [first, last) of a worker: about as many ratings as the others'.
local function deal_users(ratings, id, workers)
  local count, user = ffi.new("int64_t[?]", ratings.users), ratings.user
  for t = 0, ratings.count - 1 do count[user[t]] = count[user[t]] + 1 end
  local function boundary(part)
    local u, before = 0, 0
    while u < ratings.users and (part == workers or before < ratings.count * part / workers) do
      u, before = u + 1, before + tonumber(count[u])
    end
    return u
  end
  return boundary(id), boundary(id + 1)
end

-- The ratings of users [first, last), who are counted from 0 in the result, in the given order.
local function take_ratings(ratings, first, last)
  local user, item, value, count = ratings.user, ratings.item, ratings.value, 0
  for t = 0, ratings.count - 1 do
    if user[t] >= first and user[t] < last then count = count + 1 end
  end
  local own, at = data.new("ratings", math.max(1, last - first), ratings.items, count), 0
  for t = 0, ratings.count - 1 do
    if user[t] >= first and user[t] < last then
      own.user[at], own.item[at], own.value[at], at = user[t] - first, item[t], value[t], at + 1
    end
  end
  return own
end

local function range(ratings)
  local low, high, squares = math.huge, -math.huge, 0
  local mean = kernel.mean(ratings)
  for t = 0, ratings.count - 1 do
    local value = ratings.value[t]
    low, high, squares = math.min(low, value), math.max(high, value), squares + (value - mean) ^ 2
  end
  return mean, low, high, math.sqrt(squares / ratings.count)
end

--- Trains on the ratings of this worker's users; every worker of the job calls it with the same arguments.
--
-- A run whose error leaves the finite numbers, or becomes ten times the ratings' standard deviation, has diverged: an
-- error that names the clock, or, with `on_divergence = "keep"`, the model as it was after the last good epoch.
-- @param w the worker
-- @tparam epact_ratings ratings
-- @tparam ?table given `factors` (8; 0: biases alone), `lambda` (0.05), `step` (0.005), `decay` (0.95, of the step each
-- epoch), `epochs` (30), `clocks` (an epoch, 16), `deviation` (of the factors at the start, 0.1), `test` (ratings),
-- `seed`, `on_divergence` ("error", "keep"), `name`, `filter` (of the items' increments, see `epact.worker:table`),
-- `on_report`
-- @treturn table `factors`, `first` and `last` (this worker's users), `low` and `high` (the range of the ratings),
-- `options`, `status` ("MAXITER" or "DIVERGED"), `failure`, and on every worker `history`: a list of
-- `{ epoch, train, test, step, seconds }` with the root mean squared errors, on the training ratings while they were
-- learned
function mf.fit(w, ratings, given)
  local o = options.read("mf.fit", given, known)
  check_data("ratings", ratings)
  if o.test ~= nil then
    check_data("option 'test'", o.test)
    kernel.mean(o.test) -- refuses what is not finite
  end
  if o.factors > 65535 then core.fail("mf.fit: at most 65535 factors, got %d", o.factors) end
  local mean, low, high, spread = range(ratings)
  local first, last = deal_users(ratings, w.id, w.workers)
  local own = kernel.group(take_ratings(ratings, first, last))
  local test = o.test and take_ratings(o.test, first, w.id == w.workers - 1 and math.max(last, o.test.users) or last)
  local factors = kernel.new { users = last - first, items = ratings.items, factors = o.factors, mean = mean }
  factors:draw(first, o.deviation, o.seed or w.seed)

  w:claim("mf.fit", o.name, true)
  local items = w:table(o.name .. ".items", { rows = ratings.items, cols = o.factors + 1, type = "f32",
    filter = o.filter })
  local errors = w:table(o.name .. ".errors", { rows = o.epochs, cols = 2 + w.workers, staleness = 0 })

  -- How far this worker is: slices done of an epoch, barriers passed of its end, the squared errors of its ratings so
  -- far, the clock at which it diverged. That, its users' rows and what was measured is its state.
  local at, rng, slices, history, begin = { epoch = 0, done = 0, barriers = 0, sum = 0 }, w:rng(), {}, {},
    core.C.epact_now()
  local begun -- the error of the first epoch
  for slice = 1, o.clocks do slices[slice] = slice end
  factors:save()
  local resumed = w.snapshots and w:state(function() -- a worker keeps one state; without snapshots it may train more
    return { at = at, rng = rng:state(), slices = slices, history = history, begun = begun,
      seconds = core.C.epact_now() - begin, rows = factors:state() }
  end, function(state)
    at, slices, history, begun, begin = state.at, state.slices, state.history, state.begun, begin - state.seconds
    rng:restore(state.rng)
    factors:take_state(state.rows)
  end)
  if resumed then
    factors:copy_items(items:all())
  else
    if w.id == 0 then items:inc_all(factors.item) end
    w:barrier()
  end

  local function learn(from, to, step)
    local view = items:all()
    factors:copy_items(view)
    local squared_error = factors:steps(own, from, to, step, o.lambda)
    if not squared_error then return nil end
    factors:subtract_items(view)
    local finite, reason = pcall(items.inc_all, items, factors.item)
    if not finite and core.error_code(reason) ~= "E_NONFINITE" then error(reason, 0) end
    return finite and squared_error or nil
  end

  -- One pass over this worker's ratings, slice by slice in a new order; the clock at which it diverged, if it did.
  local function pass(step)
    if at.done == 0 then rng:shuffle(slices) end
    for i = at.done + 1, o.clocks do
      local slice = slices[i]
      local from, to = math.floor(own.count * (slice - 1) / o.clocks), math.floor(own.count * slice / o.clocks)
      if not at.diverged then
        local squared_error = learn(from, to, step)
        if squared_error then at.sum = at.sum + squared_error else at.diverged = w:now() end
      end
      at.done = i
      w:clock()
    end
  end

  -- A barrier at the end of an epoch, unless it was passed before the job was resumed.
  local function barrier(number)
    if at.barriers >= number then return end
    at.barriers = number
    w:barrier()
  end

  local function add_errors(epoch)
    if not at.diverged then
      factors:copy_items(items:all())
      errors:inc(epoch, 0, at.sum)
      local squared_error = test and factors:squared_error_of(test, low, high) or 0
      if squared_error - squared_error == 0 then errors:inc(epoch, 1, squared_error) else at.diverged = w:now() end
    end
    if at.diverged then errors:inc(epoch, 2 + w.id, at.diverged + 1) end
  end

  -- At a barrier the items are exact, and the same for all. Returns the errors, and the clock of a divergence.
  local function measure(epoch)
    barrier(1)
    if at.barriers == 1 then add_errors(epoch) end
    barrier(2)
    local cell, clock = errors:get(epoch), nil
    for id = 0, w.workers - 1 do
      if cell[2 + id] > 0 then clock = math.min(clock or math.huge, cell[2 + id] - 1) end
    end
    local train = math.sqrt(cell[0] / ratings.count)
    begun = begun or train
    if not clock and train > 10 * math.max(spread, begun) then clock = w:now() end
    return train, o.test and math.sqrt(cell[1] / o.test.count) or nil, clock
  end

  local model = { factors = factors, first = first, last = last, low = low, high = high, options = o, history = history,
    workers = w.workers, users = ratings.users, status = "MAXITER" }
  for epoch = at.epoch, o.epochs - 1 do
    local step = math.max(o.step * o.decay ^ epoch, 1e-37) -- a float, and not 0
    pass(step)
    local train, on_test, clock = measure(epoch)
    if clock then
      factors:restore()
      model.status, model.failure = "DIVERGED", ("mf.fit: diverged at clock %d (epoch %d): the step %g is too large, "
        .. "try %g [E_DIVERGED]"):format(clock, epoch + 1, o.step, o.step / 4)
      if o.on_divergence == "error" then core.fail("%s", model.failure) end
      break
    end
    factors:save()
    model.history[epoch + 1] = { epoch = epoch + 1, train = train, test = on_test, step = step,
      seconds = core.C.epact_now() - begin }
    if w.id == 0 and o.on_report then o.on_report(model.history[epoch + 1]) end
    at = { epoch = epoch + 1, done = 0, barriers = 0, sum = 0 }
  end
  return model
end

--- The rating that a user would give an item, clipped to the range of the ratings. Whom or what the model does not know
-- counts as an average one. Other workers' users are an error: `mf.save` and `mf.load` bring all users together.
function mf.predict(model, user, item)
  options.argument("mf.predict", "user", "index", user)
  options.argument("mf.predict", "item", "index", item)
  if user < model.users and (user < model.first or user >= model.last) then
    core.fail("mf.predict: user %d is another worker's, this one has %d .. %d", user, model.first, model.last - 1)
  end
  local prediction = model.factors:predict(user < model.users and user - model.first or -1, item)
  return math.max(model.low, math.min(model.high, prediction))
end

--- Root mean squared error over ratings of this worker's users (all users, of a loaded model).
function mf.rmse(model, ratings)
  check_data("ratings", ratings)
  local sum = 0
  for t = 0, ratings.count - 1 do
    sum = sum + (ratings.value[t] - mf.predict(model, ratings.user[t], ratings.item[t])) ^ 2
  end
  return math.sqrt(sum / ratings.count)
end

local function open(path, mode)
  local file, reason = io.open(path, mode)
  if not file then core.fail("mf: %s [E_IO]", reason) end
  return file
end

local function write_rows(file, row, rows, stride, first)
  for i = 0, rows - 1 do
    local words = {}
    for f = 0, stride - 1 do words[f + 1] = ("%.9g"):format(row[i * stride + f]) end
    file:write(first + i, "\t", table.concat(words, "\t"), "\n")
  end
end

--- Writes the model: every worker its `users.<worker>.tsv` (id, factors, bias), worker 0 `items.tsv` too. The directory
-- must exist.
function mf.save(w, model, directory)
  local factors = model.factors
  local file = open(("%s/users.%d.tsv"):format(directory, w.id), "w")
  write_rows(file, factors.user, factors.users, factors.stride, model.first)
  file:close()
  if w.id ~= 0 then return end
  file = open(directory .. "/items.tsv", "w")
  file:write(("# factors %d mean %.9g users %d items %d low %.9g high %.9g workers %d\n"):format(factors.factors,
    factors.mean, model.users, factors.items, model.low, model.high, model.workers))
  write_rows(file, factors.item, factors.items, factors.stride, 0)
  file:close()
end

local function read_rows(path, file, row, rows, stride)
  local expected, seen = 0, {}
  for line in file:lines() do
    local at = 0
    for word in line:gmatch "%S+" do
      local value, id = tonumber(word), tonumber(line:match "^%S+")
      local good = value and value - value == 0 and id and id >= 0 and id < rows and id % 1 == 0
      if not good or at > stride or (at == 0 and seen[id]) then
        core.fail("mf.load: %s: expected an id below %d and %d numbers, got %q [E_PARSE]", path, rows, stride,
          line:sub(1, 60))
      end
      if at > 0 then row[id * stride + at - 1] = value else seen[id] = true end
      at = at + 1
    end
    expected = expected + (at == stride + 1 and 1 or 0)
  end
  file:close()
  return expected
end

--- Reads what `mf.save` has written: a model of all users, in any Lua state.
function mf.load(directory)
  options.argument("mf.load", "directory", "string", directory)
  local path = directory .. "/items.tsv"
  local file = open(path, "r")
  local header = {}
  for name, value in (file:read "*l" or ""):gmatch "(%a+) (%S+)" do header[name] = tonumber(value) end
  for _, name in ipairs { "factors", "mean", "users", "items", "low", "high", "workers" } do
    if not header[name] then core.fail("mf.load: %s: the first line has no '%s' [E_PARSE]", path, name) end
  end
  local factors = kernel.new(header)
  local items, users = read_rows(path, file, factors.item, header.items, factors.stride), 0
  for id = 0, header.workers - 1 do
    path = ("%s/users.%d.tsv"):format(directory, id)
    users = users + read_rows(path, open(path, "r"), factors.user, header.users, factors.stride)
  end
  if items ~= header.items or users ~= header.users then
    core.fail("mf.load: %s has %d of %d items and %d of %d users [E_PARSE]", directory, items, header.items, users,
      header.users)
  end
  return { factors = factors, first = 0, last = header.users, users = header.users, low = header.low,
    high = header.high, workers = header.workers }
end

return mf
