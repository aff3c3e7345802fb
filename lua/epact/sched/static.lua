--- A schedule that the user made: a list of batches, again and again.
-- @module epact.sched.static
-- @usage local policy = epact.sched.static { order = { { 0, 2, 4 }, { 1, 3 } } }

local batch = require "epact.sched.batch"
local core = require "epact.core"
local options = require "epact.options"

local methods = {}
local class = { __index = methods }

--- Writes the next batch to an array; one longer than `k` is given in pieces.
-- @treturn number how many
function methods:fill(id, k)
  local from = self.order[self.at]
  local count = math.min(k, #from - self.given)
  for i = 1, count do id[i - 1] = from[self.given + i] end
  self.given = self.given + count
  if self.given == #from then self.at, self.given = self.at % #self.order + 1, 0 end
  return count
end

--- The next batch; one longer than `k` is given in pieces.
-- @treturn table a list
function methods:next(k)
  self.ids:reserve(batch.size("static:next", k))
  return batch.list(self.ids.id, self:fill(self.ids.id, k))
end

--- Nothing: this order does not depend on what the updates did.
function methods:feed() end

--- Where the order is: a plain table, for `restore`.
function methods:state() return { batches = #self.order, at = self.at, given = self.given } end

--- Puts the order where it was at `state`.
function methods:restore(state)
  if type(state) ~= "table" or state.batches ~= #self.order then
    core.fail("static:restore: the state must be one of %d batches", #self.order)
  end
  local vars = self.order[options.argument("static:restore", "state.at", "count", state.at)]
  if options.argument("static:restore", "state.given", "index", state.given) >= (vars and #vars or 0) then
    core.fail("static:restore: there is no variable %d in batch %d", state.given, state.at)
  end
  self.at, self.given = state.at, state.given
  return self
end

function class:__tostring()
  return ("epact.sched.static <%d batches, next %d>"):format(#self.order, self.at)
end

-- The largest variable of the order + 1; an error where a batch is none.
local function variables_of(order)
  local most = 0
  for b, vars in ipairs(order) do
    if type(vars) ~= "table" or #vars == 0 then
      core.fail("sched.static: batch %d of the order must be a list of variables, got %s", b,
        type(vars) == "table" and "an empty one" or options.show(vars))
    end
    for _, j in ipairs(vars) do
      if type(j) == "number" then most = math.max(most, j + 1) end
    end
  end
  return math.max(1, most)
end

--- A fixed order.
-- @function epact.sched.static
-- @tparam table given `order`: a list of lists of variables; `variables` (default: as the order has)
-- @treturn table with `next`, `fill`, `feed`, `state`, `restore`
return function(given)
  local o = options.read("sched.static", given, { order = { "table", required = true }, variables = { "count" } })
  if #o.order == 0 then core.fail "sched.static: the order has no batch" end
  local variables = variables_of(o.order)
  local reader = batch.reader("sched.static", o.variables or variables)
  for b, vars in ipairs(o.order) do reader:take(vars, ("batch %d of the order"):format(b)) end
  return setmetatable({ variables = o.variables or variables, order = o.order, at = 1, given = 0, ids = batch.new() },
    class)
end
