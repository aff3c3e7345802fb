--- Some of the blocks that variables were put into, at random: for block-greedy coordinate descent, which updates in
-- each of them the variable that moves most.
--
-- Source: Scherrer, Tewari, Halappanavar, Haglin 2012.
-- @module epact.sched.blocks
-- @usage
-- local policy = epact.sched.blocks { block = epact.sched.cluster(columns, { blocks = 8 }), seed = w.seed }
-- for _, b in ipairs(policy:next(4)) do
--   local member, count = policy:members(b)
--   update(best_of(member, count))
-- end

local batch = require "epact.sched.batch"
local core = require "epact.core"
local linear = require "epact.kernel.linear"
local options = require "epact.options"
local random = require "epact.sched.random"

local methods = {}
local class = { __index = methods }

--- Writes `k` blocks (all, when there are fewer) to an array.
-- @treturn number how many
function methods:fill(id, k) return self.random:fill(id, k) end

--- `k` distinct blocks (all, when there are fewer).
-- @treturn table a list
function methods:next(k)
  self.ids:reserve(batch.size("blocks:next", k, self.variables))
  return batch.list(self.ids.id, self:fill(self.ids.id, k))
end

--- The variables of a block, the smallest first. The array is the policy's own.
-- @treturn cdata `const uint32_t *`
-- @treturn number how many
function methods:members(block)
  options.argument("blocks:members", "block", "index", block)
  if block >= self.variables then
    core.fail("blocks:members: block must be below %d, got %d", self.variables, block)
  end
  local first = self.start[block]
  return self.member + first, self.start[block + 1] - first
end

--- Nothing: this order does not depend on what the updates did.
function methods:feed() end

--- Where the order is: a plain table, for `restore`.
function methods:state() return self.random:state() end

--- Puts the order where it was at `state`.
function methods:restore(state)
  if type(state) ~= "table" or state.variables ~= self.variables then
    core.fail("blocks:restore: the state must be one of %d blocks", self.variables)
  end
  self.random:restore(state)
  return self
end

function class:__tostring()
  return ("epact.sched.blocks <%d variables in %d blocks>"):format(self.count, self.variables)
end

-- `block[0 .. count - 1]` from what the user gave.
local function read_blocks(block, count)
  local read, blocks = linear.zeros(count, "uint32_t"), 0
  for j = 0, count - 1 do
    local b = block[j]
    if type(b) ~= "number" or b % 1 ~= 0 or b < 0 or b >= count then
      core.fail("sched.blocks: the block of variable %d must be an integer in 0 .. %d, got %s", j, count - 1,
        options.show(b))
    end
    read[j], blocks = b, math.max(blocks, b + 1)
  end
  return read, blocks
end

--- A policy by blocks. 4 bytes for a variable, and what `block` has.
-- @function epact.sched.blocks
-- @tparam table given `block`: the block, from 0, of each variable, from 0: an array; `variables` (how many; required
-- for an FFI array; default: of what `epact.sched.cluster` returns, or as a Lua table has); `seed` (0), `stream` (0)
-- @treturn table with `next`, `fill`, `members`, `feed`, `state`, `restore`; `variables`: the number of blocks, which
-- are what is scheduled
return function(given)
  local o = options.read("sched.blocks", given, {
    block = { "any", required = true }, variables = { "count" }, seed = { "integer", 0 }, stream = { "integer", 0 },
  })
  local array = o.block
  if type(array) ~= "table" and type(array) ~= "cdata" then
    core.fail("sched.blocks: option 'block' must be an array, got %s", options.show(array))
  end
  local count = o.variables or (type(array) == "table" and (array.variables or array[0] and #array + 1))
  if not count then
    core.fail "sched.blocks: option 'variables' is required where 'block' is not an array from 0 of known length"
  end
  local block, blocks = read_blocks(type(array) == "table" and array.block or array, count)
  local start, member = linear.zeros(blocks + 2), linear.zeros(count, "uint32_t")
  for j = 0, count - 1 do start[block[j] + 2] = start[block[j] + 2] + 1 end
  for b = 0, blocks - 1 do
    if start[b + 2] == 0 then core.fail("sched.blocks: block %d of %d has no variable", b, blocks) end
    start[b + 2] = start[b + 2] + start[b + 1]
  end
  for j = 0, count - 1 do
    local at = start[block[j] + 1]
    member[at], start[block[j] + 1] = j, at + 1
  end
  return setmetatable({
    variables = blocks, count = count, start = start, member = member, ids = batch.new(),
    random = random { variables = blocks, seed = o.seed, stream = o.stream },
  }, class)
end
