--- Small pictures in text.
-- @module epact.plot

local plot = {}

local levels = { "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█" }

local function is_finite(x) return x - x == 0 end

--- A list of numbers as a line of bars, `width` at most (then each bar is a mean). What is not finite is a gap.
function plot.sparkline(values, width)
  local n = #values
  width = math.min(width or 60, n)
  if n == 0 then return "" end
  local means, low, high = {}, math.huge, -math.huge
  for i = 1, width do
    local from, to = math.floor((i - 1) * n / width) + 1, math.floor(i * n / width)
    local sum = 0
    for j = from, to do sum = sum + values[j] end
    means[i] = sum / (to - from + 1)
    if is_finite(means[i]) then low, high = math.min(low, means[i]), math.max(high, means[i]) end
  end
  local bars = {}
  for i, mean in ipairs(means) do
    local level = high > low and math.floor((mean - low) / (high - low) * (#levels - 1) + 0.5) or 0
    bars[i] = is_finite(mean) and levels[level + 1] or " "
  end
  return table.concat(bars)
end

return plot
