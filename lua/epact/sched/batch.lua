--- Batches of variables: between Lua lists and the arrays of the C library, and checked where a user made them.
-- @module epact.sched.batch

local ffi = require "ffi"
local core = require "epact.core"
local options = require "epact.options"
local C = core.C

local batch = {}

local function grow(self, count)
  if count <= self.room then return end
  self.room = math.max(64, 2 * count)
  self.id, self.delta = ffi.new("uint32_t[?]", self.room), ffi.new("double[?]", self.room)
end

--- Ids in an array that grows (12 bytes each).
-- @treturn table `id` (`uint32_t[room]`), `delta` (`double[room]`); `id` and `delta` change with `reserve`
function batch.new()
  local ids = { room = 0, reserve = grow }
  ids:reserve(1)
  return ids
end

--- The first `count` ids of an array as a list.
function batch.list(id, count)
  local list = {}
  for i = 1, count do list[i] = id[i - 1] end
  return list
end

local MOST = 2 ^ 26 -- of a batch

--- Raises unless a batch can have `k` variables.
-- @treturn number k, or how many there are when that is less
function batch.size(where, k, variables)
  if type(k) ~= "number" or k % 1 ~= 0 or k < 1 then
    core.fail("%s: the number of variables must be an integer >= 1, got %s", where, options.show(k))
  end
  if variables and k > variables then return variables end
  if k > MOST then core.fail("%s: a batch has at most %d variables, got %s", where, MOST, options.show(k)) end
  return k
end

--- Copies what was done into the arrays of `to`: `deltas[i]` is the step of variable `vars[i]`, i = 1 .. #vars.
-- @treturn number how many
function batch.fed(where, vars, deltas, to)
  if type(vars) ~= "table" then
    core.fail("%s: expected a list of variables and their steps, got %s", where, options.show(vars))
  end
  local count = #vars
  to:reserve(count)
  local id, delta = to.id, to.delta
  for i = 1, count do
    local j, step = vars[i], deltas[i]
    if type(j) ~= "number" or j % 1 ~= 0 or j < 0 or j >= 2 ^ 32 then
      core.fail("%s: variable %d of the list is %s, which is none", where, i, options.show(j))
    end
    if type(step) ~= "number" then
      core.fail("%s: the step of variable %d is %s, not a number", where, j, options.show(step))
    end
    id[i - 1], delta[i - 1] = j, step
  end
  return count
end

local reader = {}
local reader_class = { __index = reader }

--- Takes a list that a user made into the array `self.ids.id`.
-- @tparam table list distinct integers in 0 .. variables - 1
-- @tparam string what the batch, for the message
-- @treturn number how many
function reader:take(list, what)
  if type(list) ~= "table" then
    core.fail("%s: %s: expected a list of variables, got %s", self.where, what, options.show(list))
  end
  local ids, count = self.ids, #list
  ids:reserve(count)
  local id = ids.id
  for i = 1, count do
    local j = list[i]
    if type(j) ~= "number" or j % 1 ~= 0 or j < 0 or j >= self.variables then
      core.fail("%s: %s: %s is no variable of 0 .. %d", self.where, what, options.show(j), self.variables - 1)
    end
    id[i - 1] = j
  end
  core.check(C.epact_sampler_check(self.checker, count, id), self.where .. ": " .. what)
  return count
end

local function name_of(policy)
  local class = getmetatable(policy)
  return class and class.__tostring and tostring(policy) or tostring(policy.name or "the policy")
end

--- Draws from any policy, that of a user checked, into the array `self.ids.id`. A policy may have `fill(id, k)`, which
-- writes to an array and returns how many, and is trusted.
-- @treturn number how many; 0 only where all that a filter was offered depends on what is in flight
function reader:draw(policy, k)
  self.batch = self.batch + 1
  if policy.fill then
    self.ids:reserve(k)
    return policy:fill(self.ids.id, k)
  end
  local list = policy:next(k)
  if type(list) ~= "table" or #list == 0 then
    core.fail("%s: batch %d of %s: it returned nothing", self.where, self.batch, name_of(policy))
  end
  local count = self:take(list, ("batch %d of %s"):format(self.batch, name_of(policy)))
  if count > k then
    core.fail("%s: batch %d of %s: %d variables, %d were wanted", self.where, self.batch, name_of(policy), count, k)
  end
  return count
end

--- What checks the batches of a user, and draws from policies.
-- @tparam string where the function as the user calls it: begins messages
-- @tparam number variables ids are below
function batch.reader(where, variables)
  local out = ffi.new "epact_sampler *[1]"
  core.check(C.epact_sampler_uniform(variables, out), where)
  return setmetatable({
    where = where, variables = variables, checker = core.own(out[0]), ids = batch.new(), batch = 0,
  }, reader_class)
end

--- Raises unless `policy` can be asked for variables.
function batch.policy(where, policy)
  if type(policy) ~= "table" or type(policy.next) ~= "function" then
    core.fail("%s: option 'policy' must be a table with a function 'next', got %s", where, options.show(policy))
  end
  return policy
end

return batch
