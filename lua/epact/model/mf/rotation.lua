--- Matrix factorisation with order "rotation": distributed SGD (DSGD), model-parallel.
--
-- Users and items are renumbered at random and cut into blocks of about as many ratings. The users' rows stay with
-- their worker, the items' rows move: in stratum s of an epoch (`epact.sched.rotation`) part b of the users meets block
-- (b + s) mod blocks of the items. Cells of a stratum share no row, so that the factors are, bit for bit, those of one
-- worker that takes the same cells one after another.
--
-- In one process the items are plain memory (`w:shared`), and a barrier hands the blocks over: nothing is copied.
-- Between processes, and where snapshots are kept, they are a table whose cells are the bits of the floats (a sum of
-- floats would round), and of a block only the rows that have changed travel.
--
-- With `fugue` nobody waits at the end of a stratum for who is slower: who has made a step for each of its ratings says
-- so by a clock, and goes on with more steps for the same ratings, at most four times as many, until all have come as
-- far (Kumar et al. 2014). So an epoch takes as long as it did, and has more steps in it; how many depends on the time.
--
-- State: 12 bytes a rating and 4 (k + 1) bytes a row of the worker's users; 4 (k + 1) a row of all items, once a
-- process, or once a worker and in its table.
--
-- Sources: Gemulla, Nijkamp, Haas, Sismanis 2011; Kumar, Beutel, Ho, Xing 2014 (Fugue).
-- @module epact.model.mf.rotation

local bit = require "bit"
local ffi = require "ffi"
local core = require "epact.core"
local kernel = require "epact.kernel.mf"
local partition = require "epact.partition"
local rng = require "epact.rng"
local rotation = require "epact.sched.rotation"

local methods = {}
local class = { __index = methods }

local bits_of = ffi.typeof "int32_t *"
local float_bytes = ffi.sizeof "float"

--- Copies some of the items' rows from the table.
function methods:take(rows)
  local table, stride = self.table, self.factors.stride
  table:fetch(rows)
  for _, row in ipairs(rows) do
    ffi.copy(self.factors.item + row * stride, table:get(row), stride * float_bytes)
  end
end

--- Puts what has changed of them into the table: differences of bits, modulo 2^32.
function methods:give(rows)
  local table, stride, change = self.table, self.factors.stride, self.change
  local items = ffi.cast(bits_of, self.factors.item)
  for _, row in ipairs(rows) do
    local before, after, changed = table:get(row), items + row * stride, false
    for f = 0, stride - 1 do
      change[f] = bit.tobit(after[f] - before[f])
      changed = changed or change[f] ~= 0
    end
    if changed then table:inc_row(row, change) end
  end
end

--- The ratings of one cell: from, to.
function methods:cell(part)
  local grid = self.grid
  local cell = (part - grid.from) * grid.blocks + self.order:block(part)
  return tonumber(grid.start[cell]), tonumber(grid.start[cell + 1])
end

--- The steps of one cell.
function methods:learn(part)
  if self.table then self:take(self.rows[self.order:block(part)]) end
  self.fit:learned(self.factors:steps(self.grid.view, self:cell(part)))
end

-- Ratings between two looks at the clock of the slowest: some 50 microseconds.
local glance = 2000
-- More passes would fit the rows to the block at the expense of the others.
local most_passes = 4

--- More steps for the cells of the stratum, until every worker has made one for each of its ratings.
function methods:linger()
  local fit, at, view, part, done = self.fit, self.fit.at, self.grid.view, self.part, 0
  fit.w:clock()
  local function others_are_at_it()
    return not at.diverged and (fit.w:slowest() or math.huge) < fit.w:now() and not fit.w:stopped()
  end
  local from, to = self:cell(part)
  local passes = 0
  while passes < most_passes and others_are_at_it() do
    local last = math.min(to, from + glance)
    if not self.factors:steps(view, from, last) then fit:learned(nil) end
    done, from = done + last - from, last
    if from == to then
      part = part + 1
      if part == self.next_part then part, passes = self.part, passes + 1 end
      from, to = self:cell(part)
    end
  end
  at.extra = (at.extra or 0) + done
