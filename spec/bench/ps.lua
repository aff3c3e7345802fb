--- The parameter server inside one process: calls of the inner loop, and publishing beside memcpy.
-- `luajit spec/bench/ps.lua`

package.path = "./lua/?.lua;./lua/?/init.lua;" .. package.path
package.cpath = "./" .. (os.getenv "EPACT_BUILD" or "build") .. "/?.so;" .. package.cpath

local epact = require "epact"

local function print_row(...) print(("%-46s %12s   %s"):format(...)) end

local rows = epact.run({ workers = 1 }, function(w)
  local ffi = require "ffi"
  local C = require("epact.core").C
  local rows = {}
  local function best(repeats, f)
    local least = math.huge
    for _ = 1, repeats do
      local begin = C.epact_thread_cpu()
      f()
      least = math.min(least, C.epact_thread_cpu() - begin)
    end
    return least
  end
  local function calls(name, limit, n, f)
    rows[#rows + 1] = { name, ("%.1f ns"):format(best(7, function() f(n) end) / n * 1e9), limit }
  end

  local n = 2e6
  local dense = w:table("dense", { rows = 1000, cols = 64 })
  local any = w:table("any", { cols = 64 })
  local sparse = w:table("sparse", { rows = 100000, cols = 1000, sparse = true })
  dense:fetch()
  for i = 0, 999 do any:get(i) end

  calls("inc of a cell, row cached", "target < 10 ns", n, function(m)
    for i = 0, m - 1 do dense:inc(i % 1000, i % 64, 1) end
  end)
  calls("inc of a cell, table of any ids (hashed)", "", n, function(m)
    for i = 0, m - 1 do any:inc(i % 1000, i % 64, 1) end
  end)
  calls("inc of a cell, sparse table, and its publishing", "", n, function(m)
    for i = 0, m - 1 do sparse:inc(i % 1000, i % 64, 1) end
    w:clock()
  end)
  dense:fetch()
  calls("get of a cached row", "target < 20 ns", n, function(m)
    local sum = 0
    for i = 0, m - 1 do sum = sum + dense:get(i % 1000)[0] end
    assert(sum == sum)
  end)
  local words, counts = ffi.new("uint32_t[?]", n), ffi.new("uint32_t[?]", n)
  local ones = ffi.new("double[?]", n)
  local rng = epact.rng(1)
  for i = 0, n - 1 do words[i], counts[i], ones[i] = rng:below(20000), rng:below(1000), 1 end
  local log = w:table("log", { rows = 20000, cols = 1000, sparse_updates = true })
  calls("inc_many, random cells, publishing included", "", n, function(m)
    log:inc_many(m, words, counts, ones)
    w:clock()
  end)

  for _, megabytes in ipairs { 0.25, 4, 64 } do
    local cols = megabytes * 2 ^ 20 / 8
    local big = w:table("big" .. megabytes, { rows = 1, cols = cols })
    local delta, copy = ffi.new("double[?]", cols), ffi.new("double[?]", cols)
    for i = 0, cols - 1 do delta[i] = 1 end
    big:inc_row(0, delta)
    w:clock()
    local repeats = math.max(3, math.floor(256 / megabytes / 8))
    local memcpy = best(9, function() for _ = 1, repeats do ffi.copy(copy, delta, cols * 8) end end) / repeats
    local publish = best(9, function()
      for _ = 1, repeats do
        big:inc(0, 0, 1)
        w:clock()
      end
    end) / repeats
    local fetch = best(9, function()
      for _ = 1, repeats do
        big:inc(0, 0, 1) -- else the row is known to be unchanged, and not copied
        w:clock()
        big:get(0)
      end
    end) / repeats - publish
    local function bandwidth(seconds) return ("%.1f GB/s"):format(megabytes * 2 ^ 20 / seconds / 1e9) end
    rows[#rows + 1] = { ("publish a dense row of %g MiB"):format(megabytes), bandwidth(publish),
      ("memcpy of it %s (%.0f %%)"):format(bandwidth(memcpy), 100 * memcpy / publish) }
    rows[#rows + 1] = { ("fetch a dense row of %g MiB"):format(megabytes), bandwidth(fetch),
      ("memcpy of it %s (%.0f %%)"):format(bandwidth(memcpy), 100 * memcpy / fetch) }
  end
  return rows
end)
for _, row in ipairs(rows) do print_row(unpack(row)) end
