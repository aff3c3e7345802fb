--- A lasso of a million sparse columns on one and two workers: `luajit spec/bench/lasso_workers.lua`, about a minute.
-- Columns are drawn with a falling density (the j-th in proportion to 1 / sqrt j). Seconds are the whole of
-- `lasso.fit`: dealing the columns, transposing, all looks and sweeps; the best of several runs in turns. `CPU` is that
-- of the busiest worker: what the clock would show on idle cores.

package.path = "./lua/?.lua;./lua/?/init.lua;./spec/?.lua;" .. package.path
package.cpath = "./" .. (os.getenv "EPACT_BUILD" or "build") .. "/?.so;" .. package.cpath

local epact = require "epact"

local o = epact.command.read {
  about = "Two workers against one on a lasso with many sparse columns.",
  { "rows", "count", 100000, "of the data" },
  { "columns", "count", 1000000, "of the data" },
  { "entries", "count", 80, "of a row" },
  { "ratio", "positive", 0.03, "penalty, as a part of the least one that makes all coefficients 0" },
  { "runs", "count", 5, "of each" },
}

local function make_data()
  local rng, n, p = epact.rng(7), o.rows, o.columns
  local X, y = epact.data.new("sparse", n, p, n * o.entries), epact.data.new("dense", n, 1)
  local truth, last, at = {}, {}, 0
  for _ = 1, 1000 do truth[math.floor(rng:uniform() ^ 2 * p)] = rng:normal() end
  for i = 0, n - 1 do
    local row, response = {}, 0
    while #row < o.entries do
      local j = math.floor(rng:uniform() ^ 2 * p)
      if last[j] ~= i then last[j], row[#row + 1] = i, j end
    end
    table.sort(row)
    for _, j in ipairs(row) do
      local value = rng:normal()
      X.index[at], X.value[at], at = j, value, at + 1
      response = response + value * (truth[j] or 0)
    end
    X.start[i + 1] = at
    y.value[i] = response + 0.2 * rng:normal()
  end
  return X, y
end

local X, y = make_data()
local ratio = o.ratio

local function run(workers)
  return (epact.run({ workers = workers, staleness = 1 }, function(w)
    local C = require "epact.core".C
    w:barrier()
    local now, cpu = C.epact_now(), C.epact_thread_cpu()
    local model = epact.optim.lasso.fit(w, X, y, { lambda_ratio = ratio, intercept = false, standardise = false })
    local seconds, used = C.epact_now() - now, w:table("cpu", { rows = 1, cols = w.workers, staleness = 0 })
    used:inc(0, w.id, C.epact_thread_cpu() - cpu)
    w:barrier()
    local busiest = 0
    for id = 0, w.workers - 1 do busiest = math.max(busiest, used:cell(0, id)) end
    return { seconds = seconds, cpu = busiest, model = model }
  end))
end

print(("%d x %d, %d non-zeros"):format(X.rows, X.cols, X.count))
local best = {}
for _ = 1, o.runs do
  for workers = 1, 2 do
    local now = run(workers)
    local kept = best[workers] or { seconds = math.huge, cpu = math.huge }
    best[workers] = { model = now.model, seconds = math.min(kept.seconds, now.seconds),
      cpu = math.min(kept.cpu, now.cpu) }
  end
end
print(("%-8s %10s %10s %12s %10s %8s"):format("workers", "seconds", "CPU", "objective", "gap", "nonzeros"))
for workers = 1, 2 do
  local b = best[workers]
  print(("%-8d %10.3f %10.3f %12.6g %10.2g %8d"):format(workers, b.seconds, b.cpu, b.model.objective, b.model.gap,
    b.model.nonzeros))
end
print(("2 workers: %.2f times as fast by the clock, %.2f by CPU"):format(best[1].seconds / best[2].seconds,
  best[1].cpu / best[2].cpu))
