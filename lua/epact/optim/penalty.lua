--- Penalties and bounds of weights, as objects that add: `penalty.l1(0.1) + penalty.l2(2) + penalty.nonnegative()`.
--
--   l1 ||w||_1 + l2/2 ||w||^2 + group sum_g weight_g ||w_g||_2,   low <= w_j <= high
--
-- `p:value(w, count)`, `p:prox(w, count, t)` (in place: the w that minimises penalty + ||w - v||^2 / (2t)).
-- @module epact.optim.penalty

local ffi = require "ffi"
local core = require "epact.core"
local options = require "epact.options"
local C = core.C

local penalty = {}
local methods = {}
local structs = setmetatable({}, { __mode = "k" })

local function new(fields)
  local self = { l1 = 0, l2 = 0, low = -math.huge, high = math.huge, group = 0 }
  for name, value in pairs(fields) do self[name] = value end
  return setmetatable(self, penalty.Penalty)
end

penalty.Penalty = {
  __index = methods,
  __add = function(a, b)
    if getmetatable(a) ~= penalty.Penalty or getmetatable(b) ~= penalty.Penalty then
      core.fail("penalty: only penalties can be added, got %s and %s", options.show(a), options.show(b))
    end
    if a.groups and b.groups then core.fail "penalty: two sets of groups cannot be added" end
    local groups = a.groups and a or b
    return new { l1 = a.l1 + b.l1, l2 = a.l2 + b.l2, low = math.max(a.low, b.low), high = math.min(a.high, b.high),
      group = groups.group, groups = groups.groups, weights = groups.weights }
  end,
  __tostring = function(self)
    local parts = {}
    if self.l1 > 0 then parts[#parts + 1] = ("l1 %g"):format(self.l1) end
    if self.l2 > 0 then parts[#parts + 1] = ("l2 %g"):format(self.l2) end
    if self.groups then parts[#parts + 1] = ("group %g (%d groups)"):format(self.group, #self.groups) end
    if self.low > -math.huge or self.high < math.huge then
      parts[#parts + 1] = ("within %g .. %g"):format(self.low, self.high)
    end
    return "epact.penalty " .. (#parts > 0 and table.concat(parts, ", ") or "none")
  end,
}

--- No penalty.
function penalty.none() return new {} end
--- a ||w||_1
function penalty.l1(a) return new { l1 = options.argument("penalty.l1", "weight", "non_negative", a) } end
--- b/2 ||w||^2
function penalty.l2(b) return new { l2 = options.argument("penalty.l2", "weight", "non_negative", b) } end
--- a ||w||_1 + b/2 ||w||^2
function penalty.elastic(a, b) return penalty.l1(a) + penalty.l2(b) end
--- w >= 0
function penalty.nonnegative() return new { low = 0 } end
--- low <= w <= high
function penalty.box(low, high)
  options.argument("penalty.box", "low", "number", low)
  options.argument("penalty.box", "high", "number", high)
  if low > high then core.fail("penalty.box: no weight is within %g .. %g", low, high) end
  return new { low = low, high = high }
end

--- a sum_g weight_g ||w_g||_2 (the group lasso).
-- @tparam number a
-- @tparam table groups a list of lists of columns, from 0; none in two of them
-- @tparam ?table weights one a group; default: the square root of its size
function penalty.group(a, groups, weights)
  options.argument("penalty.group", "weight", "non_negative", a)
  options.argument("penalty.group", "groups", "table", groups)
  if weights and #weights ~= #groups then
    core.fail("penalty.group: %d weights for %d groups", #weights, #groups)
  end
  for g, members in ipairs(groups) do
    options.argument("penalty.group", "group " .. g, "table", members)
    for _, column in ipairs(members) do options.argument("penalty.group", "column of group " .. g, "index", column) end
  end
  return new { group = a, groups = groups, weights = weights }
end

-- The penalty as C sees it, with the arrays it points to.
local function native(self)
  local known = structs[self]
  if known then return known.struct end
  local groups, total = self.groups or {}, 0
  for _, members in ipairs(groups) do total = total + #members end
  local start, member = ffi.new("int64_t[?]", #groups + 1), ffi.new("uint32_t[?]", math.max(1, total))
  local weight, at = self.weights and ffi.new("double[?]", #groups, self.weights) or nil, 0
  for g, members in ipairs(groups) do
    for _, column in ipairs(members) do member[at], at = column, at + 1 end
    start[g] = at
  end
  local struct = ffi.new("epact_penalty", self.l1, self.l2, self.low, self.high, self.group, #groups, start, member,
    weight)
  structs[self] = { struct = struct, start = start, member = member, weight = weight }
  return struct
end

--- An error unless it fits `count` weights.
function methods:check(where, count) core.check(C.epact_penalty_check(native(self), count), where) end

--- The penalty of a double array of `count` weights; infinity outside of the bounds.
function methods:value(w, count) return C.epact_penalty_value(native(self), count, w) end

--- w <- the proximal operator of t times the penalty, in place.
function methods:prox(w, count, t) C.epact_penalty_prox(native(self), count, t, w) end

--- Whether each weight is penalised for itself: without groups.
function methods:is_separable() return not self.groups or self.group == 0 end

--- Whether there are bounds.
function methods:is_bounded() return self.low > -math.huge or self.high < math.huge end

--- A penalty from numbers `l1`, `l2`, or the penalty itself.
function penalty.of(where, given, l1, l2)
  if given == nil then return new { l1 = l1 or 0, l2 = l2 or 0 } end
  if getmetatable(given) ~= penalty.Penalty then
    core.fail("%s: option 'penalty' must be a penalty, got %s", where, options.show(given))
  end
  if l1 or l2 then return given + new { l1 = l1 or 0, l2 = l2 or 0 } end
  return given
end

return penalty
