--- Matrix factorisation: rating updates a second by order and number of workers, what the preparation costs, and the
-- time to a test error. `luajit spec/bench/mf.lua [--scale 0.2] [--train FILE --test FILE]`
--
-- Synthetic ratings of fixed seeds, of rank 10 with biases and noise: "ml1m" has MovieLens-1M's shape (6,040 x 3,706, a
-- million ratings), "syn10m" 70,000 x 10,000 and 8.5 million. Of all runs the fastest epoch counts, without the
-- measuring of a test error; by the clock, and by worker 0's CPU time, which tells more where others use the machine.
--
-- To compare with: LIBMF 1498368 (no biases; one core of a Zen 3 at 3.2 GHz) makes 24.6 M/s at k = 16 and 16.5 at 64 on
-- half of MovieLens-1M, where two threads are no faster; on syn10m 24.6 and 17.4, with two threads 49.9 and 29.4. Its
-- best test RMSE there is 0.788 .. 0.791 at k = 16, after 3.1 .. 4.3 s, and 0.7645 at k = 64, after 4.4 s.
local build = os.getenv "EPACT_BUILD" or "build"
package.path = "./lua/?.lua;./lua/?/init.lua;" .. package.path
package.cpath = build .. "/?.so;" .. package.cpath

local ffi = require "ffi"
local epact = require "epact"
local data = require "epact.data"
local mf = require "epact.model.mf"

local o = epact.command.read {
  about = "Speed of matrix factorisation: orders, workers, preparation, time to an error.",
  { "scale", "positive", 1, "of the number of synthetic ratings" },
  { "epochs", "count", 5, "of each run for throughput (1: none)" },
  { "train", "string", "", "ratings to learn from, instead of syn10m" },
  { "test", "string", "", "ratings to predict, of the same" },
  { "only", "string", "ml1m,syn10m", "of these" },
  { "workers", "count", 2, "the larger number of workers" },
}

-- Draws 0 .. size - 1 with weights: a table of guides makes the search short.
local function sampler(weights, size)
  local sums, guide, total = ffi.new("double[?]", size), ffi.new("int32_t[?]", size + 1), 0
  for i = 0, size - 1 do total = total + weights[i] end
  local before, at = 0, 0
  for i = 0, size - 1 do
    before = before + weights[i] / total
    sums[i] = before
    while at <= size and at / size <= before do guide[at], at = i, at + 1 end
  end
  while at <= size do guide[at], at = size - 1, at + 1 end
  return function(uniform)
    local i = guide[math.floor(uniform * size)]
    while i < size - 1 and sums[i] <= uniform do i = i + 1 end
    return i
  end
end

-- Lognormal users, Zipf-like items in a random order of ids, stars from `low` to 5 by `unit`; a tenth is test.
local function generate(seed, users, items, count, low, unit)
  local stream, rank = epact.rng(seed), 10
  local user_weight, item_weight = ffi.new("double[?]", users), ffi.new("double[?]", items)
  local label = ffi.new("uint32_t[?]", items)
  for u = 0, users - 1 do user_weight[u] = math.exp(1.1 * stream:normal()) end
  for i = 0, items - 1 do item_weight[i], label[i] = 1 / (i + 20), i end
  require("epact.kernel.linear").shuffle(stream, label, items)
  local function rows(size, factor, bias)
    local row = ffi.new("double[?]", size * (rank + 1))
    for i = 0, size * (rank + 1) - 1 do row[i] = stream:normal() * (i % (rank + 1) < rank and factor or bias) end
    return row
  end
  local p, q = rows(users, 0.35, 0.4), rows(items, 0.5, 0.45)
  local draw_user, draw_item = sampler(user_weight, users), sampler(item_weight, items)
  local function fill(size)
    local ratings = data.new("ratings", users, items, size)
    local user, item, value = ratings.user, ratings.item, ratings.value
    for t = 0, size - 1 do
      local u, i = draw_user(stream:uniform()), label[draw_item(stream:uniform())]
      local a, b = p + u * (rank + 1), q + i * (rank + 1)
      local r = 3.5 + a[rank] + b[rank] + 0.75 * stream:normal()
      for f = 0, rank - 1 do r = r + a[f] * b[f] end
      user[t], item[t] = u, i
      value[t] = math.max(low, math.min(5, unit * math.floor(r / unit + 0.5)))
    end
    return ratings
  end
  return fill(math.floor(count * 0.9)), fill(math.floor(count * 0.1))
end

local function fit(ratings, workers, given)
  return (epact.run({ workers = workers, seed = 1 }, function(w)
    given.on_report = function(now) now.cpu = require("epact.core").C.epact_thread_cpu() end
    return mf.fit(w, ratings, given)
  end))
end

local function with(given, more)
  local all = {}
  for key, value in pairs(given) do all[key] = value end
  for key, value in pairs(more) do all[key] = value end
  return all
end

-- Seconds of the fastest epoch but the first, by the clock and of worker 0's CPU.
local function fastest_epoch(history, best)
  for e = 2, #history do
    for name in pairs(best) do best[name] = math.min(best[name], history[e][name] - history[e - 1][name]) end
  end
end

