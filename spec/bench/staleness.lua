--- What bounded staleness is for: four workers of which one at a time is three times as slow, and the objective they
-- reach over time, for BSP (staleness 0), SSP, SSP with pushes (ESSP) and Async.
-- `luajit spec/bench/staleness.lua [--svg FILE]`, about a minute and a half.
--
-- What is measured is waiting, so computing is emulated where that matters: each clock of a worker takes `pace`
-- seconds, of which the real kernel takes the first part and a timed wait the rest (two cores would otherwise make the
-- four workers stragglers of one another); the slow one takes three times as long. `random`: at each clock another
-- worker is the slow one, all draw the same. `fixed`: it is always worker 0. Then no consistency model can be faster
-- than worker 0 in the long run, since all must do as many clocks: SSP gains no more than its staleness in clocks, and
-- only Async (where the others finish a part earlier) looks faster until the next barrier.
-- `reached` is when the objective has come down to where BSP had made 99.9 % of its whole way; runs other than BSP's
-- may make a quarter more clocks. The lasso's objective falls by damped steps, and more staleness wants more damping.
-- Every worker is a process, so that reads are answered over the network and pushes are real.

package.path = "./lua/?.lua;./lua/?/init.lua;./spec/?.lua;" .. package.path
package.cpath = "./" .. (os.getenv "EPACT_BUILD" or "build") .. "/?.so;" .. package.cpath

local epact = require "epact"
local core = require "epact.core"
local curves = require "support.curves"

local o = epact.command.read {
  about = "Objective against seconds for several bounds of staleness, with a straggler.",
  { "svg", "string", "", "draws the curves into this file" },
  { "models", "string", "mf,lda,lasso", "of these" },
  { "pace", "positive", 0.002, "seconds a clock of a worker that is not slow" },
  { "child", "string", "", "(of the program itself)" },
}

local workers, slow = 4, 3

-- ---- one run, in each of four processes ----

-- A worker whose clocks take their time.
local function straggle(w, run)
  local ffi = require "ffi"
  ffi.cdef "int usleep(unsigned);"
  local C = require "epact.core".C
  local rng, began, counted = epact.rng(1), C.epact_now(), { compute = 0, clocks = 0, wait = 0 }
  local cpu, clock, open, barrier = C.epact_thread_cpu(), w.clock, w.table, w.barrier
  function w:clock()
    local turn = run.straggler == "fixed" and 0 or rng:below(w.workers)
    local pace = run.pace * (turn == w.id and run.slow or 1)
    local used = C.epact_thread_cpu() - cpu -- waiting for others is not computing
    if pace > used then ffi.C.usleep((pace - used) * 1e6) end
    counted.compute, counted.clocks = counted.compute + math.max(pace, used), counted.clocks + 1
    clock(self)
    cpu = C.epact_thread_cpu()
  end
  function w:barrier()
    barrier(self)
    cpu = C.epact_thread_cpu()
  end
  function w:table(name, given)
    if run.push and given.staleness == nil and not given.changes then given.push = true end
    return open(self, name, given)
  end
  return function()
    counted.wait = C.epact_now() - began - counted.compute
    return counted
  end
end

local models = {}

function models.mf(w, run, data)
  local model = require "epact.model.mf".fit(w, data, { factors = 8, clocks = 24, step = 0.05, decay = 1,
    lambda = 0.02, epochs = math.floor(8 * run.length), on_divergence = "keep" })
  local curve = {}
  for i, now in ipairs(model.history) do curve[i] = { now.seconds, now.train } end
  return curve
end

function models.lda(w, run, data)
  local model = require "epact.mcmc.lda".fit(w, data, { topics = 20, blocks = 12, every = 2,
    sweeps = math.floor(16 * run.length) })
  local curve = {}
  for i, now in ipairs(model.history) do curve[i] = { now.seconds, -now.likelihood } end
  return curve
end

function models.lasso(w, run, data)
  local model = require "epact.optim.lasso".fit(w, data[1], data[2], { lambda_ratio = 0.01, tolerance = 1e-14,
    every = 32, passes = 1, max_sweeps = math.floor(160 * run.length) })
  local curve = {}
  for i, now in ipairs(model.history) do curve[i] = { now.seconds, now.objective } end
  return curve
end

local load_data = {
  mf = function() return epact.data.ratings "examples/data/insteval.tr.txt.gz" end,
  lda = function()
    return (epact.data.corpus("examples/data/docword.sotu.txt.gz", "examples/data/vocab.sotu.txt")):slice(0, 48)
  end,
  lasso = function()
    local X, y = epact.data.libsvm "examples/data/breast-cancer.svm"
    return { X, y }
  end,
}

local tables = { mf = "mf.items", lda = "lda.counts", lasso = "lasso.residual" }

