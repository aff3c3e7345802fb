--- What snapshots cost: a clock with a cut and the clocks after it, the bytes a second to disk, a journal at 1 MB a
-- clock.
-- `luajit spec/bench/snapshot.lua [DIR]` (default: a folder in build)

package.path = "./lua/?.lua;./lua/?/init.lua;" .. package.path
package.cpath = "./" .. (os.getenv "EPACT_BUILD" or "build") .. "/?.so;" .. package.cpath

local epact = require "epact"
local folder = arg[1] or "build/bench-snapshots"

--- Clocks that change `changed` MB of a dense table of `size` MB; which took how long, and how long until the last was
-- durable.
local function measure(size, changed, clocks, snapshot)
  os.execute("rm -rf '" .. folder .. "'")
  local result = epact.run({ workers = 1, snapshot = snapshot }, function(w)
    local ffi, C = require "ffi", require "epact.core".C
    local cols = 2 ^ 17 -- a row of 1 MiB
    local t = w:table("t", { rows = size, cols = cols })
    local delta, seconds = ffi.new("double[?]", cols), {}
    for i = 0, cols - 1 do delta[i] = i end
    for row = 0, size - 1 do t:inc_row(row, delta) end
    w:clock()
    for clock = 2, clocks do
      local begin = C.epact_now()
      for row = 0, changed - 1 do t:inc_row((clock * changed + row) % size, delta) end
      w:clock()
      seconds[clock] = C.epact_now() - begin
    end
    local begin, written = C.epact_now(), nil
    if snapshot then
      while w:durable() < math.floor(clocks / snapshot.every) * snapshot.every do end
      written = C.epact_now() - begin
    end
    return { seconds, written }
  end)
  os.execute("rm -rf '" .. folder .. "'")
  return unpack(result)
end

local function median(list)
  table.sort(list)
  return list[math.ceil(#list / 2)]
end

-- Cuts come so far apart that a disk of 150 MB/s has written the last one. The tables are copied while the clocks after
-- a cut go on.
print(("%-38s %10s %12s %22s %12s"):format("", "a clock", "with a cut", "worst of 200 after it", "to disk"))
for _, size in ipairs { 64, 512 } do
  local every = 40 * size
  local seconds, written = measure(size, 1, 3 * every + 200, { every = every, dir = folder })
  local plain, cuts, after = {}, {}, {}
  for clock = 2, 3 * every + 200 do
    local since = clock % every
    local list = since == 0 and cuts or since <= 200 and clock > every and after or plain
    list[#list + 1] = seconds[clock]
  end
  print(("%-38s %7.2f ms %9.2f ms %12.2f (median %.2f) ms %7.0f MB/s"):format(
    ("dense table of %d MiB, 1 MiB a clock"):format(size), median(plain) * 1e3, math.max(unpack(cuts)) * 1e3,
    math.max(unpack(after)) * 1e3, median(after) * 1e3, size * 1.048576 / (written + 1e-9)))
end
for _, durability in ipairs { "snapshot", "journal" } do
  local seconds = measure(64, 1, 200, { every = 1000, dir = folder, durability = durability })
  local list, sum = {}, 0
  for clock = 2, 200 do
    list[#list + 1] = seconds[clock]
    sum = sum + seconds[clock]
  end
  print(("%-34s %9.2f ms %25s"):format(durability == "journal" and "1 MiB a clock with a journal" or "without",
    sum / 199 * 1e3, ("median %.2f ms"):format(median(list) * 1e3)))
end