local function throughput(name, ratings, k)
  for _, order in ipairs { "shards", "rotation", "hogwild", "ccd" } do
    local best, preparation = {}, {}
    for _ = 1, 3 do -- in alternation
      for _, workers in ipairs { 1, o.workers } do
        local model = fit(ratings, workers, { factors = k, step = order ~= "ccd" and 0.02 or nil, epochs = o.epochs,
          order = order })
        best[workers] = best[workers] or { seconds = math.huge, cpu = math.huge }
        fastest_epoch(model.history, best[workers])
        preparation[workers] = math.min(preparation[workers] or math.huge, model.history[1].cpu) -- and an epoch
      end
    end
    for _, workers in ipairs { 1, o.workers } do
      local now = best[workers]
      local before = preparation[workers] - now.cpu
      print(("%-8s %4d  %-9s %7d  %8.1f  %7.2f  %8.1f  %7.2f  %10.3f  %13.1f %%"):format(name, k, order, workers,
        ratings.count / now.seconds / 1e6, best[1].seconds / now.seconds, ratings.count / now.cpu / 1e6,
        best[1].cpu / now.cpu, before, 100 * before / (30 * now.cpu)))
    end
  end
end

-- The first epoch whose test error is at most each target, and at most 1 % and 0.5 % above the `reference`'s lowest
-- (default: this run's), and whose objective is at most the reference's last; its time from a run that measures no
-- error.
-- @treturn table `test` and `objective`, a reference
local function time_to(name, ratings, test, given, targets, reference)
  for _, workers in ipairs { 1, o.workers } do
    local errors = fit(ratings, workers, with(given, { test = test })).history
    local model, best = nil, nil
    for _ = 1, 3 do
      model = fit(ratings, workers, given)
      if not best or model.history[#model.history].seconds < best[#best].seconds then best = model.history end
    end
    local lowest = errors[1]
    for _, now in ipairs(errors) do if now.test < lowest.test then lowest = now end end
    reference = reference or { test = lowest.test, objective = errors[#errors].objective }
    print(("%s, k = %d, %s, %d workers: test RMSE %.4f at %.3f s (CPU %.3f s, epoch %d); preparation %.3f s"):format(
      name, given.factors, given.order, workers, lowest.test, best[lowest.epoch].seconds, best[lowest.epoch].cpu,
      lowest.epoch, model.preparation_seconds))
    local function first(what, target, field)
      for _, now in ipairs(errors) do
        if now[field] <= target then
          print(("  %s at %.3f s (CPU with preparation %.3f s, epoch %d)"):format(what, best[now.epoch].seconds,
            best[now.epoch].cpu, now.epoch))
          return
        end
      end
    end
    for _, target in ipairs(targets) do first(("%.4f"):format(target), target, "test") end
    for _, share in ipairs { 0.01, 0.005 } do
      local target = reference.test * (1 + share)
      first(("%.4f, within %g %%"):format(target, 100 * share), target, "test")
    end
    first(("objective %.0f"):format(reference.objective), reference.objective, "objective")
  end
  return reference
end

-- Two workers, of which one needs half as long again for its part of a stratum: the objective by the clock, when the
-- other waits for it, and when it goes on with its block (Fugue).
local function slow_worker(name, ratings)
  local given = { factors = 16, order = "rotation", step = 0.02, decay = 0.95, epochs = 10, blocks = 4 }
  local best = math.huge
  local history = fit(ratings, 2, given).history
  for e = 2, #history do best = math.min(best, history[e].seconds - history[e - 1].seconds) end
  for _, fugue in ipairs { false, true } do
    local model = epact.run({ workers = 2, seed = 1 }, function(w)
      local C, step = require("epact.core").C, fugue and "clock" or "barrier" -- what ends a first pass
      local ends_pass = w[step]
      if w.id == 1 then
        w[step] = function(self)
          local finish = C.epact_now() + best / given.blocks / 2
          while C.epact_now() < finish do end
          return ends_pass(self)
        end
      end
      return mf.fit(w, ratings, with(given, { fugue = fugue }))
    end)
    local parts = {}
    for e = 2, given.epochs, 2 do
      local now = model.history[e]
      parts[#parts + 1] = ("%.0f at %.3f s"):format(now.objective, now.seconds)
    end
    local extra = model.history[given.epochs].extra
    print(("%s, one of 2 workers slow, %s: objective %s%s"):format(name, fugue and "Fugue" or "waiting",
      table.concat(parts, ", "), extra and ("; %.2f more steps an epoch"):format(extra) or ""))
  end
end

local sets = {
  ml1m = function() return generate(1, 6040, 3706, math.floor(1000209 * o.scale), 1, 1) end,
  syn10m = function()
    if o.train ~= "" then
      local ratings = data.ratings(o.train)
      return ratings, o.test ~= "" and data.ratings(o.test, { users = ratings.users, items = ratings.items }) or nil
    end
    return generate(2, 70000, 10000, math.floor(8.5e6 * o.scale), 0.5, 0.5)
  end,
}

for name in o.only:gmatch "[^,]+" do
  local ratings, test = sets[name]()
  print(("%s: %s"):format(name, tostring(ratings)))
  print(("%-8s %4s  %-9s %7s  %8s  %7s  %8s  %7s  %10s  %15s"):format("data", "k", "order", "workers", "M/s", "speedup",
    "by CPU", "speedup", "prepare", "of 30 epochs"))
  for _, k in ipairs(o.epochs > 1 and { 16, 64 } or {}) do throughput(name, ratings, k) end
  slow_worker(name, ratings)
  if test then
    local reference = time_to(name, ratings, test, { factors = 16, order = "rotation", step = 0.05, decay = 0.87,
      lambda = 0.05, epochs = 20, blocks = 8 }, { 0.791, 0.788, 0.77 })
    time_to(name, ratings, test, { factors = 16, order = "ccd", lambda = 0.05, epochs = 20 }, {}, reference)
  end
end
