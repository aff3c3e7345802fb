--- Hogwild! on a large grid: steps a second with 1 and 2 threads, and what they reach of the exact smallest cut.
--
--   luajit spec/bench/hogwild.lua [side of the grid (1000)] [most threads (2)] [rounds (3)]
--
-- The grid is a noisy picture: side x side pixels, edges of weight 1 between neighbours, one from each pixel to the
-- label it looks like. A round runs every number of threads once, so that what else the machine does hits all alike;
-- the best epoch of its steps counts, and of `fit` (steps, projection, objective, barriers) the best round.
local build = os.getenv "EPACT_BUILD" or "build"
package.path = "./lua/?.lua;./lua/?/init.lua;" .. package.path
package.cpath = build .. "/?.so;" .. package.cpath

local epact = require "epact"
local core = require "epact.core"
local graph_cut = require "epact.model.graph_cut"
local kernel = require "epact.kernel.graph_cut"
local linear = require "epact.kernel.linear"
local sparsity = require "epact.optim.sparsity"
local side, threads, rounds = tonumber(arg[1]) or 1000, tonumber(arg[2]) or 2, tonumber(arg[3]) or 3
local epochs = 15

local function noisy_disc()
  local pixels, stream, at = side * side, epact.rng(1), 0
  local edges = epact.data.new("edges", pixels + 2, 2 * side * (side - 1) + pixels, 1)
  local function add(u, v, weight)
    edges.source[at], edges.target[at], edges.weight[at], at = u, v, weight, at + 1
  end
  for i = 0, side - 1 do
    for j = 0, side - 1 do
      local v = i * side + j
      if j + 1 < side then add(v, v + 1, 1) end
      if i + 1 < side then add(v, v + side, 1) end
      local inside = (i - side / 2) ^ 2 + (j - side / 2) ^ 2 < (side / 3) ^ 2
      local grey = (inside and 1 or -1) + 1.5 * stream:normal()
      add(v, grey > 0 and pixels + 1 or pixels, 2 * math.abs(grey) / 1.5 ^ 2)
    end
  end
  return edges, { [pixels] = 0, [pixels + 1] = 1 }
end

local edges, fixed = noisy_disc()
print(tostring(edges))
print(tostring(sparsity.statistics(edges)))

-- The kernel alone, CPU time of one thread.
local function bench_kernel(labels)
  local held = { [edges.vertices - 2] = 0, [edges.vertices - 1] = 1 }
  for label = 2, labels - 1 do held[label] = label end
  local problem = kernel.new("bench", edges, held, labels)
  local x, best = linear.zeros(edges.vertices * labels, "float"), math.huge
  problem:begin(0, edges.vertices, x)
  local count = problem:deal(1, 0, 1)
  for epoch = 0, 9 do
    local begin = core.C.epact_thread_cpu()
    problem:steps(0, count, 0.9 ^ epoch, x)
    best = math.min(best, core.C.epact_thread_cpu() - begin)
  end
  print(("kernel, %d labels: %6.1f M edges/s of CPU time, %.1f ns an edge"):format(labels, count / best / 1e6,
    best / count * 1e9))
end
for _, labels in ipairs { 2, 3, 8 } do bench_kernel(labels) end

-- The steps of `workers` threads on the same rows, epoch by epoch: seconds between barriers, and the CPU seconds of the
-- thread that took most, which other work of the machine does not stretch.
local function bench_threads(workers)
  local _, report = epact.run({ workers = workers, seed = 1 }, function(w)
    local problem = kernel.new("bench", edges, fixed, 2)
    local x, wall, cpu = w:shared("x", 2 * edges.vertices, "f32"), {}, {}
    if w.id == 0 then problem:begin(0, edges.vertices, x) end
    local count = problem:deal(w.seed, w.id, w.workers)
    for epoch = 1, epochs do
      w:barrier()
      local begin, used = core.C.epact_now(), core.C.epact_thread_cpu()
      problem:steps(0, count, 0.9 ^ (epoch - 1), x)
      cpu[epoch] = core.C.epact_thread_cpu() - used
      w:barrier()
      wall[epoch] = core.C.epact_now() - begin
    end
    return { wall = wall, cpu = cpu }
  end)
  local wall, cpu = math.huge, math.huge
  for epoch = 1, epochs do
    local most = 0
    for id = 0, workers - 1 do most = math.max(most, report.results[id][1].cpu[epoch]) end
    wall, cpu = math.min(wall, report.results[0][1].wall[epoch]), math.min(cpu, most)
  end
  return wall, cpu
end

local wall, cpu, whole, objective = {}, {}, {}, {}
local function keep(best, workers, seconds) best[workers] = math.min(best[workers] or math.huge, seconds) end
for _ = 1, rounds do
  for workers = 1, threads do
    local steps_wall, steps_cpu = bench_threads(workers)
    keep(wall, workers, steps_wall)
    keep(cpu, workers, steps_cpu)
    local model = epact.run({ workers = workers, seed = 1 }, function(w)
      return graph_cut.fit(w, edges, { fixed = fixed, epochs = epochs, tolerance = 0 })
    end)
    keep(whole, workers, model.history[epochs].seconds / epochs)
    objective[workers] = model.objective
  end
end
print "\nthreads   steps: M edges/s  speed-up   by CPU time  speed-up   fit: M edges/s  speed-up   objective"
for workers = 1, threads do
  local function rate(best)
    return ("%14.1f  %7.2fx"):format(edges.count / best[workers] / 1e6, best[1] / best[workers])
  end
  print(("%7d   %s%s%s   %9.6g"):format(workers, rate(wall), rate(cpu), rate(whole), objective[workers]))
end
