--- Progress of long work: one line that is rewritten at most ten times a second on a terminal, and a line now and
-- then where stderr is a file.
-- @module epact.progress

local core = require "epact.core"
local C = core.C

local progress = {}
local methods = {}
local class = { __index = methods }

--- A duration as people write it: `48 s`, `3:20`, `2:05:00`.
function progress.duration(seconds)
  seconds = math.max(0, math.floor(seconds + 0.5))
  if seconds < 100 then return seconds .. " s" end
  local minutes = math.floor(seconds / 60)
  if minutes < 60 then return ("%d:%02d"):format(minutes, seconds % 60) end
  return ("%d:%02d:%02d"):format(math.floor(minutes / 60), minutes % 60, seconds % 60)
end

--- A number with k, M or G.
function progress.amount(n)
  for _, unit in ipairs { { 1e9, "G" }, { 1e6, "M" }, { 1e3, "k" } } do
    if n >= unit[1] then return ("%.1f%s"):format(n / unit[1], unit[2]) end
  end
  return ("%.0f"):format(n)
end

--- A progress line for `total` steps.
-- @usage local line = progress.new(200); line:step(10, "log-likelihood -8.1"); line:done()
function progress.new(total)
  local terminal = C.epact_is_terminal(2) ~= 0
  return setmetatable({ total = total, begin = C.epact_now(), last = -1, terminal = terminal }, class)
end

--- `step` steps are done; `text`, if there is one, says more.
function methods:step(step, text)
  local now = C.epact_now()
  if now - self.last < (self.terminal and 0.1 or 5) and step < self.total then return end
  self.last = now
  local elapsed = now - self.begin
  local left = step > 0 and elapsed / step * (self.total - step) or 0
  local line = ("%d/%d  %s%s, %s left"):format(step, self.total, text and text .. "  " or "",
    progress.duration(elapsed), progress.duration(left))
  io.stderr:write(self.terminal and "\r\27[K" or "", line, self.terminal and "" or "\n")
  io.stderr:flush()
end

--- Ends the line.
function methods:done()
  if self.terminal then io.stderr:write "\n" end
end

return progress
