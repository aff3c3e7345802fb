--- Factors and biases of a matrix factorisation, SGD steps on them, and ratings as the steps like them.
--
-- Users and items may be renumbered ("numbers", from a permutation), so that those of a block are neighbours.
-- @module epact.kernel.mf

local ffi = require "ffi"
local core = require "epact.core"
local data = require "epact.data"
local linear = require "epact.kernel.linear"
local C = core.C
local check = core.check

local mf = {}

local float_bytes = ffi.sizeof "float"

local function view_of(ratings)
  return ffi.new("epact_mf_ratings", ratings.count, ratings.user, ratings.item, ratings.value)
end

--- Refuses ratings that are not finite, or of users and items that do not exist.
-- @tparam epact_ratings ratings
-- @tparam string where begins the message
-- @treturn table `mean`, `deviation`, `low`, `high`, and `user_count` and `item_count`, int64_t arrays
function mf.check(ratings, where)
  local users, items = linear.zeros(ratings.users, "int64_t"), linear.zeros(ratings.items, "int64_t")
  local raw = ffi.new "epact_mf_summary"
  check(C.epact_mf_check(view_of(ratings), ratings.users, ratings.items, users, items, raw), where)
  return { mean = raw.mean, deviation = raw.deviation, low = raw.low, high = raw.high, user_count = users,
    item_count = items }
end

--- Divides `size` users (or items) into blocks of about as many ratings.
-- @param count int64_t array: ratings of each
-- @tparam number size
-- @tparam number blocks
-- @param[opt] rng renumbers them at random first
-- @treturn table `blocks`; `cut[b]` .. `cut[b + 1] - 1` are the numbers of block b; `count`, by number; and when they
-- are renumbered, `number[id]` and `id[number]`
function mf.deal(count, size, blocks, rng)
  local deal = { size = size, blocks = blocks, count = count, cut = linear.zeros(blocks + 1, "int64_t") }
  if rng then
    deal.id, deal.number = linear.identity(size), linear.zeros(size, "uint32_t")
    linear.shuffle(rng, deal.id, size)
    deal.count = linear.zeros(size, "int64_t")
    for number = 0, size - 1 do
      deal.number[deal.id[number]], deal.count[number] = number, count[deal.id[number]]
    end
  end
  local total, before, number = 0, 0, 0
  for i = 0, size - 1 do total = total + tonumber(count[i]) end
  for block = 1, blocks do
    while number < size and (block == blocks or before < total * block / blocks) do
      before, number = before + tonumber(deal.count[number]), number + 1
    end
    deal.cut[block] = number
  end
  return deal
end

--- The numbers [first, last) of blocks [from, to).
function mf.span(deal, from, to) return tonumber(deal.cut[from]), tonumber(deal.cut[to]) end

--- The ratings of user blocks from .. to - 1, in cells: those of user block b and item block c are the ratings
-- `start[n]` to `start[n + 1] - 1` of `ratings` with n = (b - from) * items.blocks + c. Users count from the first of
-- these blocks; in a cell they stand together.
-- @param ratings
-- @tparam table users from `mf.deal`, as `items`
-- @tparam table items
-- @tparam number from
-- @tparam number to
function mf.grid(ratings, users, items, from, to)
  local first, last = mf.span(users, from, to)
  local count = 0
  for number = first, last - 1 do count = count + tonumber(users.count[number]) end
  local own = data.new("ratings", math.max(1, last - first), ratings.items, count)
  local start = linear.zeros((to - from) * items.blocks + 1, "int64_t")
  local cuts = ffi.new("epact_mf_cuts", users.blocks, items.blocks, users.number, items.number, users.cut, items.cut)
  check(C.epact_mf_grid(view_of(ratings), cuts, from, to, own.user, own.item, own.value, start), "mf")
  return { ratings = own, view = view_of(own), start = start, blocks = items.blocks, from = from }
end

--- Ratings of which each has its place in a random order: positions first .. last - 1 of it are written.
-- @tparam epact_ratings ratings
-- @tparam number seed
-- @tparam number first
-- @tparam number last
-- @tparam table to `user`, `item`, `value`: arrays of ratings.count
function mf.shuffle(ratings, seed, first, last, to)
  check(C.epact_mf_shuffle(view_of(ratings), ffi.cast("int64_t", seed), first, last, to.user, to.item, to.value), "mf")
end

--- Room for ratings in memory of `w:shared`: `user` and `item` (i32), `value` (f32), and a `view` of all `count`.
function mf.order(count, user, item, value)
  user, item = ffi.cast("uint32_t *", user), ffi.cast("uint32_t *", item)
  return { user = user, item = item, value = value, view = ffi.new("epact_mf_ratings", count, user, item, value) }
end

local methods = {}
local class = { __index = methods }

--- What the next steps multiply with.
function methods:set_rates(step, lambda, bias_step, bias_lambda)
  local rates = self.rates
  rates.step, rates.lambda, rates.bias_step, rates.bias_lambda = step, lambda, bias_step, bias_lambda
end

local function outcome(self, code)
  if code == C.EPACT_E_DIVERGED then return nil end
  check(code, "mf")
  return self.squared_error[0]
end

--- An SGD step for each of the ratings first .. last - 1.
-- @treturn ?number the sum of e^2, each before its step; nil when the factors have left the finite numbers
function methods:steps(view, first, last)
  return outcome(self, C.epact_mf_sgd(self.model, view, first, last, self.rates, self.squared_error))
end

