--- One side of a matrix factorisation by CCD++: its ratings by row with their residuals, and the best numbers of a
-- factor, row by row.
-- @module epact.kernel.mf_ccd

local ffi = require "ffi"
local core = require "epact.core"
local linear = require "epact.kernel.linear"
local C = core.C
local check = core.check

local methods = {}
local class = { __index = methods }

local function fill(self)
  local ratings = self.ratings
  local view = ffi.new("epact_mf_ratings", ratings.count, ratings.user, ratings.item, ratings.value)
  check(C.epact_mf_ccd_sort(view, self.number, self.first, self.last, self.mean, self.start, self.id, self.residual),
    "mf")
end

--- The residuals become value - mean, as if no factor had been learned.
function methods:reset() fill(self) end

-- At most two products; NULL stands for ones.
local function terms_of(list)
  local terms = ffi.new("epact_mf_term[?]", math.max(1, #list))
  for i, term in ipairs(list) do
    terms[i - 1].own, terms[i - 1].other, terms[i - 1].scale = term.own, term.other, term.scale
  end
  return terms, #list
end

--- Adds terms to the residuals, e += scale own[row] other[id].
-- @tparam table terms a list of `{ own =, other =, scale = }`, float arrays (from the side's first row on; nil: ones),
-- at most two of them with both
-- @treturn number the sum of their squares then
function methods:add(terms)
  local list, count = terms_of(terms)
  check(C.epact_mf_ccd_add(self.view, self.others, list, count, self.scratch, self.out), "mf")
  return self.out[0]
end

--- Adds terms, then: next[row] = the best factor u for the other side's v.
-- @tparam table terms as in `add`
-- @param other v, a float array by id; nil: ones
-- @tparam number lambda
-- @param before float array, u as it was
-- @param after float array: u, may be `before`
-- @treturn ?number by how much the objective fell; nil when a number left the range of floats
function methods:solve(terms, other, lambda, before, after)
  local list, count = terms_of(terms)
  local code = C.epact_mf_ccd_solve(self.view, self.others, list, count, other, lambda, before, after, self.scratch,
    self.out)
  if code == C.EPACT_E_DIVERGED then return nil end
  check(code, "mf")
  return self.out[0]
end

function class:__tostring()
  return ("epact.mf ccd side <%s %d to %d, %d ratings>"):format(self.number == 0 and "users" or "items", self.first,
    self.last - 1, tonumber(self.start[self.last - self.first]))
end

--- The ratings of users (`number` 0) or items (1) first .. last - 1, sorted by them: 8 bytes a rating, and 16 a row of
-- the other side.
-- @tparam table o `ratings`, `number`, `first`, `last`, `mean` (what the residuals begin without), `count` (int64_t
-- array: ratings of each user or item)
return function(o)
  local count = 0
  for row = o.first, o.last - 1 do count = count + tonumber(o.count[row]) end
  local others = o.number == 0 and o.ratings.items or o.ratings.users
  local self = setmetatable({ ratings = o.ratings, number = o.number, first = o.first, last = o.last, mean = o.mean,
    others = others, start = linear.zeros(o.last - o.first + 1, "int64_t"), id = linear.zeros(count, "uint32_t"),
    residual = linear.zeros(count, "float"), scratch = linear.zeros(4 * others, "float"),
    out = ffi.new "double[1]" }, class)
  self.view = ffi.new("epact_mf_side", o.last - o.first, self.start, self.id, self.residual)
  fill(self)
  return self
end
