--- What a run has counted: seconds, and per table the reads, waits, bytes and the observed staleness.
-- @classmod epact.report

local report = {}

local class = { __index = {} }

local function add_table(sum, stats)
  for _, field in ipairs { "reads", "fetches", "increments", "bytes", "wait_seconds" } do
    sum[field] = (sum[field] or 0) + stats[field]
  end
  sum.staleness = sum.staleness or {}
  for bin, count in pairs(stats.staleness) do sum.staleness[bin] = (sum.staleness[bin] or 0) + count end
end

-- Moments of the staleness a read observed: the clocks its copy was behind the reader's clock.
local function moments(table)
  local n, sum, squares, max = 0, 0, 0, 0
  for bin, count in pairs(table.staleness) do
    n, sum, squares = n + count, sum + bin * count, squares + bin * bin * count
    if count > 0 and bin > max then max = bin end
  end
  table.staleness_max = max
  table.staleness_mean = n > 0 and sum / n or 0
  table.staleness_variance = n > 0 and math.max(0, squares / n - table.staleness_mean ^ 2) or 0
end

--- Merges what the workers of this process counted.
-- @tparam table outcomes by worker: `{ stats = ... }`
-- @tparam number seconds of the run
function report.new(outcomes, seconds)
  local self = { seconds = seconds, tables = {}, workers = 0 }
  for _, outcome in pairs(outcomes) do
    self.workers = self.workers + 1
    for name, stats in pairs(outcome.stats) do
      self.tables[name] = self.tables[name] or {}
      add_table(self.tables[name], stats)
    end
  end
  for _, table in pairs(self.tables) do moments(table) end
  return setmetatable(self, class)
end

local function amount(n)
  for _, unit in ipairs { { 1e9, "G" }, { 1e6, "M" }, { 1e3, "k" } } do
    if n >= unit[1] then return ("%.1f %s"):format(n / unit[1], unit[2]) end
  end
  return ("%d "):format(n)
end

function class:__tostring()
  local lines = { ("%d worker%s, %.2f s"):format(self.workers, self.workers == 1 and "" or "s", self.seconds),
    ("%-14s %10s %10s %10s %10s %8s  %s"):format("table", "reads", "fetched", "cells out", "bytes out", "waited",
      "staleness mean, max") }
  local names = {}
  for name in pairs(self.tables) do names[#names + 1] = name end
  table.sort(names)
  for _, name in ipairs(names) do
    local t = self.tables[name]
    lines[#lines + 1] = ("%-14s %10s %10s %10s %9sB %6.2f s  %.2f, %d"):format(name, amount(t.reads), amount(t.fetches),
      amount(t.increments), amount(t.bytes), t.wait_seconds, t.staleness_mean, t.staleness_max)
  end
  return table.concat(lines, "\n")
end

return report
