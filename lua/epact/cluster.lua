--- Which process of the job this is, from the environment: EPACT_RANK, EPACT_SIZE, EPACT_ROOT.
-- @module epact.cluster

local core = require "epact.core"

local cluster = {}

local function number(name)
  local text = os.getenv(name)
  if text == nil or text == "" then return nil end
  local value = tonumber(text)
  if not value or value % 1 ~= 0 or value < 0 then
    core.fail("%s must be an integer >= 0, got %q", name, text)
  end
  return value
end

--- Inside a worker a job is of this process alone: the other processes are busy with the job around it.
-- @treturn table `rank`, `size`, `root` (endpoint of rank 0; nil when size is 1)
function cluster.place()
  if package.loaded["epact.thread"] then return { rank = 0, size = 1 } end
  local rank, size, root = number "EPACT_RANK", number "EPACT_SIZE", os.getenv "EPACT_ROOT"
  if not size or size <= 1 then return { rank = 0, size = 1 } end
  if not rank then core.fail("EPACT_SIZE is %d but EPACT_RANK is not set", size) end
  if rank >= size then core.fail("EPACT_RANK is %d but EPACT_SIZE is %d", rank, size) end
  if not root or root == "" then
    core.fail("EPACT_SIZE is %d but EPACT_ROOT (the address of rank 0, as tcp://127.0.0.1:5555) is not set", size)
  end
  return { rank = rank, size = size, root = root }
end

return cluster
