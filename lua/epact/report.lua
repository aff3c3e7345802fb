--- What a run has counted: seconds, and per table the reads, waits, bytes and the observed staleness.
-- @classmod epact.report

local report = {}

local class = { __index = {} }

local function add_table(sum, stats)
  for field, value in pairs(stats) do
    if type(value) == "number" then sum[field] = (sum[field] or 0) + value end
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
  local self = { seconds = seconds, tables = {}, workers = 0, wait_room = 0 }
  for _, outcome in pairs(outcomes) do
    self.workers = self.workers + 1
    self.wait_room = self.wait_room + (outcome.room or 0)
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

local function bytes(n) return amount(n) .. "B" end
local function seconds(n) return ("%.2f s"):format(n) end

-- A table's columns: title, field, how it is written, and whether it is left out where no table has counted any.
local columns = {
  { "reads", "reads", amount }, { "fetched", "fetches", amount }, { "hits", "hits", amount, true },
  { "evicted", "evictions", amount, true }, { "cells out", "increments", amount }, { "bytes out", "bytes", bytes },
  { "rows in", "bytes_rows", bytes, true }, { "pushes in", "bytes_pushed", bytes, true },
  { "changes in", "bytes_changes", bytes, true }, { "waited", "wait_seconds", seconds },
  { "of it net", "wait_net", seconds, true },
}

local function is_shown(self, column)
  if not column[4] then return true end
  for _, table in pairs(self.tables) do
    if (table[column[2]] or 0) > 0 then return true end
  end
  return false
end

function class:__tostring()
  local room = self.wait_room >= 0.005 and (", %.2f s waiting for batches to be applied"):format(self.wait_room) or ""
  local head, names, lines = { ("%-14s"):format "table" }, {}, {}
  for name in pairs(self.tables) do names[#names + 1] = name end
  table.sort(names)
  for i, name in ipairs(names) do lines[i] = { ("%-14s"):format(name) } end
  for _, column in ipairs(columns) do
    if is_shown(self, column) then
      head[#head + 1] = ("%10s"):format(column[1])
      for i, name in ipairs(names) do
        lines[i][#lines[i] + 1] = ("%10s"):format(column[3](self.tables[name][column[2]] or 0))
      end
    end
  end
  local text = { ("%d worker%s, %.2f s%s"):format(self.workers, self.workers == 1 and "" or "s", self.seconds, room),
    table.concat(head, " ") .. "  staleness mean, max" }
  for i, name in ipairs(names) do
    local t = self.tables[name]
    text[i + 2] = ("%s  %.2f, %d"):format(table.concat(lines[i], " "), t.staleness_mean, t.staleness_max)
  end
  return table.concat(text, "\n")
end

return report
