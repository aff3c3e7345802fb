--- Matrix factorisation with order "hogwild": all rows are plain memory of the process, and nothing is locked.
--
-- The ratings are put in a random order, once; each epoch its slices are dealt to the workers at random. Whoever comes
-- to a rating changes the rows of its user and item in place, whatever the others do with them: a step now and then
-- overwrites another's, which is rare as long as few of the ratings share a row.
--
-- State: 12 bytes a rating and 4 (k + 1) bytes a row, once a process.
--
-- Source: Niu, Recht, Re, Wright 2011.
-- @module epact.model.mf.hogwild

local core = require "epact.core"
local kernel = require "epact.kernel.mf"
local partition = require "epact.partition"
local rng = require "epact.rng"

local methods = {}
local class = { __index = methods }

--- One epoch: this worker's share of the slices.
function methods:pass()
  local fit, slices, count = self.fit, self.slices, tonumber(self.view.count)
  local w, parts = fit.w, #self.slices
  self.rng:shuffle(slices)
  for i = w.id + 1, parts, w.workers do
    local from, to = partition.equal(count, slices[i] - 1, parts)
    if fit.at.diverged or w:stopped() then return end
    fit:learned(self.factors:wild_steps(self.view, from, to))
  end
end

function methods:settle() end

function methods:begin() self.fit.w:barrier() end

local function refuse(fit)
  local w = fit.w
  if w.size > 1 then
    core.fail("mf.fit: order \"hogwild\" shares the memory of one process, this job has %d: take \"rotation\" or "
      .. "\"shards\"", w.size)
  end
  if w.snapshots then core.fail "mf.fit: order \"hogwild\" has no snapshots: take \"rotation\" or \"shards\"" end
  if w.deterministic and w.workers > 1 then
    core.fail("mf.fit: order \"hogwild\" with %d workers is not deterministic: take \"rotation\" or \"shards\"",
      w.workers)
  end
end

--- @param fit what `epact.model.mf` knows of the job
return function(fit)
  refuse(fit)
  local w, o, ratings = fit.w, fit.o, fit.ratings
  local users = kernel.deal(fit.summary.user_count, ratings.users, w.workers)
  local items = kernel.deal(fit.summary.item_count, ratings.items, 1)
  local first, last = kernel.span(users, w.id, w.id + 1)
  local self = setmetatable({ fit = fit, users = users, items = items, base = 0, first = first, last = last,
    rng = rng(fit.seed, 0, 3), slices = {}, shares = true }, class)
  self.item_first, self.item_last = fit:share(ratings.items)
  -- Whole lines of the cache: a worker's row shares none with another's.
  local stride, count = 16 * math.ceil((o.factors + 1) / 16), ratings.count
  self.factors = fit:new_factors { users = ratings.users, stride = stride,
    user = w:shared(o.name .. ".users", ratings.users * stride, "f32"),
    item = w:shared(o.name .. ".items", ratings.items * stride, "f32") }
  self.factors:draw(fit.seed, o.deviation, self)
  if fit.keeps then
    self.factors:keep(first, last - first, self.item_first, self.item_last - self.item_first)
  end
  local order = kernel.order(count, w:shared(o.name .. ".order.users", count, "i32"),
    w:shared(o.name .. ".order.items", count, "i32"), w:shared(o.name .. ".order.values", count, "f32"))
  local from, to = fit:share(count)
  kernel.shuffle(ratings, fit.seed, from, to, order)
  self.view = order.view
  for slice = 1, o.clocks * w.workers do self.slices[slice] = slice end
  return self
end