--- The same for ratings in random order, on rows that other threads change meanwhile.
function methods:wild_steps(view, first, last)
  return outcome(self, C.epact_mf_hogwild(self.model, view, first, last, self.rates, self.squared_error))
end

--- Draws the factors of a worker's part from N(0, deviation^2), those of each id from a stream of its own. Who has no
-- ratings gets zeros, and so is predicted as the mean one.
-- @tparam number seed
-- @tparam number deviation
-- @tparam table part numbers: users `first` to `last` - 1, of which `base` is in row 0, and items `item_first` to
-- `item_last` - 1; `users` and `items` from `mf.deal`
-- @tparam[opt] boolean all all items instead
function methods:draw(seed, deviation, part, all)
  local stride, k = self.stride, self.factors
  seed = ffi.cast("int64_t", seed)
  local function draw_side(row, side, deal, from, to, origin)
    for number = from, to - 1 do
      local id = deal.id and deal.id[number] or number
      if deal.count[number] > 0 then -- the C side counts rows by id
        local begin = row + (number - origin - id) * stride
        check(C.epact_mf_init(begin, id, id + 1, stride, k, side, deviation, seed), "mf")
      end
    end
  end
  draw_side(self.user, 0, part.users, part.first, part.last, part.base)
  draw_side(self.item, 1, part.items, all and 0 or part.item_first, all and self.items or part.item_last, 0)
end

--- The items' rows become those of `view`.
function methods:copy_items(view) ffi.copy(self.item, view, self.items * self.stride * float_bytes) end

--- The items' rows become what they differ from `view` by.
function methods:subtract_items(view) linear.axpy_f(self.items * self.stride, -1, view, self.item) end

-- The four pieces that `save` remembers.
local function pieces(self)
  local kept, stride = self.kept, self.stride
  return { { "saved_user", self.user + kept.user * stride, kept.users * stride * float_bytes },
    { "saved_item", self.item + kept.item * stride, kept.items * stride * float_bytes } }
end

--- From now on `save` remembers the rows of users [user, user + users) and items [item, item + items).
function methods:keep(user, users, item, items)
  self.kept = { user = user, users = users, item = item, items = items }
  self.saved_user = linear.zeros(users * self.stride, "float")
  self.saved_item = linear.zeros(items * self.stride, "float")
end

--- Remembers the rows that `keep` named, for `restore`; nothing when it was not called.
function methods:save()
  for _, piece in ipairs(self.kept and pieces(self) or {}) do ffi.copy(self[piece[1]], piece[2], piece[3]) end
end

--- These rows as they were at the last `save`.
function methods:restore()
  for _, piece in ipairs(self.kept and pieces(self) or {}) do ffi.copy(piece[2], self[piece[1]], piece[3]) end
end

--- The users' rows, and what `save` remembers, as strings for `take_state`.
function methods:state()
  local state = { user = ffi.string(self.user, self.users * self.stride * float_bytes) }
  for _, piece in ipairs(self.kept and pieces(self) or {}) do state[piece[1]] = ffi.string(self[piece[1]], piece[3]) end
  return state
end

--- Puts back what `state` returned.
function methods:take_state(state)
  for name, text in pairs(state) do ffi.copy(self[name], text, #text) end
end

--- Sum of squared errors over ratings (a view), predictions clipped to low .. high.
function methods:squared_error_of(view, low, high)
  return C.epact_mf_squared_error(self.model, view, 0, view.count, low, high)
end

--- The penalty of a worker's part, see `draw`.
function methods:penalty(lambda, bias_lambda, part)
  local stride, k = self.stride, self.factors
  local function side(row, count, first, last, base)
    local begin = row + (first - base) * stride
    return C.epact_mf_penalty(begin, last - first, stride, k, count + first, lambda, bias_lambda)
  end
  return side(self.user, part.users.count, part.first, part.last, part.base)
    + side(self.item, part.items.count, part.item_first, part.item_last, 0)
end

function class:__tostring()
  return ("epact.mf factors <%d users x %d items, %d factors>"):format(self.users, self.items, self.factors)
end

--- Rows of `factors` numbers and a bias for each user and item, zeros at first.
-- @tparam table o `users`, `items`, `factors`, `mean`; `stride`, from row to row (factors + 1); `user`, `item`: memory
-- for the rows (default: new)
function mf.new(o)
  local stride = o.stride or o.factors + 1
  local self = setmetatable({ users = o.users, items = o.items, factors = o.factors, stride = stride,
    user = o.user or linear.zeros(o.users * stride, "float"), item = o.item or linear.zeros(o.items * stride, "float"),
    squared_error = ffi.new "double[1]", rates = ffi.new "epact_mf_rates" }, class)
  self.model = ffi.new("epact_mf_model", o.users, o.items, stride, o.factors, o.mean, self.user, self.item)
  self.mean = self.model.mean -- as a float
  return self
end

--- Rows by number, `base` the first, into a matrix by id: those of [first, last).
-- @param dense
-- @param row float array
-- @tparam number stride from row to row
-- @tparam table deal
-- @tparam number base
-- @tparam number first
-- @tparam number last
function mf.copy_rows(dense, row, stride, deal, base, first, last)
  local to, cols = dense.value, dense.cols
  for number = first, last - 1 do
    local at, from = (deal.id and deal.id[number] or number) * cols, (number - base) * stride
    for f = 0, cols - 1 do to[at + f] = row[from + f] end
  end
end

--- A dense data set over memory of `w:shared`, which lives as long as one of them.
function mf.dense_over(memory, rows, cols)
  C.epact_retain(memory)
  return ffi.new("epact_dense", rows, cols, memory, memory)
end

return mf
