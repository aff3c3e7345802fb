--- Uniform batches of distinct variables. O(k) time and memory, whatever the number of variables.
-- @module epact.sched.random
-- @usage local policy = epact.sched.random { variables = X.cols, seed = w.seed }

local ffi = require "ffi"
local batch = require "epact.sched.batch"
local core = require "epact.core"
local options = require "epact.options"
local rng = require "epact.rng"
local C = core.C

local methods = {}
local class = { __index = methods }

--- Writes `k` distinct variables (all, when there are fewer) to an array.
-- @treturn number how many
function methods:fill(id, k)
  return core.check(tonumber(C.epact_sampler_draw(self.sampler, self.rng, k, id)), "random:next")
end

--- `k` distinct variables (all, when there are fewer).
-- @treturn table a list
function methods:next(k)
  self.ids:reserve(batch.size("random:next", k, self.variables))
  return batch.list(self.ids.id, self:fill(self.ids.id, k))
end

--- Nothing: this order does not depend on what the updates did.
function methods:feed() end

--- Where the order is: a plain table, for `restore`.
function methods:state() return { variables = self.variables, rng = self.rng:state() } end

--- Puts the order where it was at `state`.
function methods:restore(state)
  if type(state) ~= "table" or state.variables ~= self.variables then
    core.fail("random:restore: the state must be one of %d variables", self.variables)
  end
  self.rng:restore(state.rng)
  return self
end

function class:__tostring() return ("epact.sched.random <%d variables>"):format(self.variables) end

--- A uniform order.
-- @function epact.sched.random
-- @tparam table given `variables`; `seed` (0) and `stream` (0), of the draws
-- @treturn table with `next`, `fill`, `feed`, `state`, `restore`
return function(given)
  local o = options.read("sched.random", given, {
    variables = { "count", required = true }, seed = { "integer", 0 }, stream = { "integer", 0 },
  })
  local out = ffi.new "epact_sampler *[1]"
  core.check(C.epact_sampler_uniform(o.variables, out), "sched.random")
  return setmetatable({
    variables = o.variables, sampler = core.own(out[0]), rng = rng(o.seed, 0, o.stream), ids = batch.new(),
  }, class)
end
