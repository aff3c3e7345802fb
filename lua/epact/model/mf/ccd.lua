--- Matrix factorisation with order "ccd": one factor at a time, each number of it the best there is (CCD++).
--
-- A variable is a factor f, its users' numbers u and its items' numbers v; the biases, u 1' + 1 v' of the model, are
-- one more. With all others fixed,
--
--   u_r = sum e v_c / (sum v_c^2 + lambda n_r)   over the ratings (r, c) of r,   e without this factor,
--
-- then v likewise, `inner` times in turn: the objective never rises, and there is no step to choose. Users and items
-- are dealt to the workers by their ratings. A worker has the ratings of its users by user, and those of its items by
-- item, with a residual each; it finds u of its users, then v of its items, and between the two all get what others
-- found: 2 (1 + factors inner) barriers an epoch. Each number is one worker's, from the same ratings in the same order:
-- the factors are, bit for bit, the same for any number of workers.
--
-- A residual is brought from a variable to the next in the pass that needs it: the product of the one that was worked
-- on (which is open) is taken out, that of the next put back.
--
-- In one process the vectors are plain memory (`w:shared`); between processes, and where snapshots are kept, a table
-- hands them on, a row for each worker, whose cells are the bits of the floats.
--
-- State: 16 bytes a rating over all workers; 4 (k + 2) bytes a user and item once a process, or once a worker, and 16 a
-- user and item a worker.
--
-- Source: Yu, Hsieh, Si, Dhillon 2012.
-- @module epact.model.mf.ccd

local bit = require "bit"
local ffi = require "ffi"
local new_side = require "epact.kernel.mf_ccd"
local kernel = require "epact.kernel.mf"
local linear = require "epact.kernel.linear"

local methods = {}
local class = { __index = methods }

local bits_of = ffi.typeof "int32_t *"
local float_bytes = ffi.sizeof "float"

-- The vectors of one side: factors 0 .. k - 1, the bias k, and one to write the next into.
local function new_vectors(name, size, first, factors, shared)
  local count = (factors + 2) * size
  local self = { size = size, first = first, block = shared and shared(name, count) or linear.zeros(count, "float"),
    bytes = count * float_bytes, at = {}, spare = factors + 1 }
  for v = 0, factors do self.at[v] = v end
  function self.of(v) return self.block + self.at[v] * size end         -- by id
  function self.own(v) return self.of(v) + self.first end               -- from this worker's first row on
  function self.next() return self.block + self.spare * size end
  function self.swap(v) self.at[v], self.spare = self.spare, self.at[v] end
  return self
end

-- The product of variable v, for the residuals of the side `mine` (scale 1: put back; -1: taken out again). Of the
-- biases this is the side's half.
local function put_back(mine, other, v, bias, scale)
  if v ~= bias then return { { own = mine.own(v), other = other.of(v), scale = scale } } end
  return { { own = mine.own(v), scale = scale } }
end

