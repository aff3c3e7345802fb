--- Which order of the coordinates reaches the minimum of a lasso first, when columns are correlated.
-- `luajit spec/bench/coordinate.lua [--svg FILE]`, about a minute.
--
-- Columns follow each other as an AR(1) process (rho 0.9). All orders update as many coordinates together: round-robin
-- takes neighbours, Shotgun random ones (no guard, and with one: half as many together when the objective rises),
-- "dynamic" those that move, none of which correlates with another. Seconds are those of the phases alone, without the
-- looks at the objective. `*`: the target was not reached.

package.path = "./lua/?.lua;./lua/?/init.lua;./spec/?.lua;" .. package.path
package.cpath = "./" .. (os.getenv "EPACT_BUILD" or "build") .. "/?.so;" .. package.cpath

local epact = require "epact"
local curves = require "support.curves"

local o = epact.command.read {
  about = "The objective of a lasso against updates and seconds, for several orders of the coordinates.",
  { "rows", "count", 400, "of the data" },
  { "columns", "count", 4000, "of the data" },
  { "rho", "fraction", 0.9, "correlation of neighbouring columns" },
  { "ratio", "positive", 0.05, "penalty, as a part of the least one that makes all coefficients 0" },
  { "parallel", "count", 32, "coordinates that are updated together" },
  { "workers", "string", "2,4,8", "numbers of workers" },
  { "target", "positive", 1e-3, "distance to the minimum, in units of the objective without a model" },
  { "updates", "count", 30, "at most, for each column" },
  { "svg", "string", "", "draws the curves of the first number of workers into this file" },
}

local function make_data()
  local rng, X, y = epact.rng(20240601), epact.data.new("dense", o.rows, o.columns), epact.data.new("dense", o.rows, 1)
  local noise = math.sqrt(1 - o.rho ^ 2)
  local truth = {}
  for j = 0, o.columns - 1, math.floor(o.columns / 40) do truth[j] = rng:normal() end
  for i = 0, o.rows - 1 do
    local value, response = 0, 0
    for j = 0, o.columns - 1 do
      value = j == 0 and rng:normal() or o.rho * value + noise * rng:normal()
      X.value[i * o.columns + j] = value
      if truth[j] then response = response + truth[j] * value end
    end
    y.value[i] = response + 0.5 * rng:normal()
  end
  return X, y
end

local data = { make_data() }
local X, y = unpack(data)

-- `make` gives the order: a policy is made where it is used.
local function fit(workers, make, options)
  return (epact.run({ workers = workers, seed = 1 }, function(w)
    options.order = make()
    local model = require("epact.optim.coordinate").fit(w, data[1], data[2], options)
    return w.id == 0 and model or nil
  end))
end

-- The first entry of the history that is near enough to the minimum.
local function reach(model, minimum)
  local null = model.history[1].objective
  for _, now in ipairs(model.history) do
    if now.objective - minimum <= o.target * null then return now, "" end
  end
  return model.history[#model.history], "*"
end

local columns = o.columns
local function random() return require("epact.sched").random { variables = columns, seed = 1 } end
local orders = {
  { "round robin", function() return require("epact.sched").cyclic { variables = columns } end, true },
  { "Shotgun, no guard", random, false },
  { "Shotgun", random, true },
  { "block-greedy", function() return "greedy" end, true },
  { "dynamic", function() return "dynamic" end, true },
}

local lambda = fit(1, orders[1][2], { max_updates = 1, lambda_ratio = o.ratio, standardise = false }).lambda
local best = epact.optim.exact.solve(X, y, { loss = "squared", intercept = true, l1 = lambda, tolerance = 1e-8 })

print(("%d x %d, rho %g, lambda %.4g; %d together; target: within %g of F(0) above the minimum"):format(o.rows,
  o.columns, o.rho, lambda, o.parallel, o.target))
print(("%-8s %-18s %12s %10s %10s %10s  %s"):format("workers", "order", "updates", "phases", "seconds", "together",
  "objective"))
local drawn = {}
for workers in o.workers:gmatch "%d+" do
  for _, order in ipairs(orders) do
    local name, make, guard = unpack(order)
    local model = fit(tonumber(workers), make, { parallel = o.parallel, guard = guard, standardise = false,
      lambda_ratio = o.ratio, every = math.floor(o.columns / 8), max_updates = o.updates * o.columns,
      tolerance = o.target / 10, name = "bench " .. name, blocks = o.parallel })
    local now, missed = reach(model, best.objective)
    local curve = {}
    for i, entry in ipairs(model.history) do
      curve[i] = math.log10(math.max(entry.objective - best.objective, 1e-9 * best.objective))
    end
    print(("%-8s %-18s %11d%1s %10d %10.3f %10d  %s %s"):format(workers, name, now.updates, missed, now.phases,
      now.phase_seconds, model.parallel, epact.plot.sparkline(curve), model.status))
    if #drawn < #orders then drawn[#drawn + 1] = { name = name, history = model.history } end
  end
end

-- log10 of the distance to the minimum against a field of the history.
local function panel(title, unit, field)
  local list = {}
  for i, order in ipairs(drawn) do
    local points = {}
    for k, entry in ipairs(order.history) do
      points[k] = { entry[field], math.log10(math.max(entry.objective - best.objective, 1e-9 * best.objective)) }
    end
    list[i] = { name = order.name, points = points }
  end
  return { title = title, unit = unit, curves = list }
end

if o.svg ~= "" then
  curves.draw(o.svg, { panel("log10 (F - min F) against updates", "updates", "updates"),
    panel("log10 (F - min F) against seconds", "s", "phase_seconds") })
end
