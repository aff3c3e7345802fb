--- Filters of increments: what publishing costs with each, what it saves, and how far training gets with it.
-- `luajit spec/bench/filters.lua [EPOCHS]`

package.path = "./lua/?.lua;./lua/?/init.lua;" .. package.path
package.cpath = "./" .. (os.getenv "EPACT_BUILD" or "build") .. "/?.so;" .. package.cpath

local epact = require "epact"
local mf = require "epact.model.mf"

-- A dense row of f32 and f64 through clock(): sealing, and applying it in the shard of the same process.
local rows = epact.run({ workers = 1, staleness = 4 }, function(w)
  local ffi = require "ffi"
  local C = require("epact.core").C
  local rows, megabytes = {}, 4
  local order = { "none", "zero", "f32", "bf16", "f16", "significance" }
  local filters = { none = {}, zero = { zero = true }, significance = { significance = 1e-9 } }
  for _, precision in ipairs { "f32", "bf16", "f16" } do filters[precision] = { precision = precision } end
  for _, kind in ipairs { "f32", "f64" } do
    local size = kind == "f32" and 4 or 8
    local cols = megabytes * 2 ^ 20 / size
    local delta = ffi.new(kind == "f32" and "float[?]" or "double[?]", cols)
    for i = 0, cols - 1 do delta[i] = 1 + i / cols end
    for _, name in ipairs(order) do
      if name ~= kind then
        local t = w:table(kind .. name, { rows = 1, cols = cols, type = kind, filter = filters[name] })
        t:get(0)
        local least = math.huge
        for _ = 1, 30 do
          t:inc_row(0, delta)
          local begin = C.epact_thread_cpu()
          w:clock()
          least = math.min(least, C.epact_thread_cpu() - begin)
        end
        rows[#rows + 1] = ("publish a row of %d MiB %s, %-14s %6.1f GB/s of it, %4.2f bytes a cell"):format(megabytes,
          kind, name, megabytes * 2 ^ 20 / least / 1e9, t:stats().bytes / 30 / cols)
      end
    end
  end
  return rows
end)
for _, row in ipairs(rows) do print(row) end

-- The same training with each: bytes a clock, and when the error gets below that of the unfiltered run less 0.1 %.
local ratings = epact.data.ratings "examples/data/insteval.tr.txt.gz"
local test = epact.data.ratings("examples/data/insteval.te.txt.gz", { users = ratings.users, items = ratings.items })
local epochs = tonumber(arg and arg[1]) or 20

local function train(name, filter)
  local history, report = epact.run({ workers = 2, staleness = 4, seed = 1 }, function(w)
    return mf.fit(w, ratings, { epochs = epochs, test = test, filter = filter }).history
  end)
  local items = report.tables["mf.items"]
  return { name = name, history = history, waited = items.wait_seconds, bytes = items.bytes / (2 * epochs * 17) }
end

local runs = { train("none", nil), train("zero", { zero = true }), train("f16", { precision = "f16" }),
  train("bf16", { precision = "bf16" }), train("bf16, zero", { precision = "bf16", zero = true }),
  train("1 %", { zero = true, significance = 0.01 }), train("5 %", { zero = true, significance = 0.05 }),
  train("5 %, bf16", { zero = true, significance = 0.05, precision = "bf16" }) }
local target = runs[1].history[epochs].test * 1.001
print(("\n%-12s %14s %8s %10s %10s %16s"):format("mf", "bytes a clock", "of it", "test RMSE", "s in all", "s to " ..
  ("%.4f"):format(target)))
for _, run in ipairs(runs) do
  local reached
  for _, now in ipairs(run.history) do reached = reached or now.test <= target and now.seconds or nil end
  local last = run.history[epochs]
  print(("%-12s %14.0f %7.0f%% %10.4f %10.2f %16s"):format(run.name, run.bytes, 100 * run.bytes / runs[1].bytes,
    last.test, last.seconds, reached and ("%.2f"):format(reached) or "not"))
end
