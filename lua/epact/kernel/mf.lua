--- Factors and biases of a matrix factorisation, and SGD steps on them.
-- @module epact.kernel.mf

local ffi = require "ffi"
local core = require "epact.core"
local data = require "epact.data"
local linear = require "epact.kernel.linear"
local C = core.C
local check = core.check

local mf = {}

local function view_of(ratings)
  return ffi.new("epact_mf_ratings", ratings.count, ratings.user, ratings.item, ratings.value)
end

--- Refuses ratings that are not finite. Returns their mean.
function mf.mean(ratings)
  local mean = ffi.new "double[1]"
  check(C.epact_mf_check(view_of(ratings), ratings.users, ratings.items, mean), "mf")
  return mean[0]
end

--- A copy of the ratings, grouped by user.
function mf.group(ratings)
  local grouped = data.new("ratings", ratings.users, ratings.items, ratings.count)
  check(C.epact_mf_sort(view_of(ratings), ratings.users, ratings.items, ratings.items, grouped.user, grouped.item,
    grouped.value, nil), "mf")
  return grouped
end

local methods = {}
local class = { __index = methods }

--- An SGD step for each of the ratings first .. last - 1.
-- @treturn ?number the sum of e^2, each before its step; nil when the factors have left the finite numbers
function methods:steps(ratings, first, last, step, lambda)
  local code = C.epact_mf_sgd(self.model, view_of(ratings), first, last, step, lambda, self.squared_error)
  if code == C.EPACT_E_DIVERGED then return nil end
  check(code, "mf")
  return self.squared_error[0]
end

--- The items' rows become those of `view`.
function methods:copy_items(view) ffi.copy(self.item, view, self.items * self.stride * ffi.sizeof "float") end

--- The items' rows become what they differ from `view` by.
function methods:subtract_items(view) linear.axpy_f(self.items * self.stride, -1, view, self.item) end

--- Remembers all rows, for `restore`.
function methods:save()
  self.saved_user = self.saved_user or linear.zeros(self.users * self.stride, "float")
  self.saved_item = self.saved_item or linear.zeros(self.items * self.stride, "float")
  ffi.copy(self.saved_user, self.user, self.users * self.stride * ffi.sizeof "float")
  ffi.copy(self.saved_item, self.item, self.items * self.stride * ffi.sizeof "float")
end

--- All rows as they were at the last `save`.
function methods:restore()
  ffi.copy(self.user, self.saved_user, self.users * self.stride * ffi.sizeof "float")
  self:copy_items(self.saved_item)
end

--- The users' rows, and all that `save` remembers, as strings for `take_state`.
function methods:state()
  local users, items = self.users * self.stride * ffi.sizeof "float", self.items * self.stride * ffi.sizeof "float"
  return { user = ffi.string(self.user, users), saved_user = ffi.string(self.saved_user, users),
    saved_item = ffi.string(self.saved_item, items) }
end

--- Puts back what `state` returned.
function methods:take_state(state)
  self:save()
  for name, text in pairs(state) do ffi.copy(self[name], text, #text) end
end

--- mu + b_u + c_i + p_u'q_i; an unknown user or item counts as the mean one.
function methods:predict(user, item) return C.epact_mf_predict(self.model, user, item) end

--- Sum of squared errors over all ratings, predictions clipped to low .. high.
function methods:squared_error_of(ratings, low, high)
  return C.epact_mf_rmse(self.model, view_of(ratings), 0, ratings.count, low, high) ^ 2 * ratings.count
end

function class:__tostring()
  return ("epact.mf factors <%d users x %d items, %d factors>"):format(self.users, self.items, self.factors)
end

--- Rows of `factors` numbers and a bias for each user and item, zeros at first.
-- @tparam table o `users`, `items`, `factors`, `mean`
function mf.new(o)
  local stride = o.factors + 1
  local self = setmetatable({ users = o.users, items = o.items, factors = o.factors, stride = stride, mean = o.mean,
    user = linear.zeros(o.users * stride, "float"), item = linear.zeros(o.items * stride, "float"),
    squared_error = ffi.new "double[1]" }, class)
  self.model = ffi.new("epact_mf_model", o.users, o.items, stride, o.factors, o.mean, self.user, self.item)
  return self
end

--- Draws the factors from N(0, deviation^2). The users are `first_user` and up: their numbers do not depend on how
-- users are dealt to workers.
function methods:draw(first_user, deviation, seed)
  local stride, k = self.stride, self.factors
  seed = ffi.cast("int64_t", seed)
  check(C.epact_mf_init(self.user - first_user * stride, first_user, first_user + self.users, stride, k, 0, deviation,
    seed), "mf")
  check(C.epact_mf_init(self.item, 0, self.items, stride, k, 1, deviation, seed), "mf")
end

return mf
