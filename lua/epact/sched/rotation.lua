--- Block-cyclic rotation: an order for models whose parameters lie in rows and columns, as matrix factorisation.
--
-- Rows and columns are cut into `blocks` parts. In stratum s part b of the rows meets part (b + s) mod blocks of the
-- columns: no two cells of a stratum share a row or a column, so that any number of workers may update them at the
-- same time with the result of a single one. An epoch is every stratum once, and so every cell, in a random order that
-- all who give the same seed agree on, without a message.
--
-- Source: Gemulla, Nijkamp, Haas, Sismanis 2011.
-- @module epact.sched.rotation
-- @usage
-- local order = epact.sched.rotation { blocks = w.workers, seed = w.seed }
-- for _ = 1, epochs * w.workers do
--   order:next()
--   update(w.id, order:block(w.id))  -- rows of part w.id, columns of this block
--   w:barrier()                      -- hands the block over
-- end

local options = require "epact.options"
local core = require "epact.core"
local rng = require "epact.rng"

local methods = {}
local class = { __index = methods }

--- Begins the next stratum.
-- @treturn number the stratum, 0 .. blocks - 1
-- @treturn number its epoch, from 0
function methods:next()
  local at = self.count % self.blocks
  if at == 0 then
    self.drawn = self.rng:state()
    for s = 1, self.blocks do self.strata[s] = s - 1 end
    self.rng:shuffle(self.strata)
  end
  self.count = self.count + 1
  self.stratum = self.strata[at + 1]
  return self.stratum, math.floor((self.count - 1) / self.blocks)
end

--- The block of columns that part `part` of the rows meets in this stratum.
function methods:block(part)
  if not self.stratum then core.fail "rotation:block: no stratum yet: call next first" end
  if part ~= part or part % 1 ~= 0 or part < 0 or part >= self.blocks then
    core.fail("rotation:block: part must be an integer in 0 .. %d, got %s", self.blocks - 1, options.show(part))
  end
  return (part + self.stratum) % self.blocks
end

--- Nothing: this order does not depend on what the updates did.
function methods:feed() end

--- Where the order is: a plain table, for `restore`.
function methods:state() return { blocks = self.blocks, count = self.count, drawn = self.drawn } end

--- Puts the order where it was at `state`.
function methods:restore(state)
  if type(state) ~= "table" or state.blocks ~= self.blocks then
    core.fail("rotation:restore: the state must be one of %d blocks", self.blocks)
  end
  self.rng:restore(state.drawn or self.rng:state())
  self.count = state.count
  local at = state.count % self.blocks
  if state.count == 0 then return self end
  self.count = state.count - (at == 0 and self.blocks or at) -- the epoch is drawn anew
  while self.count < state.count do self:next() end
  return self
end

function class:__tostring()
  return ("epact.sched.rotation <%d blocks, epoch %d, stratum %s>"):format(self.blocks,
    math.floor(math.max(0, self.count - 1) / self.blocks), tostring(self.stratum or "none"))
end

--- A rotation.
-- @function epact.sched.rotation
-- @tparam table given `blocks` (parts of the rows, and of the columns); `seed` (0) and `stream` (0), of the random
-- order
-- @treturn table with `next`, `block`, `feed`, `state`, `restore`
return function(given)
  local o = options.read("sched.rotation", given, {
    blocks = { "count", required = true }, seed = { "integer", 0 }, stream = { "integer", 0 },
  })
  return setmetatable({ blocks = o.blocks, rng = rng(o.seed, 0, o.stream), strata = {}, count = 0 }, class)
end
