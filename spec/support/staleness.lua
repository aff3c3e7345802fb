--- The SSP rule as a property: every worker adds 1 to its own cell at each clock, and looks at all cells.
--
-- A read at clock c of a table with staleness s must give cell q at least c - s (every increment tagged <= c-s-1), and
-- the reader's own cell exactly c. That nobody is further ahead than s + 1 clocks follows, when all read at each clock.
local epact = require "epact"

local staleness = {}

-- Work that takes as long as `n` says, and that no compiler removes.
local function busy(rng, n)
  local sum = 0
  for _ = 1, rng:below(n) do sum = sum + rng:uniform() end
  return sum
end

-- One cell's reads: counted, and compared with the rule.
local function look(found, bound, clock, q, own, value)
  local behind = clock - value
  found.reads = found.reads + 1
  if behind > found.behind then found.behind = behind end
  local good = value <= clock + bound + 1
  if own then good = value == clock else good = good and behind <= bound end
  if not good or value < found.last[q] then -- nor does a copy go back
    found.broken = found.broken or ("clock %d, staleness %s: cell %d is %g, and was %g"):format(clock, bound, q, value,
      found.last[q])
  end
  found.last[q] = value
end

--- What a worker does. `o.tables` maps a name to table options (`staleness` in each); `clocks`; `rounds` of reads a
-- clock; `work`, the most random numbers drawn between reads (worker 0 draws four times as many); `claim`: the
-- staleness that is held against the reads, where it is not the table's.
-- @treturn table by table: `{ reads, behind (the most clocks a read was behind), broken (the first broken rule) }`
function staleness.probe(w, o)
  local rng, work = epact.rng(o.seed, w.id), w.id == 0 and o.work * 4 or o.work
  local tables, found = {}, {}
  for name, options in pairs(o.tables) do
    tables[name] = w:table(name, { rows = w.workers, cols = 2, sparse = options.sparse, type = options.type,
      sparse_updates = options.sparse_updates, staleness = options.staleness,
      push = options.push, changes = options.changes })
    found[name] = { reads = 0, behind = 0, last = {} }
    for q = 0, w.workers - 1 do found[name].last[q] = 0 end
  end
  for clock = 0, o.clocks - 1 do
    for _ = 1, o.rounds do
      for name, table in pairs(tables) do
        for q = 0, w.workers - 1 do
          look(found[name], o.claim or o.tables[name].staleness, clock, q, q == w.id, table:cell(q, 1))
        end
      end
    end
    busy(rng, work)
    for _, table in pairs(tables) do table:inc(w.id, 1, 1) end
    w:clock()
  end
  return found
end

--- Sums what the workers found; errors on the first broken rule.
function staleness.sum(results)
  local sum = {}
  for i = 0, #results do
    for name, found in pairs(results[i][1]) do
      if found.broken then error(("table '%s': %s"):format(name, found.broken), 0) end
      local all = sum[name] or { reads = 0, behind = 0 }
      sum[name] = { reads = all.reads + found.reads, behind = math.max(all.behind, found.behind) }
    end
  end
  return sum
end

return staleness
