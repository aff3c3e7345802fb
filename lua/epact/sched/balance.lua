--- A filter: cuts each batch into parts of equal work, one for each worker; by work, not by count.
--
-- Items go, the largest first, to the part with the least load (LPT): the largest load is at most the mean plus the
-- largest item, and at most 4/3 of the best there is. So it is below `bound` (1.1) times the mean wherever no item
-- takes more than a tenth of the mean. Where it is above, and no item alone exceeds the mean, items are exchanged
-- between parts, then with others for which the policy is asked in addition (`candidates` k in all), and last some are
-- held back. That gets below the bound unless hardly any choice is there (three items of 4, 2.9 and 2.3 on two
-- workers): `loads` tells. What was not dealt is in the next batch.
--
-- Put this filter outermost: what a dependency check drops behind it would be missed in the parts. What it holds back
-- is in flight for a dependency check inside, and so stays independent of what goes.
-- @module epact.sched.balance
-- @usage
-- local policy = epact.sched.balance { workers = w.workers, policy = inner,
--   work = function(j) return columns:entries(j) end }
-- policy:next(64)
-- update(policy:parts()[w.id + 1])

local ffi = require "ffi"
local batch = require "epact.sched.batch"
local core = require "epact.core"
local options = require "epact.options"
local C = core.C
local check = core.check

local methods = {}
local class = { __index = methods }

local count_out = ffi.new "int64_t[1]"

local function held(self)
  local id = C.epact_balance_held(self.balance, count_out)
  return tonumber(count_out[0]), id
end

-- The work of variable j, a number.
local function work_of(self, j)
  local work = self.work
  local w = self.is_function and work(j) or not self.is_function and work[j]
  if type(w) ~= "number" then w = tonumber(w) end
  if not w then
    core.fail("balance:next: the work of variable %d is %s", j, options.show(self.is_function and work(j) or work[j]))
  end
  return w
end

-- Asks the policy for `count` more; how many items there are now.
local function offer(self, count)
  local reader = self.reader
  local drawn = reader:draw(self.policy, count)
  local ids = reader.ids
  for i = 0, drawn - 1 do ids.delta[i] = work_of(self, ids.id[i]) end
  check(tonumber(C.epact_balance_offer(self.balance, drawn, ids.id, ids.delta)), "balance:next")
  return drawn
end

--- Writes the next variables, at most `k`, to an array.
-- @treturn number how many
function methods:fill(id, k)
  local had, dealt, balance = held(self), self.dealt, self.balance
  if had < k then offer(self, k - had) end
  local left = (self.candidates - 1) * k
  C.epact_balance_deal(balance, k, dealt)
  while left > 0 and dealt.largest > self.bound * dealt.mean and dealt.item <= dealt.mean do
    local drawn = offer(self, math.min(left, math.ceil(k / 2)))
    if drawn == 0 then break end
    left = left - drawn
    C.epact_balance_deal(balance, k, dealt)
  end
  local items = tonumber(dealt.items)
  self.out:reserve(items)
  C.epact_balance_end(balance, id, self.out.id)
  self.given:reserve(items)
  ffi.copy(self.given.id, id, items * ffi.sizeof "uint32_t")
  self.count = items
  return items
end

--- The next variables, at most `k`.
-- @treturn table a list
function methods:next(k)
  self.ids:reserve(batch.size("balance:next", k))
  return batch.list(self.ids.id, self:fill(self.ids.id, k))
end

--- The last batch by workers.
-- @treturn table a list of lists, one for each worker
function methods:parts()
  local parts = {}
  for p = 1, self.workers do parts[p] = {} end
  for i = 0, self.count - 1 do
    local part = parts[self.out.id[i] + 1]
    part[#part + 1] = self.given.id[i]
  end
  return parts
end

--- How the last batch was dealt.
-- @treturn number the largest load
-- @treturn number the mean load
-- @treturn number the largest item
function methods:loads() return self.dealt.largest, self.dealt.mean, self.dealt.item end

--- The variables that were drawn and wait for the next batch: a list.
function methods:waiting()
  local count, id = held(self)
  return batch.list(id, count)
end

--- What the updates did goes on to the policy.
function methods:feed(vars, deltas)
  if self.policy.feed then self.policy:feed(vars, deltas) end
end

--- Of these variables no step will be told: goes on to the policy.
function methods:landed(vars)
  if self.policy.landed then self.policy:landed(vars) end
end

--- What the next batches depend on: a plain table, for `restore`.
function methods:state()
  return { workers = self.workers, waiting = self:waiting(), policy = self.policy.state and self.policy:state() or nil }
end

--- Puts the filter and its policy where they were at `state`.
function methods:restore(state)
  if type(state) ~= "table" or state.workers ~= self.workers then
    core.fail("balance:restore: the state must be one of %d workers", self.workers)
  end
  local out, count = ffi.new "epact_balance *[1]", self.reader:take(state.waiting, "those that wait")
  local ids = self.reader.ids
  if state.policy then self.policy:restore(state.policy) end
  for i = 0, count - 1 do ids.delta[i] = work_of(self, ids.id[i]) end
  check(C.epact_balance_new(self.workers, self.bound, out), "balance:restore")
  local fresh = core.own(out[0])
  check(tonumber(C.epact_balance_offer(fresh, count, ids.id, ids.delta)), "balance:restore")
  C.epact_balance_end(fresh, ids.id, ids.id) -- nothing was dealt: they are those of a former batch
  self.balance, self.count = fresh, 0
  return self
end

function class:__tostring()
  return ("epact.sched.balance <%d workers, largest load %.3g of a mean of %.3g, of %s>"):format(self.workers,
    self.dealt.largest, self.dealt.mean, tostring(self.policy))
end

--- Load balance around a policy.
-- @function epact.sched.balance
-- @tparam table given `policy`, `work` (of variable j: an array `work[j]`, from 0, or a function `work(j)`), `workers`;
-- `bound` (1.1), `candidates` (2, for each variable wanted), `variables` (ids are below; default: as the policy has)
-- @treturn table with `next`, `fill`, `parts`, `loads`, `waiting`, `feed`, `landed`, `state`, `restore`
return function(given)
  local o = options.read("sched.balance", given, {
    policy = { "table", required = true }, work = { "any", required = true }, workers = { "count", required = true },
    bound = { "positive", 1.1 }, candidates = { "count", 2 }, variables = { "count" },
  })
  local kind = type(o.work)
  if kind ~= "function" and kind ~= "table" and kind ~= "cdata" then
    core.fail("sched.balance: option 'work' must be an array or a function, got %s", options.show(o.work))
  end
  local policy, out = batch.policy("sched.balance", o.policy), ffi.new "epact_balance *[1]"
  local variables = o.variables or policy.variables or 2 ^ 32 - 1
  check(C.epact_balance_new(o.workers, o.bound, out), "sched.balance")
  return setmetatable({
    policy = policy, work = o.work, is_function = kind == "function", workers = o.workers, bound = o.bound,
    candidates = o.candidates, variables = variables, ranked = policy.ranked, balance = core.own(out[0]), count = 0,
    dealt = ffi.new "epact_balance_loads", ids = batch.new(), out = batch.new(), given = batch.new(),
    reader = batch.reader("sched.balance", variables),
  }, class)
end
