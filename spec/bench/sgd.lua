-- SGD on linear models: throughput of one thread, of two with Hogwild!, and time to an objective, beside scikit-learn's
-- SGDClassifier on the same rows where python3-sklearn is installed.
-- `luajit spec/bench/sgd.lua [libsvm file of text]`; without it, text-like rows from a seed. Labels: the sign of the
-- file's, less their median.

package.path = "lua/?.lua;lua/?/init.lua;spec/?.lua;" .. package.path
package.cpath = "build/?.so;" .. package.cpath

local epact = require "epact"
local core = require "epact.core"
local data = require "epact.data"
local kernel = require "epact.kernel.sgd"
local linear = require "epact.kernel.linear"
local loss = require "epact.optim.loss"
local peer = require "support.peer"
local sgd = require "epact.optim.sgd"
local C = core.C

-- Columns by a power law, values that make rows of norm 1, labels of a hidden plane.
local function text_like(rows, columns, per_row, seed)
  local rng, X, y = epact.rng(seed), data.new("sparse", rows, columns, rows * per_row), data.new("dense", rows, 1)
  local at = 0
  for i = 0, rows - 1 do
    local seen, list, score = {}, {}, 0
    while #list < per_row do
      local j = math.floor(columns ^ rng:uniform()) - 1
      if not seen[j] then seen[j], list[#list + 1] = true, j end
    end
    table.sort(list)
    for _, j in ipairs(list) do
      X.index[at], X.value[at], at = j, 1 / math.sqrt(per_row), at + 1
      score = score + ((j * 2654435761) % 7 - 3) / 3
    end
    X.start[i + 1], y.value[i] = at, score + rng:normal() > 0 and 1 or -1
  end
  return X, y
end

-- Few columns: one-hot groups, 14 ones a row of 123, as in the Adult data.
local function few_columns(rows, seed)
  local rng, X, y = epact.rng(seed), data.new("sparse", rows, 123, rows * 14), data.new("dense", rows, 1)
  local at = 0
  for i = 0, rows - 1 do
    local score = 0
    for group = 0, 13 do
      local j = math.floor(group * 123 / 14) + math.floor(rng:uniform() ^ 2 * 8)
      X.index[at], X.value[at], at = j, 1, at + 1
      score = score + ((j * 2654435761) % 7 - 3) / 4
    end
    X.start[i + 1], y.value[i] = at, score + 2 * rng:normal() > 0 and 1 or -1
  end
  return X, y
end

-- Many columns that rows seldom share: 20 of 500,000, all as likely.
local function many_columns(rows, columns, per_row, seed)
  local rng, X, y = epact.rng(seed), data.new("sparse", rows, columns, rows * per_row), data.new("dense", rows, 1)
  local at, width = 0, math.floor(columns / per_row)
  for i = 0, rows - 1 do
    local score = 0
    for piece = 0, per_row - 1 do
      local j = piece * width + rng:below(width)
      X.index[at], X.value[at], at = j, rng:normal(), at + 1
      score = score + X.value[at - 1] * (j % 2 * 2 - 1)
    end
    X.start[i + 1], y.value[i] = at, score + rng:normal() > 0 and 1 or -1
  end
  return X, y
end

local function signs(y)
  local sorted = {}
  for i = 0, y.rows - 1 do sorted[i + 1] = y.value[i] end
  table.sort(sorted)
  local middle = sorted[math.ceil(#sorted / 2)]
  for i = 0, y.rows - 1 do y.value[i] = y.value[i] > middle and 1 or -1 end
  return y
end

-- The time a core takes to read the same arrays and do nothing else: the limit by memory.
local function read_seconds(X)
  local best = math.huge
  for _ = 1, 5 do
    local begin = C.epact_thread_cpu()
    C.epact_norm(X.count, X.value)
    best = math.min(best, C.epact_thread_cpu() - begin)
  end
  return best * 1.5 -- 12 bytes a non-zero, of which it has read 8
end

local function one_thread(X, y, name, rule)
  local all = { step = 0.5, decay = 0, power = 0, l1 = 0, l2 = 1e-6, low = -math.huge, high = math.huge, batch = 1 }
  for key, value in pairs(rule) do all[key] = value end
  local descent, order = kernel.new(X, y, loss.of("bench", name), all), linear.identity(X.rows)
  linear.shuffle(epact.rng(1), order, X.rows)
  descent:begin(linear.zeros(X.cols + 1))
  local best = math.huge
  for _ = 1, 8 do
    local begin = C.epact_thread_cpu()
    assert(descent:steps(order, 0, X.rows))
    best = math.min(best, C.epact_thread_cpu() - begin)
  end
  return X.count / best, best
end

-- Non-zeros a second of CPU of the busiest thread, epochs alone; `shared`: one memory for all, or one each. What other
-- programs take from the cores does not count, what the threads take from each other does.
local function hogwild(X, y, workers, shared)
  return epact.run({ workers = workers, seed = 1 }, function(w)
    local own_X, own_y = w:shard(X, y)
    local rule = { step = 0.5, decay = 0, power = 0, l1 = 0, l2 = 1e-6, low = -math.huge, high = math.huge, batch = 1 }
    local memory = { weight = shared and w:shared("weights", X.cols + 1) or linear.zeros(X.cols + 1),
      share = linear.zeros(X.cols + 1) }
    kernel.shares(X, memory.share)
    local descent = shared and kernel.shared(own_X, own_y, loss.hinge(), rule, memory)
      or kernel.new(own_X, own_y, loss.hinge(), rule)
    local order, best = linear.identity(own_X.rows), math.huge
    linear.shuffle(w:rng(), order, own_X.rows)
    if not shared then descent:begin(memory.weight) end
    for _ = 1, 9 do
      w:barrier()
      local begin = C.epact_thread_cpu()
      assert(descent:steps(order, 0, own_X.rows))
      best = math.min(best, C.epact_thread_cpu() - begin)
    end
    local seconds = w:table("seconds", { rows = w.workers, cols = 1 })
    seconds:inc(w.id, 0, best)
    w:barrier()
    local slowest = 0
    for id = 0, w.workers - 1 do slowest = math.max(slowest, seconds:cell(id, 0)) end
    return X.count / slowest
  end)
end

-- The whole method, wall time: which memory it chooses, and the objective after ten epochs.
local function whole(X, y, workers)
  local best, found = math.huge, nil
  for _ = 1, 3 do
    found = epact.run({ workers = workers, staleness = 1, seed = 1 }, function(w)
      return sgd.minimise(w, X, y, { loss = "hinge", l2 = 1, run = "hogwild", step = 0.5, epochs = 10, tolerance = 0 })
    end)
    best = math.min(best, found.history[10].seconds - found.history[1].seconds)
  end
  return best, found
end

local function millions(x) return ("%.0f M non-zeros/s"):format(x / 1e6) end

-- Non-zeros a second of scikit-learn by loss; nil where it is not installed.
local function scikit_learn(X, y)
  local python = peer.python()
  return python and peer.run(python, "spec/bench/sgd_sklearn.py", { start = { X.start, 8 * (X.rows + 1) },
    index = { X.index, 4 * X.count }, value = { X.value, 8 * X.count }, label = { y.value, 8 * y.rows } }, { X.cols })
end

local function bench(title, X, y)
  print(("\n%s: %d x %d, %d non-zeros"):format(title, X.rows, X.cols, X.count))
  local limit = X.count / read_seconds(X)
  print(("  %-44s %s"):format("reading 12 bytes a non-zero, one thread", millions(limit)))
  for _, case in ipairs { { "hinge", {} }, { "logistic", {} }, { "logistic", { l1 = 1e-6 }, "logistic, l1 and l2" } } do
    local speed = one_thread(X, y, case[1], case[2])
    print(("  %-44s %s, %.0f %% of the limit"):format((case[3] or case[1]) .. ", one thread", millions(speed),
      100 * speed / limit))
  end
  local theirs = scikit_learn(X, y)
  for _, name in ipairs(theirs and { "hinge", "logistic" } or {}) do
    print(("  %-44s %s"):format("scikit-learn's SGDClassifier, " .. name, millions(theirs[name])))
  end
  for _, shared in ipairs { true, false } do
    local one, two = hogwild(X, y, 1, shared), hogwild(X, y, 2, shared)
    print(("  two threads, %-31s %s, %.2f times one of the same"):format(shared and "weights shared"
      or "weights of their own", millions(two), two / one))
  end
  local seconds, one = whole(X, y, 1)
  local both, two = whole(X, y, 2)
  print(("  run = \"hogwild\" (%s weights), 9 epochs with objectives: %.3f s, two threads %.3f s; F %.1f, %.1f"):format(
    two.mode, seconds, both, one.objective, two.objective))
end

if arg[1] then
  local X, y = data.libsvm(arg[1])
  bench(arg[1]:match "[^/]*$", X, signs(y))
end
bench("text-like, from a seed", text_like(19000, 61000, 130, 1))
bench("few columns, from a seed", few_columns(32561, 2))
bench("many columns, from a seed", many_columns(50000, 500000, 20, 3))