local function append(list, more)
  for _, term in ipairs(more) do list[#list + 1] = term end
end

--- What brings the residuals of a side from the variable that is open there to `v` (nil: to none).
function methods:move(side, v)
  local bias, was, terms = self.bias, side.open, {}
  local mine, other = side.mine, side.other
  if was and (was ~= v or v == bias) then
    append(terms, put_back(mine, other, was, bias, -1))
    if was == bias and side.number == 0 then -- it was opened with the items' biases of then
      append(terms, { { other = other.next(), scale = 1 }, { other = other.of(bias), scale = -1 } })
    end
  end
  if v and (was ~= v or v == bias) then
    append(terms, put_back(mine, other, v, bias, 1))
    if v == bias and side.number == 1 then -- the users' are new already
      append(terms, { { other = other.of(bias), scale = 1 }, { other = other.next(), scale = -1 } })
    end
  end
  side.open = v
  return terms
end

--- The residuals of the model as it is, from the ratings.
function methods:rebuild(side)
  local mine, other, bias = side.mine, side.other, self.bias
  side.kernel:reset()
  for f = 0, bias - 1, 2 do
    local terms = put_back(mine, other, f, bias, -1)
    if f + 1 < bias then append(terms, put_back(mine, other, f + 1, bias, -1)) end
    side.kernel:add(terms)
  end
  side.kernel:add { { own = mine.own(bias), scale = -1 }, { other = other.of(bias), scale = -1 } }
  side.stale, side.open = false, nil
end

--- One side's best numbers of a variable, for those of the other side.
function methods:improve(side, v, again)
  local o, mine, other, bias = self.fit.o, side.mine, side.other, self.bias
  if side.stale then self:rebuild(side) end
  local against = nil -- ones
  if v ~= bias then against = (again or side.number == 1) and other.next() or other.of(v) end
  local next_own = mine.next() + mine.first
  local gain = side.kernel:solve(self:move(side, v), against, v == bias and o.bias_lambda or o.lambda,
    again and next_own or mine.own(v), next_own)
  if not gain then self.fit:learned(nil) end
end

--- Hands this worker's part of a side's new vector to the others: differences of bits, modulo 2^32.
function methods:give(side)
  local table, change, mine = side.table, side.change, side.mine
  if not table then return end
  local before, after = table:get(self.fit.w.id), ffi.cast(bits_of, mine.next() + mine.first)
  for i = 0, side.rows - 1 do change[i] = bit.tobit(after[i] - before[i]) end
  table:inc_row(self.fit.w.id, change)
end

--- Takes theirs.
function methods:take(side)
  local table, deal = side.table, side.deal
  if not table then return end
  local all = table:all()
  for id = 0, self.fit.w.workers - 1 do
    local first, last = kernel.span(deal, id, id + 1)
    ffi.copy(side.mine.next() + first, all + id * table.cols, (last - first) * float_bytes)
  end
end

-- What an epoch does, step by step: a variable, whose side, and whether not for the first time.
local function plan_of(factors, inner, sides)
  local plan = {}
  for v = -1, factors - 1 do -- the biases first
    for round = 1, v < 0 and 1 or inner do
      for _, side in ipairs(sides) do
        plan[#plan + 1] = { v = v < 0 and factors or v, side = side, again = round > 1 }
      end
    end
  end
  return plan
end

--- After step i: everybody has the new vector, and after the last of a variable it counts.
function methods:finish(i)
  local done, following = self.plan[i], self.plan[i + 1]
  if not done then return end
  self:take(done.side)
  if following and following.v == done.v then return end
  for _, side in ipairs(self.sides) do side.mine.swap(done.v) end
end

-- A resumed run goes on from residuals that are summed anew; so does, after each saving, one that is not disturbed.
function methods:heed_saving()
  for _, side in ipairs(self.saved and self.sides or {}) do side.stale = true end
  self.saved = false
end

--- One epoch: variable after variable.
function methods:pass()
  local fit, plan = self.fit, self.plan
  local at, users = fit.at, self.sides[1]
  for i = at.done + 1, #plan do
    self:finish(i - 1)
    self:heed_saving()
    local step = plan[i]
    if not at.diverged then
      self:improve(step.side, step.v, step.again)
      self:give(step.side)
    end
    at.done = i
    fit.w:barrier()
  end
  self:finish(#plan)
  if at.diverged then return end
  self:heed_saving()
  if users.stale then self:rebuild(users) end
  local squares = users.kernel:add(self:move(users, nil))
  fit:learned(squares - squares == 0 and squares or nil)
  if not at.diverged then self:write_rows() end
end

local function write(row, origin, stride, vectors, factors, from, to)
  for f = 0, factors do
    local vector = vectors.of(f)
    for id = from, to - 1 do row[(id - origin) * stride + f] = vector[id] end
  end
end

local function read(vectors, row, origin, stride, factors, from, to)
  for f = 0, factors do
    local vector = vectors.of(f)
    for id = from, to - 1 do vector[id] = row[(id - origin) * stride + f] end
  end
end

--- The rows of this worker's users and items (where memory is not shared, of all items).
function methods:write_rows()
  local factors, k = self.factors, self.bias
  local from, to = self.item_first, self.item_last
  if self.fit.travels then from, to = 0, self.items.size end
  write(factors.user, self.base, factors.stride, self.sides[1].mine, k, self.first, self.last)
  write(factors.item, 0, factors.stride, self.sides[2].mine, k, from, to)
end

--- The rows are exact at every end of an epoch.
function methods:settle() end

function methods:begin(resumed)
  if not resumed then self.fit.w:barrier() end
end

function methods:state()
  self.saved = true
  local state = { rows = self.factors:state(), sides = {} }
  for i, side in ipairs(self.sides) do
    local mine = side.mine
    state.sides[i] = { at = mine.at, spare = mine.spare, vectors = ffi.string(mine.block, mine.bytes) }
  end
  return state
end

function methods:take_state(state)
  for i, side in ipairs(self.sides) do
    local mine, saved = side.mine, state.sides[i]
    mine.at, mine.spare = saved.at, saved.spare
    ffi.copy(mine.block, saved.vectors, mine.bytes)
    side.stale, side.open = true, nil
  end
  self:write_rows()
  self.factors:take_state(state.rows)
end

--- Draws what there is at first.
function methods:draw()
  local fit, factors = self.fit, self.factors
  local users, items, k, stride = self.sides[1].mine, self.sides[2].mine, self.bias, self.factors.stride
  factors:draw(fit.seed, fit.o.deviation, self, fit.travels)
  if not fit.travels then
    read(users, factors.user, self.base, stride, k, self.first, self.last)
    return read(items, factors.item, 0, stride, k, self.item_first, self.item_last)
  end
  local all = { users = self.users, items = self.items, base = 0, first = 0, last = self.users.size }
  local drawn = fit:new_factors { users = self.users.size, item = factors.item }
  drawn:draw(fit.seed, fit.o.deviation, all, true)
  read(users, drawn.user, 0, stride, k, 0, self.users.size)
  read(items, drawn.item, 0, stride, k, 0, self.items.size)
end

--- @param fit what `epact.model.mf` knows of the job
return function(fit)
  local w, o, ratings, summary = fit.w, fit.o, fit.ratings, fit.summary
  local users = kernel.deal(summary.user_count, ratings.users, w.workers)
  local items = kernel.deal(summary.item_count, ratings.items, w.workers)
  local first, last = kernel.span(users, w.id, w.id + 1)
  local self = setmetatable({ fit = fit, users = users, items = items, base = first, first = first, last = last,
    bias = o.factors, shares = not fit.travels }, class)
  self.item_first, self.item_last = kernel.span(items, w.id, w.id + 1)
  local function shared(name, count) return w:shared(("%s.%s"):format(o.name, name), count, "f32") end
  self.factors = fit:new_factors { users = last - first,
    item = self.shares and shared("items", ratings.items * (o.factors + 1)) or nil }

  local function side(number, deal, count, from, to)
    local vectors = new_vectors(number == 0 and "users.ccd" or "items.ccd", deal.size, from, o.factors,
      self.shares and shared)
    local made = { number = number, deal = deal, mine = vectors, rows = to - from, stale = true, kernel = new_side {
      ratings = ratings, number = number, first = from, last = to, mean = self.factors.mean, count = count } }
    if fit.travels then
      local most = 1
      for id = 0, w.workers - 1 do
        local begin, finish = kernel.span(deal, id, id + 1)
        most = math.max(most, finish - begin)
      end
      made.table = w:table(("%s.ccd.%d"):format(o.name, number), { rows = w.workers, cols = most, type = "i32",
        staleness = 0 })
      made.change = ffi.new("int32_t[?]", most)
    end
    return made
  end
  local of_users = side(0, users, summary.user_count, first, last)
  local of_items = side(1, items, summary.item_count, self.item_first, self.item_last)
  of_users.other, of_items.other = of_items.mine, of_users.mine
  self.sides = { of_users, of_items }
  self.plan = plan_of(o.factors, o.inner, self.sides)
  self:draw()
  if fit.keeps then
    local item_first, item_last = self.item_first, self.item_last
    if fit.travels then item_first, item_last = 0, ratings.items end
    self.factors:keep(0, last - first, item_first, item_last - item_first)
  end
  return self
end
