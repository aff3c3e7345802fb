--- Whole programs: SGD in plain Lua beside the C kernel, and one worker beside two at equal quality.
-- `luajit spec/bench/programs.lua [hinge] [lda] [lasso] [mf]`

package.path = "./lua/?.lua;./lua/?/init.lua;" .. package.path
package.cpath = "./" .. (os.getenv "EPACT_BUILD" or "build") .. "/?.so;" .. package.cpath

local epact = require "epact"
local lasso = require "epact.optim.lasso"
local lda = require "epact.mcmc.lda"
local linear = require "epact.kernel.linear"
local mf = require "epact.model.mf"
local C = require("epact.core").C

local function print_row(...) print(("%-40s %14s %14s %10s   %s"):format(...)) end

--- Least of what `repeats` runs of f took by `clock`, and what the last one returned.
local function best(repeats, clock, f)
  local least, result = math.huge, nil
  for _ = 1, repeats do
    local begin = clock()
    result = f()
    least = math.min(least, clock() - begin)
  end
  return least, result
end

--- Sparse rows as text has them: words by Zipf's law, unit rows; the labels of a plane.
local function text_like(rows, cols, least, most)
  local rng, start, column = epact.rng(1), { [0] = 0 }, {}
  for i = 0, rows - 1 do
    local seen, list = {}, {}
    while #list < least + i % (most - least + 1) do
      local j = math.floor(cols ^ rng:uniform()) - 1
      if not seen[j] then
        seen[j], list[#list + 1] = true, j
      end
    end
    table.sort(list)
    for _, j in ipairs(list) do column[#column + 1] = j end
    start[i + 1] = #column
  end
  local X, y, plane = epact.data.new("sparse", rows, cols, #column), epact.data.new("dense", rows, 1), {}
  for j = 0, cols - 1 do plane[j] = rng:normal() end
  for i = 0, rows do X.start[i] = start[i] end
  for i = 0, rows - 1 do
    for k = start[i], start[i + 1] - 1 do
      X.index[k], X.value[k] = column[k + 1], 1 / math.sqrt(start[i + 1] - start[i])
    end
    y[i] = X:dot(i, plane) > 0 and 1 or -1
  end
  return X, y
end

--- x_i'v, as examples/hinge.lua has it.
local function dot(column, value, count, v)
  local even, odd = 0, 0
  for k = 0, count - 2, 2 do
    even, odd = even + value[k] * v[column[k]], odd + value[k + 1] * v[column[k + 1]]
  end
  if count % 2 == 1 then even = even + value[count - 1] * v[column[count - 1]] end
  return even + odd
end

--- One epoch of SGD on the hinge loss, as examples/hinge.lua has it.
local function hinge_lua(X, y, order, v, rule)
  local scale = 1
  for t = 0, X.rows - 1 do
    local i, eta = order[t], rule.step / (1 + rule.decay * t)
    local column, value, count = X:row(i)
    local margin = y[i] * scale * dot(column, value, count, v)
    if margin < 1 then
      local a = eta * y[i] / scale
      for k = 0, count - 1 do v[column[k]] = v[column[k]] + a * value[k] end
    end
    scale = scale / (1 + eta * rule.l2)
  end
  for j = 0, X.cols - 1 do v[j] = scale * v[j] end
end

local parts = {}

function parts.hinge()
  local X, y = text_like(50000, 50000, 50, 100)
  local rule, order, v = { step = 1, decay = 1e-5, l2 = 1e-5 }, linear.identity(X.rows), linear.zeros(X.cols)
  local zero = linear.zeros(X.cols)
  linear.shuffle(epact.rng(2), order, X.rows)
  local function run_lua()
    for j = 0, X.cols - 1 do v[j] = 0 end
    hinge_lua(X, y, order, v, rule)
  end
  local sgd
  local c_rule = { step = rule.step, decay = rule.decay, power = 1, l1 = 0, l2 = rule.l2, low = -math.huge,
    high = math.huge, batch = 1 }
  local function run_c()
    sgd = require("epact.kernel.sgd").new(X, y, require("epact.optim.loss").hinge(), c_rule)
    sgd:begin(zero)
    local begin = C.epact_thread_cpu()
    sgd:steps(order, 0, X.rows)
    sgd:current()
    return C.epact_thread_cpu() - begin
  end
  local lua_seconds, c_seconds = best(7, C.epact_thread_cpu, run_lua), math.huge
  for _ = 1, 7 do c_seconds = math.min(c_seconds, run_c()) end
  local difference, now = 0, sgd:current()
  for j = 0, X.cols - 1 do difference = math.max(difference, math.abs(now[j] - v[j])) end
  print_row("hinge SGD, " .. tostring(X):match "<(.*)>", "Lua", "C", "ratio", "largest difference")
  print_row("  non-zeros/s, CPU of one thread", ("%.0fM"):format(X.count / lua_seconds / 1e6),
    ("%.0fM"):format(X.count / c_seconds / 1e6), ("%.2f"):format(lua_seconds / c_seconds), ("%.1e"):format(difference))
end

--- Runs `f(w)`, which returns a text about quality, with one and with two workers: seconds until the job is done, and
-- CPU seconds of its busiest worker, which is what a core of its own for each worker would make of it.
local function speed_up(name, f)
  local function run(workers)
    local busiest, quality = math.huge, nil
    local wall = best(3, C.epact_now, function()
      local _, report = epact.run({ workers = workers, staleness = 1, seed = 1 }, function(w)
        local begin = C.epact_thread_cpu()
        local said = f(w)
        return { said = said, seconds = C.epact_thread_cpu() - begin }
      end)
      local most = 0
      for id = 0, workers - 1 do most = math.max(most, report.results[id][1].seconds) end
      busiest, quality = math.min(busiest, most), report.results[0][1].said
    end)
    return wall, busiest, quality
  end
  local wall_one, busiest_one, quality_one = run(1)
  local wall_two, busiest_two, quality_two = run(2)
  print_row(name, ("%.2f (%.2f) s"):format(wall_one, busiest_one), ("%.2f (%.2f) s"):format(wall_two, busiest_two),
    ("%.2f (%.2f)"):format(wall_one / wall_two, busiest_one / busiest_two), quality_one .. " | " .. quality_two)
end

function parts.lda()
  local corpus = epact.data.corpus "examples/data/docword.sotu.txt.gz"
  speed_up("LDA, sotu, 20 topics, 100 sweeps", function(w)
    local history = lda.fit(w, corpus, { sweeps = 100, every = 100 }).history
    return ("log-likelihood %.4f"):format(history[#history].likelihood)
  end)
end

function parts.lasso()
  local X = text_like(50000, 50000, 50, 100)
  local rng, plane, y = epact.rng(3), {}, epact.data.new("dense", X.rows, 1)
  for j = 0, X.cols - 1 do plane[j] = rng:uniform() < 0.02 and rng:normal() or 0 end
  for i = 0, X.rows - 1 do y[i] = X:dot(i, plane) + 0.02 * rng:normal() end
  speed_up("lasso, " .. tostring(X):match "<(.*)>", function(w)
    local model = lasso.fit(w, X, y, { lambda_ratio = 0.001, standardise = false })
    return ("objective %.6f, %d clocks"):format(model.objective, model.sweeps)
  end)
end

function parts.mf()
  local rng, users, items, k, n = epact.rng(4), 10000, 2000, 16, 1e6
  local ratings, p, q = epact.data.new("ratings", users, items, n), {}, {}
  for i = 0, users * k - 1 do p[i] = rng:normal() / k ^ 0.25 end
  for i = 0, items * k - 1 do q[i] = rng:normal() / k ^ 0.25 end
  for t = 0, n - 1 do
    local u, i, value = rng:below(users), rng:below(items), 0.3 * rng:normal()
    for f = 0, k - 1 do value = value + p[u * k + f] * q[i * k + f] end
    ratings.user[t], ratings.item[t], ratings.value[t] = u, i, value
  end
  speed_up("MF, 10,000 x 2,000, 1M ratings, k = 16", function(w)
    local history = mf.fit(w, ratings, { factors = 16, lambda = 0.02, step = 0.03, epochs = 40 }).history
    return ("RMSE %.4f"):format(history[#history].train)
  end)
end

local wanted = #arg > 0 and arg or { "hinge", "lda", "lasso", "mf" }
for i, name in ipairs(wanted) do
  if i == 1 and name ~= "hinge" or wanted[i - 1] == "hinge" then
    print_row("wall (busiest worker's CPU)", "1 worker", "2 workers", "ratio", "quality of 1 | of 2")
  end
  parts[name]()
end
