--- Schedule, push, pull: model-parallel programs whose order of updates is itself a program.
--
-- A program gives three functions. At each phase
--
--   schedule   on worker 0 alone, says which variables are updated next: a list of ids from 0 (`false` ends the run);
--   push       on every worker, computes from its part of the data a partial result for these variables;
--   pull       on every worker, gets the sum of all partial results, commits the update and returns how far each of the
--              variables moved, from which the schedule learns.
--
-- All workers commit the same update from the same numbers, so that a phase costs one exchange: the partial results
-- travel together with the schedule of a later phase. With `depth` d (the scheduler's staleness) phase t is pushed
-- when the phases up to t-d-1 are committed, and d more are in flight. What a schedule has learned are the phases up
-- to 2d + 2 before the one that it plans; at depth 0, all but the last one.
--
-- Every worker may leave `push` or `pull` at another time; nobody is more than d + 1 phases ahead. Partial results are
-- added in the order of the workers, so that the bits of a run do not depend on where and when they are computed.
--
-- Source: Lee, Kim, Zheng, Ho, Gibson, Xing, NIPS 2014 (STRADS).
-- @module epact.strads
-- @usage -- the lasso: rows of X on workers, one column at a time
-- epact.strads(w, { variables = X.cols, phases = 1000, schedule = epact.sched.cyclic { variables = X.cols },
--   push = function(vars) return x:products(vars, residual) end,
--   pull = function(vars, sum) ... end })

local ffi = require "ffi"
local array = require "epact.array"
local core = require "epact.core"
local linear = require "epact.kernel.linear"
local options = require "epact.options"

local known = {
  variables = { "count", required = true },
  schedule = { "any", required = true },
  push = { "function", required = true },
  pull = { "function", required = true },
  batch = { "count", 64 },
  width = { "count", 1 },
  depth = { "index", 0 },
  name = { "string", "strads" },
}

local ENDED = -1 -- in place of the number of variables

local methods = {}
local class = { __index = methods }

local doubles, ids, real_pointer = ffi.typeof "double[?]", ffi.typeof "uint32_t[?]", ffi.typeof "const double *"
local like_real = array.shape_of(real_pointer())

-- Clocks of the worker are steps. A step plans a phase (worker 0), pushes the one that was planned d + 1 steps before,
-- and receives the row that was sent d steps before. A step has a row of the table, which is free for another one when
-- it was read by all and is zero again: who sends step t has seen all others receive step t - 2d - 2. The row's cells:
-- the number of variables of the phase it plans and those; then of each worker the step + 1, and its partial result.
local function row_of(self, step) return step % self.rows end
local function part_of(self, id) return 1 + self.batch + id * (1 + self.batch * self.width) end

-- Puts cells of the step's row among those to be sent, where they stay until it is time to take them back.
local function publish(self, step, first, count, from)
  local kept = self.kept[row_of(self, step)]
  for i = 0, count - 1 do
    kept.col[kept.count + i], kept.value[kept.count + i] = first + i, from[i]
  end
  kept.count = kept.count + count
end

-- Sends what this worker has for the row, and takes back what it had in an older one: exactly, for a value and its
-- negative make 0, where a sum with the difference of two values would be rounded.
local function send(self, step)
  local kept, old_row = self.kept[row_of(self, step)], row_of(self, step - 2 * self.depth - 2)
  local old = self.kept[old_row]
  if kept.count > 0 then self.table:inc_sparse(row_of(self, step), kept.count, kept.col, kept.value) end
  if old.count > 0 then
    self.table:inc_sparse(old_row, old.count, old.col, old.value, -1)
    old.count = 0
  end
  self.w:clock()
end

local function fail(phase, message, ...)
  core.fail("strads: phase %d: " .. message, phase, ...)
end

-- Whether no variable is in flight.
local function is_idle(self)
  for _, vars in pairs(self.queue) do
    if #vars > 0 then return false end
  end
  return true
end

-- What a schedule returned, checked: each variable once, and in range.
local function check_batch(self, phase, vars)
  if type(vars) ~= "table" then
    fail(phase, "schedule must return a list of variables, or false to end, got %s", options.show(vars))
  end
  if #vars == 0 and is_idle(self) then
    fail(phase, "schedule returned an empty list, and no variable is in flight: return false to end")
  end
  if #vars > self.batch then
    fail(phase, "schedule returned %d variables, more than option 'batch' = %d", #vars, self.batch)
  end
  local mark, seen = (phase + 1) % 2 ^ 32, self.seen
  for i = 1, #vars do
    local j = vars[i]
    if type(j) ~= "number" or j % 1 ~= 0 or j < 0 or j >= self.variables then
      fail(phase, "schedule returned %s, which is no variable in 0 .. %d", options.show(j), self.variables - 1)
    end
    if seen[j] == mark then fail(phase, "schedule returned variable %d twice", j) end
    seen[j] = mark
  end
  return vars
end

-- Plans a phase, on worker 0: its variables go into the row of this step.
local function plan(self, step)
  if self.ended then return end
  local vars, cells = false, self.cells
  if self.left > 0 then vars = self:schedule(self.planned) end
  if vars == false then
    self.ended, cells[0] = true, ENDED
    return publish(self, step, 0, 1, cells)
  end
  check_batch(self, self.planned, vars)
  self.queue[step + self.depth + 1] = vars
  self.planned, self.left = self.planned + 1, self.left - 1
  cells[0] = #vars
  for i = 1, #vars do cells[i] = vars[i] end
  publish(self, step, 0, 1 + #vars, cells)
end

-- A partial result as `count` numbers.
local function read_partial(phase, partial, count, to)
  if type(partial) == "cdata" then
    if not ffi.istype(real_pointer, partial) then
      array.check(partial, count, like_real, 8, "strads: phase %d: what push returned", phase)
    end
    ffi.copy(to, partial, count * 8)
  elseif type(partial) == "table" then
    if #partial ~= count then fail(phase, "push returned %d numbers, expected %d", #partial, count) end
    for i = 1, count do
      if type(partial[i]) ~= "number" then fail(phase, "push returned %s", options.show(partial[i])) end
      to[i - 1] = partial[i]
    end
  elseif type(partial) == "number" and count == 1 then
    to[0] = partial
  else
    fail(phase, "push must return %d numbers (a list or a double array) or nothing, got %s", count,
      options.show(partial))
  end
  for i = 0, count - 1 do
    if to[i] - to[i] ~= 0 then fail(phase, "push returned %g [E_NONFINITE]", to[i]) end
  end
end

local function push(self, step)
  local vars, phase, cells = self.queue[step], self.pushed, self.cells
  local partial, count = self.user.push(vars, phase), #vars * self.width
  cells[0] = step + 1
  if partial == nil then
    count = 0
  else
    read_partial(phase, partial, count, cells + 1)
  end
  publish(self, step, part_of(self, self.w.id), 1 + count, cells)
  self.pushed = phase + 1
end

-- The sum over the workers, in their order; one that was lost has not marked its part.
local function add_parts(self, step, row, count)
  local sum, mark = self.sum, step + 1
  ffi.fill(sum, count * 8)
  for id = 0, self.w.workers - 1 do
    local part = row + part_of(self, id)
    if part[0] == mark then
      for i = 0, count - 1 do sum[i] = sum[i] + part[1 + i] end
    end
  end
  return sum
end

local function pull(self, step, row)
  local vars, phase = self.queue[step], self.pulled
  self.queue[step] = nil
  local deltas = self.user.pull(vars, add_parts(self, step, row, #vars * self.width), phase)
  self.pulled, self.updates = phase + 1, self.updates + #vars
  if deltas == nil then return end
  if type(deltas) ~= "table" or #deltas ~= #vars then
    fail(phase, "pull must return a list of %d changes or nothing, got %s", #vars,
      type(deltas) == "table" and "a list of " .. #deltas or options.show(deltas))
  end
  if self.feed then self.feed(vars, deltas) end
end

-- The variables of the phase that the row plans; nil: the run ends.
local function read_plan(row)
  local count, vars = row[0], {}
  if count == ENDED then return nil end
  for i = 1, count do vars[i] = tonumber(row[i]) end
  return vars
end

--- Phases that are planned and not yet committed, as far as this worker knows: their variables, a list of lists, in
-- order. Worker 0 knows all but the one that is being planned.
function methods:in_flight()
  local lists = {}
  for step = self.step - self.depth - 1, self.step + self.depth + 1 do
    if self.queue[step] then lists[#lists + 1] = self.queue[step] end
  end
  return lists
end

--- Runs until the schedule returns false, or for that many phases more. Between two runs nothing is in flight.
-- @tparam ?number phases
-- @treturn epact.strads itself
function methods:run(phases)
  if phases ~= nil then options.argument("strads: run", "phases", "count", phases) end
  local begun, finish, depth = self.step, nil, self.depth
  self.left, self.ended = phases or math.huge, false
  repeat
    local step = self.step
    if self.queue[step] then push(self, step) end
    if self.w.id == 0 then plan(self, step) end
    send(self, step)
    if step - depth >= begun then
      local row = self.table:get(row_of(self, step - depth))
      if self.queue[step - depth] then pull(self, step - depth, row) end
      if not finish then
        local vars = read_plan(row)
        self.queue[step + 1], finish = vars, not vars and step + 1 or nil
      end
    elseif step >= depth then
      self.table:get(row_of(self, step - depth)) -- between two runs nobody gets further ahead than within one
    end
    self.step = step + 1
  until finish and step - depth >= finish - 1
  return self
end

function class:__tostring()
  return ("epact.strads '%s' <%d variables, depth %d, %d phases, %d updates>"):format(self.name, self.variables,
    self.depth, self.pulled, self.updates)
end

-- A schedule is a function, or a policy of `epact.sched` (anything with `next`), which is fed what the pull returns.
local function read_schedule(self, schedule)
  if type(schedule) == "function" then
    self.schedule = schedule
  elseif type(schedule) == "table" and type(schedule.next) == "function" then
    self.schedule = function(run) return schedule:next(run.batch) end
    if self.w.id == 0 and schedule.feed then self.feed = function(vars, deltas) schedule:feed(vars, deltas) end end
  else
    core.fail("strads: option 'schedule' must be a function or have a method 'next', got %s", options.show(schedule))
  end
end

local strads = {}

--- A program of schedule, push and pull; every worker of the job makes it with the same options, then calls `run`.
-- @tparam epact.worker w
-- @tparam table given
--
-- - `variables`: how many there are; ids are 0 .. variables - 1
-- - `schedule(run, phase)`: called on worker 0 only; or a policy of `epact.sched`, which is asked for `batch` variables
--   and fed what `pull` returns
-- - `push(vars, phase)` returns `width` numbers for each of the variables, in order (a list or a double array), or
--   nothing, when what the workers learn from each other is in tables of their own
-- - `pull(vars, sum, phase)`: `sum` is a double array, good until the function returns (of zeros where nobody returned
--   anything). It returns the changes, a list with one for each variable, or nothing
-- - `batch` (64): the most variables of a phase, for each of which a row of the table has 8 x `width` bytes of each
--   worker; `width` (1); `depth` (0): phases in flight beyond the one that is pushed; `name` ("strads"): of its table
--
-- `epact.strads(w, given)` makes one and runs it; there `phases` says for how many.
-- @treturn epact.strads with `pulled` (phases), `updates` (variables, counted each time they are scheduled), `run`,
-- `in_flight`. An empty list of variables is a phase that waits for those in flight
function strads.new(w, given)
  options.worker("strads", w)
  local o = options.read("strads", given, known)
  if w.deterministic and o.depth > 0 then core.fail("strads: a deterministic job needs depth 0, got %d", o.depth) end
  if w.joined then core.fail("strads: a worker that joined a running job has no part of its data") end
  w:claim("strads", o.name)
  local self = setmetatable({
    w = w, name = o.name, variables = o.variables, batch = math.min(o.batch, o.variables), width = o.width,
    depth = o.depth, user = o, rows = 2 * o.depth + 3, queue = {}, kept = {}, step = 0, planned = 0, pushed = 0,
    pulled = 0, updates = 0, seen = w.id == 0 and linear.zeros(o.variables, "uint32_t"),
  }, class)
  read_schedule(self, o.schedule)
  local part = 1 + self.batch * self.width
  self.cells, self.sum = doubles(1 + self.batch + part), doubles(self.batch * self.width)
  for row = 0, self.rows - 1 do
    self.kept[row] = { col = ids(1 + self.batch + part), value = doubles(1 + self.batch + part), count = 0 }
  end
  self.table = w:table(o.name .. ".phases", { rows = self.rows, cols = 1 + self.batch + w.workers * part,
    sparse_updates = true, staleness = o.depth })
  return self
end

return setmetatable(strads, {
  __call = function(_, w, given)
    local program, phases = given, nil
    if type(given) == "table" then
      program, phases = {}, given.phases
      for name, value in pairs(given) do
        if name ~= "phases" then program[name] = value end
      end
      if phases ~= nil then options.argument("strads", "option 'phases'", "count", phases) end
    end
    return strads.new(w, program):run(phases)
  end,
})