end

--- One epoch: stratum after stratum. The last one ends with the epoch.
function methods:pass()
  local fit, order = self.fit, self.order
  local at = fit.at
  for i = at.done + 1, order.blocks do
    order:next()
    for part = self.part, self.next_part - 1 do
      if not at.diverged then self:learn(part) end
    end
    if self.lingers then self:linger() end
    for part = self.part, self.table and not at.diverged and self.next_part - 1 or -1 do
      self:give(self.rows[order:block(part)])
    end
    at.done = i
    if i < order.blocks then fit.w:barrier() end
  end
end

--- At a barrier: the items' rows become exact, all of them or this worker's share.
function methods:settle(whole)
  if not self.table then return end
  if whole then self.factors:copy_items(self.table:all()) else self:take(self.share) end
end

function methods:begin(resumed)
  if resumed then return end
  if self.table and self.fit.w.id == 0 then self.table:inc_all(ffi.cast(bits_of, self.factors.item)) end
  self.fit.w:barrier()
end

function methods:state() return { order = self.order:state(), rows = self.factors:state() } end

function methods:take_state(state)
  self.order:restore(state.order)
  self.factors:take_state(state.rows)
end

local function range(first, last)
  local list = {}
  for i = first, last - 1 do list[#list + 1] = i end
  return list
end

--- Items that travel: their table, and the rows of each block.
function methods:open_table()
  local fit, items, stride = self.fit, self.items, self.factors.stride
  self.table = fit.w:table(fit.o.name .. ".items", { rows = items.size, cols = stride, type = "i32", staleness = 0 })
  self.change, self.rows = ffi.new("int32_t[?]", stride), {}
  for block = 0, items.blocks - 1 do self.rows[block] = range(kernel.span(items, block, block + 1)) end
  self.share = range(self.item_first, self.item_last)
end

-- Blocks of items that stay in a core's cache, of cells that are worth a barrier.
local function default_blocks(fit)
  local workers, ratings = fit.w.workers, fit.ratings
  local blocks, bytes = workers, ratings.items * (fit.o.factors + 1) * float_bytes
  while bytes / blocks > 2 ^ 18 and ratings.count / (2 * blocks) ^ 2 > 5000 do blocks = 2 * blocks end
  return blocks
end

local function refuse_fugue(w)
  if w.deterministic then core.fail "mf.fit: option 'fugue' makes steps as time allows: not in a deterministic job" end
  if w.snapshots then core.fail "mf.fit: option 'fugue' makes steps as time allows: it has no snapshots" end
end

--- @param fit what `epact.model.mf` knows of the job
return function(fit)
  local w, o, ratings, workers = fit.w, fit.o, fit.ratings, fit.w.workers
  if o.fugue then refuse_fugue(w) end
  local blocks = o.blocks or default_blocks(fit)
  local users = kernel.deal(fit.summary.user_count, ratings.users, blocks, rng(fit.seed, 0, 1))
  local items = kernel.deal(fit.summary.item_count, ratings.items, blocks, rng(fit.seed, 0, 2))
  local part, next_part = partition.equal(blocks, w.id, workers)
  local first, last = kernel.span(users, part, next_part)
  local self = setmetatable({ fit = fit, users = users, items = items, base = first, first = first, last = last,
    part = part, next_part = next_part, grid = kernel.grid(ratings, users, items, part, next_part),
    order = rotation { blocks = blocks, seed = fit.seed, stream = 3 }, shares = not fit.travels,
    lingers = o.fugue and workers > 1 }, class)
  self.item_first, self.item_last = fit:share(ratings.items)
  local cells = ratings.items * (o.factors + 1)
  self.factors = fit:new_factors { users = last - first,
    item = self.shares and w:shared(o.name .. ".items", cells, "f32") or nil }
  self.factors:draw(fit.seed, o.deviation, self, fit.travels)
  local item_first, item_last = self.item_first, self.item_last
  if fit.travels then
    self:open_table()
    item_first, item_last = 0, ratings.items
  end
  if fit.keeps then self.factors:keep(0, last - first, item_first, item_last - item_first) end
  return self
end
