--- A filter: together go only variables whose columns hardly correlate, |x_j'x_k| / (|x_j| |x_k|) < rho, in the batch
-- and with all that is in flight. With (k - 1) rho < 1 no parallel step of a quadratic objective goes uphill.
--
-- What `next` returned is in flight until `feed` tells its steps (or `landed` that none will come); several batches may
-- be at a time. The policy is asked for as many variables as are lacking, at most `candidates` k for a batch of k. What
-- was dropped is offered first in the next batch, and waits until it is taken; no more than `candidates` k wait.
--
-- With `best`, as STRADS was published, a policy by priorities is asked for all `candidates` k at once, of which the
-- first k by weight that fit are taken; what misses its second chance goes back to be drawn by its weight, which it
-- never lost. On lassos with correlated columns that took twice as many updates: the same few are drawn again, where
-- those that wait are neighbours of one that moved, and so move next.
--
-- A batch may be shorter than k, or empty where all that was offered depends on what is in flight: never wait for it.
--
-- Correlations are computed when they are asked for: those of short sparse columns all together along the rows that
-- the batch touches (4 bytes for a row, 16 for an entry of the batch). Dense columns of at most 4096 rows are kept with
-- unit norm in single precision, 4 bytes for a row, in `cache` bytes. Otherwise pairs with a dense column, or one of
-- more than 512 entries, are remembered in these, 13 for a pair.
--
-- Source: Lee, Kim, Zheng, Ho, Gibson, Xing 2014 (STRADS); second chance, flight and memory are added here.
-- @module epact.sched.dependency
-- @usage
-- local columns = require("epact.kernel.columns").new("lasso", X:transpose(), { standardise = true })
-- local policy = epact.sched.dependency { columns = columns,
--   policy = epact.sched.priority { variables = columns.columns } }

local ffi = require "ffi"
local batch = require "epact.sched.batch"
local core = require "epact.core"
local options = require "epact.options"
local C = core.C
local check = core.check

local methods = {}
local class = { __index = methods }

local count_out = ffi.new "int64_t[1]"

local function in_flight(self)
  C.epact_dependency_flight(self.dependency, count_out)
  return tonumber(count_out[0])
end

local function waiting(self)
  C.epact_dependency_waiting(self.dependency, count_out)
  return tonumber(count_out[0])
end

local function count_of(code) return check(tonumber(code), "dependency:next") end

--- Writes the next variables, at most `k`, to an array.
-- @treturn number how many
function methods:fill(id, k)
  local dependency, policy, reader = self.dependency, self.policy, self.reader
  if in_flight(self) + k > self.flight then
    core.fail("dependency:next: %d variables are in flight, and with %d more it would be above the option 'flight': "
      .. "tell what became of them with feed or landed", in_flight(self), k)
  end
  local left, best = math.max(1, self.candidates * k - waiting(self)), self.best
  local count = count_of(C.epact_dependency_begin(dependency, k, left, id))
  while count < k and left > 0 do
    local drawn = reader:draw(policy, best and left or math.min(left, k - count))
    if drawn == 0 then break end
    count = count_of(C.epact_dependency_offer(dependency, drawn, reader.ids.id, id))
    left = best and 0 or left - drawn
  end
  C.epact_dependency_end(dependency, id, best and 1 or 0)
  return count
end

--- The next variables, at most `k`: in flight from now on.
-- @treturn table a list
function methods:next(k)
  self.ids:reserve(batch.size("dependency:next", k))
  return batch.list(self.ids.id, self:fill(self.ids.id, k))
end