local function child()
  local run = assert(loadstring("return " .. o.child))()
  run.pace, run.slow = o.pace, slow
  local data, train = load_data[run.model](), models[run.model]
  local result, report = epact.run({ workers = 1, staleness = run.staleness, seed = 1 }, function(w)
    local finish = straggle(w, run)
    w:barrier()
    local curve = train(w, run, data)
    return { curve = curve, counted = finish() }
  end)
  local t = report.tables[tables[run.model]]
  local points = {}
  for i, point in ipairs(result.curve) do points[i] = ("{%.4f,%.12g}"):format(point[1], point[2]) end
  print(("result {compute=%.4f,wait=%.4f,mean=%.4f,variance=%.4f,reads=%d,curve={%s}}"):format(result.counted.compute,
    result.counted.wait, t.staleness_mean, t.staleness_variance, t.reads, table.concat(points, ",")))
end

if o.child ~= "" then
  child()
  os.exit(0)
end

-- ---- all runs ----

local children = require "support.children"

local function run_all(run)
  local list, folder = {}, os.tmpname()
  os.remove(folder)
  local words = { "luajit", "spec/bench/staleness.lua", "--pace", o.pace, "--child",
    ("{model=%q,staleness=%s,straggler=%q,push=%s,length=%s}"):format(run.model,
      run.staleness == math.huge and "math.huge" or run.staleness, run.straggler, tostring(run.push), run.length) }
  for rank = 0, workers - 1 do
    list[rank + 1] = children.start(words,
      { EPACT_RANK = rank, EPACT_SIZE = workers, EPACT_ROOT = "ipc://" .. folder })
  end
  local outlived = children.finish(list, 60)
  os.execute("rm -f " .. folder .. "*")
  if #outlived > 0 then error(("%s with staleness %s does not end"):format(run.model, run.staleness), 0) end
  local sum
  for _, each in ipairs(list) do
    local text = each.output:match "result (%b{})"
    if not text then error(each.errors, 0) end
    local one = loadstring("return " .. text)()
    if not sum then
      sum = one
    else
      sum.compute, sum.wait = sum.compute + one.compute, sum.wait + one.wait
      sum.mean, sum.variance = sum.mean + one.mean, sum.variance + one.variance
    end
  end
  sum.mean, sum.variance = sum.mean / workers, sum.variance / workers
  for name, value in pairs(run) do sum[name] = value end
  return sum
end

-- The seconds at which a curve comes down to `level`, between its points; nil when it does not.
local function reaches(curve, level)
  local before
  for _, point in ipairs(curve) do
    if point[2] <= level then
      if not before or before[2] <= point[2] then return point[1] end
      return before[1] + (point[1] - before[1]) * (before[2] - level) / (before[2] - point[2])
    end
    before = point
  end
end

local function name_of(run)
  if run.staleness == 0 then return "BSP" end
  if run.staleness == math.huge then return "Async" end
  return ("%s %d"):format(run.push and "ESSP" or "SSP", run.staleness)
end

-- `#`: computing, `.`: waiting, of all workers; as long as the longest.
local function bar(run, longest)
  local unit = 24 / longest
  local computing = math.floor(run.compute * unit + 0.5)
  return ("#"):rep(computing) .. ("."):rep(math.floor((run.compute + run.wait) * unit + 0.5) - computing)
end

local function print_group(group)
  local curve, longest = group[1].curve, 0
  local first, final = curve[1][2], curve[#curve][2]
  local goal = final + 0.001 * (first - final)
  for _, run in ipairs(group) do longest = math.max(longest, run.compute + run.wait) end
  print(("\n%s, %s straggler; to be reached: %.6g"):format(group[1].model, group[1].straggler, goal))
  print(("%-7s %9s %9s %12s %8s %9s %9s  %s"):format("", "reached", "ended", "at last", "stale", "variance", "waiting",
    "computing # and waiting ."))
  for _, run in ipairs(group) do
    local last, at = run.curve[#run.curve], reaches(run.curve, goal)
    local values = {}
    for i, point in ipairs(run.curve) do values[i] = point[2] end
    print(("%-7s %9s %7.2f s %12.6g %8.2f %9.2f %7.0f %%  %-24s %s"):format(name_of(run),
      at and ("%.2f s"):format(at) or "never", last[1], last[2], run.mean, run.variance,
      100 * run.wait / (run.compute + run.wait), bar(run, longest), epact.plot.sparkline(values, 16)))
  end
end

-- A group as a panel: objective against seconds.
local function panel_of(group)
  local drawn = {}
  for i, run in ipairs(group) do drawn[i] = { name = name_of(run), points = run.curve } end
  return { title = ("%s, %s straggler: objective against seconds"):format(group[1].model, group[1].straggler),
    unit = "s", curves = drawn }
end

local begin, panels = core.C.epact_now(), {}
for model in o.models:gmatch "%a+" do
  for _, straggler in ipairs { "random", "fixed" } do
    local group = {}
    for _, staleness in ipairs { 0, 1, 2, 4, 8, math.huge } do
      group[#group + 1] = run_all { model = model, staleness = staleness, straggler = straggler, push = false,
        length = staleness == 0 and 1 or 1.25 }
    end
    if model ~= "lda" then -- whose table is read as changes
      group[#group + 1] = run_all { model = model, staleness = 4, straggler = straggler, push = true, length = 1.25 }
    end
    print_group(group)
    panels[#panels + 1] = panel_of(group)
  end
end
if o.svg ~= "" then curves.draw(o.svg, panels) end
print(("\n%.0f s in all"):format(core.C.epact_now() - begin))
