-- Matrix factorisation of one's own by schedule, push and pull: blocks of users meet blocks of items in an order in
-- which no two workers ever need the same row (DSGD), on any number of processes, in a page of Lua.
-- `luajit examples/strads_mf.lua --help` lists the options. `epact.model.mf` is the same with kernels, and more.

local root = arg[0]:match "^(.*)/examples/[^/]*$" or (arg[0]:find "^examples/" and "." or "..")
package.path = root .. "/lua/?.lua;" .. root .. "/lua/?/init.lua;" .. package.path
package.cpath = root .. "/build/?.so;" .. package.cpath

local epact = require "epact"
local ffi = require "ffi"
local progress = require "epact.progress"

local o = epact.command.read {
  about = "Learns to predict ratings as p_u'q_i: what students of ETH Zurich gave their lecturers, or others.",
  { "data", "string", root .. "/examples/data/insteval.tr.txt.gz", "ratings to learn from: user item rating, from 0" },
  { "test", "string", root .. "/examples/data/insteval.te.txt.gz", "ratings to predict" },
  { "factors", "count", 4, "numbers that describe a user, and an item" },
  { "lambda", "non_negative", 0.2, "weight of the penalty, for each rating" },
  { "step", "positive", 0.03, "of the first epoch" },
  { "decay", "positive", 0.95, "of the step, an epoch" },
  { "epochs", "count", 20, "passes over the ratings" },
  { "workers", "count", require("epact.cluster").workers(), "threads of this process" },
  { "seed", "integer", 1, "of the random numbers" },
}

local function train(w, ratings, test, mean)
  local k, blocks = o.factors, w.workers
  local p, step, line = {}, o.step, w.id == 0 and progress.new(o.epochs)
  local q = w:table("items", { rows = ratings.items, cols = k, type = "f32", staleness = 0 })
  local user, item, value = ratings.user, ratings.item, ratings.value

  -- This worker's users, and their ratings by the block of the item; every number begins at random.
  local cell, change, rng = {}, ffi.new("float[?]", k), w:rng()
  for block = 0, blocks - 1 do cell[block] = {} end
  for t = 0, ratings.count - 1 do
    if user[t] % blocks == w.id then table.insert(cell[item[t] % blocks], t) end
  end
  local function draw(row) for f = 0, k - 1 do row[f] = 0.3 * rng:normal() end end
  for u = w.id, ratings.users - 1, blocks do
    p[u] = ffi.new("double[?]", k)
    draw(p[u])
  end
  for i = w.id, ratings.items - 1, blocks do
    draw(change)
    q:inc_row(i, change)
  end
  w:barrier()

  local function predict(u, row)
    local sum = mean
    for f = 0, k - 1 do sum = sum + u[f] * row[f] end
    return sum
  end

  -- In stratum s the ratings of block (w.id + s) mod blocks: nobody else has one of these items now.
  local function push(vars)
    local squares = 0
    q:fetch() -- all at once
    for _, t in ipairs(cell[(w.id + vars[1]) % blocks]) do
      local u, row = p[user[t]], q:get(item[t])
      local e = value[t] - predict(u, row)
      for f = 0, k - 1 do
        change[f] = step * (e * u[f] - o.lambda * row[f])
        u[f] = u[f] + step * (e * row[f] - o.lambda * u[f])
      end
      q:inc_row(item[t], change)
      squares = squares + e * e
    end
    return squares
  end

  local squares = 0
  local function pull(_, sum, phase)
    squares = squares + sum[0]
    if (phase + 1) % blocks > 0 then return end
    if line then line:step((phase + 1) / blocks, ("RMSE %.4f"):format(math.sqrt(squares / ratings.count))) end
    squares, step = 0, step * o.decay
  end

  local strata = epact.sched.rotation { blocks = blocks, seed = w.seed }
  epact.strads(w, { variables = blocks, phases = o.epochs * blocks, batch = 1, push = push, pull = pull,
    schedule = function() return { (strata:next()) } end })
  if line then line:done() end

  local errors = w:table("errors", { rows = 1, cols = 1, staleness = 0 })
  for t = 0, test.count - 1 do
    local u = p[test.user[t]]
    if u then errors:inc(0, 0, (test.value[t] - predict(u, q:get(test.item[t]))) ^ 2) end
  end
  w:barrier()
  return math.sqrt(errors:cell(0, 0) / test.count)
end

epact.command.main(function()
  local ratings = epact.data.ratings(o.data)
  local test = epact.data.ratings(o.test, { users = ratings.users, items = ratings.items })
  local mean, spread = 0, 0
  for t = 0, ratings.count - 1 do mean = mean + ratings.value[t] / ratings.count end
  for t = 0, test.count - 1 do spread = spread + (test.value[t] - mean) ^ 2 / test.count end
  local run = { workers = o.workers, seed = o.seed }
  local own = epact.run(run, function(w) return train(w, ratings, test, mean) end)
  local model = epact.run(run, function(w)
    return epact.model.mf.fit(w, ratings, { factors = o.factors, lambda = o.lambda, step = o.step, decay = o.decay,
      epochs = o.epochs, order = "rotation", test = test })
  end)
  if require("epact.cluster").place().rank > 0 then return end
  local row = "%-30s %10.4f"
  print(("\n%-30s %10s"):format("", "test RMSE"))
  print(row:format("the mean rating", math.sqrt(spread)))
  print(row:format("this page", own))
  print(row:format("epact.model.mf, with biases", model.history[#model.history].test))
end)