local function land(self, where, vars)
  local ids = self.ids
  ids:reserve(#vars)
  for i = 1, #vars do ids.id[i - 1] = vars[i] end
  check(C.epact_dependency_land(self.dependency, #vars, ids.id), where)
end

--- The steps that were made, as for the policy around which this is: those variables are in flight no longer.
function methods:feed(vars, deltas)
  if self.policy.feed then self.policy:feed(vars, deltas) end
  land(self, "dependency:feed", vars)
end

--- Of these variables no step will be told (a worker was lost): they are in flight no longer.
function methods:landed(vars) land(self, "dependency:landed", vars) end

--- The variables in flight: a list.
function methods:in_flight()
  local id = C.epact_dependency_flight(self.dependency, count_out)
  return batch.list(id, tonumber(count_out[0]))
end

--- The variables that wait for a second chance: a list, the first first.
function methods:waiting()
  local id = C.epact_dependency_waiting(self.dependency, count_out)
  return batch.list(id, tonumber(count_out[0]))
end

--- What was done so far.
-- @treturn table `scheduled`, `dropped` (for the first time or again), `repeated` (drawn while in flight or waiting);
-- of the memory of pairs: `hits`, `misses`, `pairs`, `evicted`, `bytes`
function methods:counts()
  local counts = ffi.new "epact_dependency_counts"
  C.epact_dependency_count(self.dependency, counts)
  local read = {}
  for _, name in ipairs { "scheduled", "dropped", "repeated", "hits", "misses", "pairs", "evicted", "bytes" } do
    read[name] = tonumber(counts[name])
  end
  return read
end

--- What the next batches depend on: a plain table, for `restore`. Of a policy without `state` there is none.
function methods:state()
  return {
    variables = self.variables, waiting = self:waiting(), flight = self:in_flight(),
    policy = self.policy.state and self.policy:state() or nil,
  }
end

--- Puts the filter and its policy where they were at `state`.
function methods:restore(state)
  if type(state) ~= "table" or state.variables ~= self.variables then
    core.fail("dependency:restore: the state must be one of %d variables", self.variables)
  end
  local reader, kept = self.reader, batch.new()
  local count = reader:take(state.waiting, "those that wait")
  kept:reserve(count)
  ffi.copy(kept.id, reader.ids.id, count * ffi.sizeof "uint32_t")
  local flying = reader:take(state.flight, "those in flight")
  if state.policy then self.policy:restore(state.policy) end
  check(C.epact_dependency_restore(self.dependency, count, kept.id, flying, reader.ids.id), "dependency:restore")
  return self
end

function class:__tostring()
  return ("epact.sched.dependency <rho %g, %d in flight, %d waiting, of %s>"):format(self.rho, in_flight(self),
    waiting(self), tostring(self.policy))
end

--- A dependency check around a policy.
-- @function epact.sched.dependency
-- @tparam table given `policy`, `columns` (an `epact.columns`); `rho` (0.1), `norm` (true; false: |x_j'x_k| itself is
-- below rho), `candidates` (4, for each variable wanted), `best` (false), `cache` (bytes, 16 MiB), `flight`
-- (more variables than these, 65536, are not let in flight: a driver that never feeds is an error)
-- @treturn table with `next`, `fill`, `feed`, `landed`, `in_flight`, `waiting`, `counts`, `state`, `restore`
return function(given)
  local o = options.read("sched.dependency", given, {
    policy = { "table", required = true }, columns = { "table", required = true }, rho = { "positive", 0.1 },
    norm = { "boolean", true }, candidates = { "count", 4 }, best = { "boolean", false }, cache = { "index", 2 ^ 24 },
    flight = { "count", 65536 },
  })
  local columns, policy = o.columns, batch.policy("sched.dependency", o.policy)
  if type(columns.columns) ~= "number" or not columns.squared_norm then
    core.fail("sched.dependency: option 'columns' must be an epact.columns, got %s", options.show(columns))
  end
  if policy.variables and policy.variables > columns.columns then
    core.fail("sched.dependency: the policy has %d variables, but there are %d columns", policy.variables,
      columns.columns)
  end
  if o.best and not policy.ranked then
    core.fail "sched.dependency: option 'best' is for a policy that draws in the order of its weights, as priority does"
  end
  local out = ffi.new "epact_dependency *[1]"
  check(C.epact_dependency_new(columns.view, columns.squared_norm, o.rho, o.norm and 1 or 0, o.cache, out),
    "sched.dependency")
  return setmetatable({
    policy = policy, columns = columns, rho = o.rho, candidates = o.candidates, best = o.best, flight = o.flight,
    variables = columns.columns, dependency = core.own(out[0]), ids = batch.new(),
    reader = batch.reader("sched.dependency", columns.columns),
  }, class)
end
