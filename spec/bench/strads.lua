--- What a phase of schedule, push and pull costs when the three do next to nothing.
-- `luajit spec/bench/strads.lua [--phases N]`, half a minute. CPU is that of worker 0, which also schedules. The clock
-- counts, with more workers than cores, the switches between them, too. `limit`: the same workers doing nothing
-- but barriers on a table of one cell.

package.path = "./lua/?.lua;./lua/?/init.lua;./spec/?.lua;" .. package.path
package.cpath = "./" .. (os.getenv "EPACT_BUILD" or "build") .. "/?.so;" .. package.cpath

local epact = require "epact"

local o = epact.command.read {
  about = "Microseconds a phase of epact.strads.",
  { "phases", "count", 50000, "of each run" },
  { "batch", "count", 32, "variables of a phase" },
  { "variables", "count", 100000, "in all" },
}

local phases, batch, variables = o.phases, o.batch, o.variables

-- Runs `body` on worker 0, at the same time as on the others; microseconds of the clock and of its CPU for each phase.
local function measure(workers, body)
  return unpack((epact.run({ workers = workers }, function(w)
    local C = require "epact.core".C
    body(w, 100, "warm")
    local now, cpu = C.epact_now(), C.epact_thread_cpu()
    body(w, phases, "measured")
    return { (C.epact_now() - now) / phases * 1e6, (C.epact_thread_cpu() - cpu) / phases * 1e6 }
  end)))
end

local function barriers(w, count)
  local table = w:table("limit", { rows = 1, cols = 1, staleness = 0 })
  for _ = 1, count do
    table:inc(0, 0, 1)
    w:barrier()
    table:get(0)
  end
end

local function program(depth)
  return function(w, count, name)
    local at, partial = 0, require "ffi".new("double[?]", batch)
    epact.strads(w, { variables = variables, batch = batch, depth = depth, phases = count, name = name,
      schedule = function()
        local vars = {}
        for i = 1, batch do vars[i] = (at + i) % variables end
        at = at + batch
        return vars
      end,
      push = function() return partial end,
      pull = function() end })
  end
end

print(("%d variables a phase, %d phases"):format(batch, phases))
print(("%-8s %8s %14s %14s %14s"):format("workers", "depth", "clock, us", "CPU, us", "limit, us"))
for _, workers in ipairs { 1, 2, 4 } do
  local limit = measure(workers, barriers)
  for _, depth in ipairs { 0, 1, 4 } do
    local clock, cpu = measure(workers, program(depth))
    print(("%-8d %8d %14.1f %14.1f %14.1f"):format(workers, depth, clock, cpu, limit))
  end
end
