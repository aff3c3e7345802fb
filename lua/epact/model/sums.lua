--- Exact sums over all workers, once a clock: for algorithms that are the same on several workers as on one.
--
-- A table only ever adds, so two of them take turns: while one collects, worker 0 takes from the other what it holds,
-- which leaves zeros. Two barriers a sum: after the first each has read the same numbers, which nobody changes before
-- the second. With one worker nothing is sent. Costs two tables of each member's shape, at the server and in the copies
-- of the workers.
-- @module epact.model.sums

local ffi = require "ffi"
local linear = require "epact.kernel.linear"

local methods = {}
local class = { __index = methods }

local element = { f32 = "float", f64 = "double" }

--- Whether this worker's numbers of the sum under way are in the tables: in a resumed job they may be, and are then not
-- to be computed again.
function methods:given() return self.at.phase > 0 end

--- Adds this worker's numbers to the others'; every worker calls it equally often.
-- @tparam table own by member: an array of rows x cols of its type
-- @treturn table by member: pointers to the sums, the same for all workers, which are good until the next call
function methods:of(own)
  if not self.tables then return own end
  local at = self.at
  local now, last = self.tables[at.turn], self.tables[1 - at.turn]
  if not self:given() then
    for i, member in ipairs(self.members) do
      now[i]:inc_all(own[member.name])
      if self.w.id == 0 and at.used then last[i]:inc_all(member.taken) end
    end
  end
  if at.phase == 0 then
    at.phase = 1 -- said before: the barrier may save the state
    self.w:barrier()
  end
  local sums = {}
  for i, member in ipairs(self.members) do
    local view = now[i]:all()
    sums[member.name] = view
    if self.w.id == 0 then
      for e = 0, member.count - 1 do member.taken[e] = -view[e] end
    end
  end
  at.phase = 2
  self.w:barrier() -- in a job that is resumed behind it as well: what was read then must not change while others read
  at.turn, at.used, at.phase = 1 - at.turn, true, 0
  return sums
end

--- Where the sums are, for `restore` in a job that is resumed with their tables.
function methods:state() return self.at end

--- Puts back what `state` returned.
function methods:restore(state) self.at = state end

--- Sums of this shape.
-- @param w the worker
-- @tparam string name of the tables
-- @tparam table shapes by member: `{ rows, cols, "f32" or "f64" }`
local function new(w, name, shapes)
  local self = setmetatable({ w = w, at = { turn = 0, phase = 0, used = false }, members = {} }, class)
  if w.workers == 1 then return self end
  self.tables = { [0] = {}, {} }
  for member, shape in pairs(shapes) do
    local count = shape[1] * shape[2]
    self.members[#self.members + 1] = { name = member, count = count, shape = shape,
      taken = w.id == 0 and linear.zeros(count, element[shape[3]]) or nil }
  end
  table.sort(self.members, function(a, b) return a.name < b.name end) -- all workers: the same order
  for i, member in ipairs(self.members) do
    for turn = 0, 1 do
      local rows, cols, type = unpack(member.shape)
      self.tables[turn][i] = w:table(("%s.%s.%d"):format(name, member.name, turn),
        { rows = rows, cols = cols, type = type, staleness = 0 })
    end
  end
  return self
end

--- The rows of all workers, of which each has its own.
-- @param w the worker
-- @tparam string name of the table
-- @tparam table shape `{ rows (of all workers), cols, "f32" or "f64" }`
-- @tparam table own `{ first, count, pointer }`: this worker's first row, how many it has, and their numbers
-- @tparam table at the worker's state, whose `gathered` says whether its rows are in the table
-- @treturn cdata rows x cols numbers
local function gather(w, name, shape, own, at)
  local rows, cols, type = unpack(shape)
  local first, count, pointer = unpack(own)
  if w.workers == 1 then return pointer end
  local all = w:table(name, { rows = rows, cols = cols, type = type, staleness = 0 })
  if not at.gathered then
    for i = 0, count - 1 do all:inc_row(first + i, ffi.cast("const " .. element[type] .. " *", pointer) + i * cols) end
    at.gathered = true
    w:barrier()
  end
  return all:all()
end

return { new = new, gather = gather }
