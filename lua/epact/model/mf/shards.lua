--- Matrix factorisation with order "shards": data-parallel, through a table.
--
-- The users are dealt to the workers: a worker keeps their rows (p_u, b_u) to itself. The items' rows (q_i, c_i) are a
-- table. At each clock a worker copies its view of them, at most `staleness` clocks old, makes a step for each rating
-- of a slice of its users' ratings, and publishes by how much its copy of the items has changed.
--
-- State: 12 bytes a rating of the worker's users and 4 (k + 1) bytes a row of its users and of all items.
-- @module epact.model.mf.shards

local core = require "epact.core"
local kernel = require "epact.kernel.mf"
local partition = require "epact.partition"

local methods = {}
local class = { __index = methods }

--- One clock: the steps of the ratings [from, to), on a copy of the items.
-- @treturn ?number the sum of squared errors; nil when the factors have left the finite numbers
function methods:learn(from, to)
  local factors, items = self.factors, self.table
  local view = items:all()
  factors:copy_items(view)
  local squared_error = factors:steps(self.grid.view, from, to)
  if not squared_error then return nil end
  factors:subtract_items(view)
  local finite, reason = pcall(items.inc_all, items, factors.item)
  if not finite and core.error_code(reason) ~= "E_NONFINITE" then error(reason, 0) end
  return finite and squared_error or nil
end

--- One epoch: the worker's ratings, slice by slice in a new order.
function methods:pass()
  local fit, slices = self.fit, self.slices
  local at, count, parts = fit.at, self.grid.ratings.count, #slices
  if at.done == 0 then self.rng:shuffle(slices) end
  for i = at.done + 1, parts do
    local from, to = partition.equal(count, slices[i] - 1, parts)
    if not at.diverged then fit:learned(self:learn(from, to)) end
    at.done = i
    fit.w:clock()
  end
end

--- At a barrier: the items' rows become exact.
function methods:settle() self.factors:copy_items(self.table:all()) end

--- Puts the first items into the table.
function methods:begin(resumed)
  if resumed then return self:settle() end
  if self.fit.w.id == 0 then self.table:inc_all(self.factors.item) end
  self.fit.w:barrier()
end

function methods:state() return { rng = self.rng:state(), slices = self.slices, rows = self.factors:state() } end

function methods:take_state(state)
  self.rng:restore(state.rng)
  self.slices = state.slices
  self.factors:take_state(state.rows)
end

--- @param fit what `epact.model.mf` knows of the job
return function(fit)
  local w, o, ratings = fit.w, fit.o, fit.ratings
  local users = kernel.deal(fit.summary.user_count, ratings.users, w.workers)
  local items = kernel.deal(fit.summary.item_count, ratings.items, 1)
  local first, last = kernel.span(users, w.id, w.id + 1)
  local self = setmetatable({ fit = fit, users = users, items = items, base = first, first = first, last = last,
    grid = kernel.grid(ratings, users, items, w.id, w.id + 1), rng = w:rng(), slices = {} }, class)
  self.item_first, self.item_last = fit:share(ratings.items)
  self.factors = fit:new_factors { users = last - first }
  self.factors:draw(fit.seed, o.deviation, self, true)
  if fit.keeps then self.factors:keep(0, last - first, 0, ratings.items) end
  for slice = 1, o.clocks do self.slices[slice] = slice end
  self.table = w:table(o.name .. ".items", { rows = ratings.items, cols = self.factors.stride, type = "f32",
    filter = o.filter })
  return self
end
