--- The job that spec/bench/chaos.lua disturbs: every worker adds 1 to its own column in each row at each clock, reads
-- rows by the way, and at the end all of the table. What it finds wrong it says with the word WRONG.
-- Arguments: name=value, as `chaos.job_words` writes them.
local o = {}
for _, word in ipairs(arg) do
  local name, value = word:match "^(%w+)=(.*)$"
  o[name] = tonumber(value) or value
end
local epact = require "epact"
local core = require "epact.core"

io.stdout:setvbuf "line"
print(("process %d rank %s attempt %s"):format(tonumber(core.C.epact_process_id()), os.getenv "EPACT_RANK" or "0",
  os.getenv "EPACT_RESTART" or "0"))

local given = { workers = o.workers, staleness = o.staleness, lease = o.lease,
  timeout = os.getenv "EPACT_JOIN" and 8 or o.timeout, on_loss = o.loss,
  servers = o.servers, deterministic = o.deterministic == 1, elastic = o.elastic == 1 }
if o.dir then
  given.snapshot = { every = o.every, dir = o.dir, durability = o.durability }
  given.resume = "if any"
end

local cells = epact.run(given, function(w)
  local ffi = require "ffi"
  ffi.cdef "int usleep(unsigned);"
  local rng = epact.rng(o.seed, w.id)
  local sums = w:table("sums", { rows = o.rows, cols = o.cols, type = "i64", sparse = o.sparse == 1,
    push = o.push == 1 })
  local state_clock
  w:state(function() return { clock = w:now() } end, function(state) state_clock = state.clock end)
  -- Who had finished has the state of the clock before.
  if state_clock and state_clock ~= w:now() and state_clock <= o.clocks then
    error(("WRONG: the state of clock %d at clock %d"):format(state_clock, w:now()), 0)
  end
  local first = w:now()
  if w.index == 0 then print(("ready at clock %d as worker %d"):format(first, w.id)) end

  -- Cell (row, q) counts the clocks of worker q: no copy of it goes back, the own one is exact, and those of workers
  -- that are there are `staleness` behind at most.
  local seen, begin = {}, w.joined and first or 0
  for row = 0, o.rows - 1 do seen[row] = {} end
  local function look(row, clock)
    for q = 0, o.cols - 1 do
      local own, value = q == w.id, sums:cell(row, q)
      local bound = o.loss ~= "continue" and clock - o.staleness or 0
      local low = own and clock - begin or math.max(seen[row][q] or 0, bound)
      if value < low or value > (own and clock - begin or o.clocks) then
        error(("WRONG: row %d of worker %d is %d at clock %d of worker %d, at least %d was expected"):format(row, q,
          value, clock, w.id, low), 0)
      end
      seen[row][q] = value
    end
  end

  for clock = w:now(), o.clocks - 1 do
    for row = 0, o.rows - 1 do sums:inc(row, w.id, 1) end
    w:clock()
    look(rng:below(o.rows), clock + 1)
    ffi.C.usleep(rng:below(2 * o.pace)) -- what a worker computes between its clocks
  end
  w:barrier()
  if w.index ~= 0 then return end
  local list = {}
  for row = 0, o.rows - 1 do
    for q = 0, o.cols - 1 do list[#list + 1] = ("%d"):format(sums:cell(row, q)) end
  end
  return table.concat(list, " ")
end)
print("sums " .. cells)
