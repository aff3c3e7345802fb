--- Jobs that are stopped and go on from their snapshots: what they end with must be what they end with undisturbed.
local epact = require "epact"

local resume = {}

-- Runs `fit(w)`, which returns a string, with snapshots in `folder`; ends in an error at clock `stop`. The strings of
-- all workers, or nil and the clocks there were.
local function run(fit, folder, workers, durability, stop)
  local given = { workers = workers, seed = 5, deterministic = workers > 1, resume = "if any",
    snapshot = { every = 3, dir = folder, durability = durability } }
  local ok, result, report = pcall(epact.run, given, function(w)
    local clock, barrier = w.clock, w.barrier
    local function stopping(step)
      return function(self)
        step(self)
        if self:now() == stop then error "stopped" end
      end
    end
    w.clock, w.barrier = stopping(clock), stopping(barrier)
    local bits = fit(w)
    return { bits, w:now() }
  end)
  if not ok then
    if not result:find "stopped" then error(result, 0) end
    return nil
  end
  local all = {}
  for i = 0, workers - 1 do all[i + 1] = report.results[i][1][1] end
  return table.concat(all, " "), result[2]
end

--- What an undisturbed run of `fit` ends with, and one that is stopped at each `step`-th of its clocks.
-- @tparam function fit gets the worker, returns a string
-- @tparam number workers
-- @tparam ?string durability of `epact.run`'s snapshots
-- @tparam[opt=1] number step
-- @treturn string undisturbed
-- @treturn string disturbed
-- @treturn number how often it was stopped
function resume.both(fit, workers, durability, step)
  local folder = os.tmpname()
  os.remove(folder)
  local calm, clocks = run(fit, folder .. ".calm", workers, durability)
  local stops = 0
  for stop = 1, clocks, step or 1 do
    if not run(fit, folder, workers, durability, stop) then stops = stops + 1 end
  end
  local disturbed = run(fit, folder, workers, durability)
  os.execute("rm -rf " .. folder .. " " .. folder .. ".calm")
  return calm, disturbed, stops
end

return resume
