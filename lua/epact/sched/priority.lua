--- Variables that move come first: p(j) in proportion to |delta_j|^power + eta, delta_j being the last step of j.
--
-- Variables of which no step was told yet (`feed`) come before all that were: the first sweep is one of everything.
-- From then on eta keeps alive those whose last step was 0. Without the option it is 0.01 of the largest
-- |delta|^power of the first sweep, but so small that at least half of the draws follow the steps: with 10^7 variables
-- that do not move and a hundred that do, any constant would drown these.
--
-- A batch comes in the order of the weights, the largest first. 9.2 bytes for a variable; O(log variables) for each
-- one drawn or told.
--
-- Source: Lee, Kim, Zheng, Ho, Gibson, Xing 2014 (STRADS).
-- @module epact.sched.priority
-- @usage
-- local policy = epact.sched.priority { variables = X.cols, seed = w.seed }
-- local vars = policy:next(64)
-- policy:feed(vars, update(vars))

local ffi = require "ffi"
local batch = require "epact.sched.batch"
local core = require "epact.core"
local options = require "epact.options"
local rng = require "epact.rng"
local C = core.C

local methods = {}
local class = { __index = methods }

--- What filters know by it: a batch is in the order of its weights, and what is not taken of it is drawn again.
methods.ranked = true

--- Writes `k` distinct variables (all, when there are fewer) to an array.
-- @treturn number how many
function methods:fill(id, k)
  return core.check(tonumber(C.epact_sampler_draw(self.sampler, self.rng, k, id)), "priority:next")
end

--- `k` distinct variables (all, when there are fewer), the largest weight first.
-- @treturn table a list
function methods:next(k)
  self.ids:reserve(batch.size("priority:next", k, self.variables))
  return batch.list(self.ids.id, self:fill(self.ids.id, k))
end

--- The steps that were made: `deltas[i]` is that of variable `vars[i]`, i = 1 .. #vars.
function methods:feed(vars, deltas)
  local ids = self.ids
  local count = batch.fed("priority:feed", vars, deltas, ids)
  core.check(C.epact_sampler_feed(self.sampler, count, ids.id, ids.delta), "priority:feed")
end

--- The weight of variable `j`, without eta; 1e200 for one of which nothing was told.
function methods:weight(j)
  options.argument("priority:weight", "j", "index", j)
  if j >= self.variables then core.fail("priority:weight: j must be below %d, got %d", self.variables, j) end
  return C.epact_sampler_weights(self.sampler)[j]
end

--- eta as the next draw has it.
function methods:floor() return C.epact_sampler_look(self.sampler).eta end

--- The sum of |delta|^power.
function methods:total() return C.epact_sampler_look(self.sampler).total end

--- How many variables nothing was told of yet.
function methods:fresh() return tonumber(C.epact_sampler_look(self.sampler).fresh) end

--- Bytes of the weights and their sums.
function methods:bytes() return tonumber(C.epact_sampler_look(self.sampler).bytes) end

--- What the draws depend on: a plain table, for `restore`; 8 bytes for a variable.
function methods:state()
  local bytes = self.variables * ffi.sizeof "double"
  return {
    variables = self.variables, rng = self.rng:state(), largest = C.epact_sampler_look(self.sampler).largest,
    weights = ffi.string(C.epact_sampler_weights(self.sampler), bytes),
  }
end

--- Puts the policy where it was at `state`.
function methods:restore(state)
  if type(state) ~= "table" or state.variables ~= self.variables then
    core.fail("priority:restore: the state must be one of %d variables", self.variables)
  end
  if type(state.weights) ~= "string" or #state.weights ~= self.variables * ffi.sizeof "double" then
    core.fail("priority:restore: the weights are not those of %d variables", self.variables)
  end
  core.check(C.epact_sampler_restore(self.sampler, ffi.cast("const double *", state.weights),
    tonumber(state.largest) or -1), "priority:restore")
  self.rng:restore(state.rng)
  return self
end

function class:__tostring()
  return ("epact.sched.priority <%d variables, %d fresh, eta %.3g>"):format(self.variables, self:fresh(), self:floor())
end

--- A policy by priorities.
-- @function epact.sched.priority
-- @tparam table given `variables`; `power` (1; 2 follows the decrease of a quadratic objective), `eta` (a number;
-- see above), `seed` (0) and `stream` (0), of the draws
-- @treturn table with `next`, `fill`, `feed`, `weight`, `floor`, `total`, `fresh`, `bytes`, `state`, `restore`
return function(given)
  local o = options.read("sched.priority", given, {
    variables = { "count", required = true }, power = { "positive", 1 }, eta = { "non_negative" },
    seed = { "integer", 0 }, stream = { "integer", 0 },
  })
  local out = ffi.new "epact_sampler *[1]"
  core.check(C.epact_sampler_new(o.variables, o.power, o.eta or -1, out), "sched.priority")
  return setmetatable({
    variables = o.variables, sampler = core.own(out[0]), rng = rng(o.seed, 0, o.stream), ids = batch.new(),
  }, class)
end
