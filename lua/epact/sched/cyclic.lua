--- Round robin: 0, 1, 2, ... and again.
-- @module epact.sched.cyclic
-- @usage local policy = epact.sched.cyclic { variables = X.cols }

local batch = require "epact.sched.batch"
local core = require "epact.core"
local options = require "epact.options"

local methods = {}
local class = { __index = methods }

--- Writes the next `k` variables (all, when there are fewer) to an array.
-- @treturn number how many
function methods:fill(id, k)
  local variables, at = self.variables, self.at
  k = math.min(k, variables)
  for i = 0, k - 1 do
    id[i] = at
    at = at + 1
    if at == variables then at = 0 end
  end
  self.at = at
  return k
end

--- The next `k` variables (all, when there are fewer).
-- @treturn table a list
function methods:next(k)
  self.ids:reserve(batch.size("cyclic:next", k, self.variables))
  return batch.list(self.ids.id, self:fill(self.ids.id, k))
end

--- Nothing: this order does not depend on what the updates did.
function methods:feed() end

--- Where the order is: a plain table, for `restore`.
function methods:state() return { variables = self.variables, at = self.at } end

--- Puts the order where it was at `state`.
function methods:restore(state)
  if type(state) ~= "table" or state.variables ~= self.variables then
    core.fail("cyclic:restore: the state must be one of %d variables", self.variables)
  end
  if options.argument("cyclic:restore", "state.at", "index", state.at) >= self.variables then
    core.fail("cyclic:restore: state.at must be below %d, got %d", self.variables, state.at)
  end
  self.at = state.at
  return self
end

function class:__tostring()
  return ("epact.sched.cyclic <%d variables, next %d>"):format(self.variables, self.at)
end

--- Round robin.
-- @function epact.sched.cyclic
-- @tparam table given `variables`, `first` (0: where it begins)
-- @treturn table with `next`, `fill`, `feed`, `state`, `restore`
return function(given)
  local o = options.read("sched.cyclic", given, { variables = { "count", required = true }, first = { "index", 0 } })
  if o.first >= o.variables then
    core.fail("sched.cyclic: option 'first' must be below %d variables, got %d", o.variables, o.first)
  end
  return setmetatable({ variables = o.variables, at = o.first, ids = batch.new() }, class)
end
